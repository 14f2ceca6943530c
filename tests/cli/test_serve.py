"""``aasist serve``: its settings and keys; that it serves is tested in tests/service/test_live.py."""

import json
import re
import subprocess
import sys
import tomllib

import pytest
from click.testing import CliRunner

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from aasist.cli import aasist, run


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    for name in ("AASIST_SETTINGS", "AASIST_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AASIST_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def invoke(*arguments):
    return CliRunner().invoke(aasist, ["serve", *arguments])


def test_settings_are_shown_as_a_file_with_options_and_environment_in_it(monkeypatch, tmp_path, state):
    monkeypatch.setenv("AASIST_WORKERS", "2")
    file = tmp_path / "a.toml"
    file.write_text('model = "small"\nport = 1\n')
    result = invoke("--settings", str(file), "--port", "9000", "--show-settings")
    assert result.exit_code == 0
    values = tomllib.loads(result.stdout)
    assert (values["port"], values["workers"], values["model"]) == (9000, 2, "small")
    assert values["state_dir"] == str(state)
    assert not state.exists()  # showing makes nothing


def test_a_key_is_printed_once_and_listed_without_its_secret(state):
    made = invoke("keys", "add", "my app", "--scope", "detect", "--days", "2", "--detail", "label", "--streams", "1")
    key = made.stdout.strip()
    assert re.fullmatch(r"aasist_[0-9a-f]{12}_[\w-]{43}", key)
    listed = invoke("keys", "list")
    row = json.loads(invoke("keys", "list", "--json").stdout)
    assert "my app: detect; label, 1 streams, until " in listed.stdout
    assert (row["id"], row["state"], row["scopes"], row["detail"], row["streams"]) == (
        key.split("_")[1], "active", ["detect"], "label", 1,
    )  # fmt: skip
    assert row["expires_at"] > row["created_at"]
    for text in (listed.stdout, json.dumps(row)):
        assert key.split("_", 2)[2] not in text
    assert not any(key.split("_", 2)[2].encode() in path.read_bytes() for path in state.rglob("*") if path.is_file())


@pytest.mark.parametrize("whole", [True, False])
def test_a_key_is_revoked_by_its_name_or_as_it_is(whole):
    key = invoke("keys", "add", "app").stdout.strip()
    result = invoke("keys", "revoke", key if whole else key.split("_")[1])
    assert result.exit_code == 0
    assert json.loads(invoke("keys", "list", "--json").stdout)["state"] == "revoked"


def test_what_webhooks_are_signed_with_is_told_again_and_without_a_key_too(capfd):
    made = invoke("keys", "add", "app")
    own, nobodys = (invoke("keys", "webhook-secret", *key).stdout.strip() for key in ((made.stdout.strip(),), ()))
    assert made.stderr.rstrip().endswith(f"signed with {own}")
    assert re.fullmatch("[0-9a-f]{64}", nobodys)
    assert own != nobodys
    assert run(["serve", "keys", "webhook-secret", "nobody"]) == 1
    assert "no key 'nobody'" in capfd.readouterr().err


def test_what_cannot_be_revoked_is_said_in_one_line(capfd):
    assert run(["serve", "keys", "revoke", "nobody"]) == 1
    assert "no key 'nobody' that could be revoked" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "70000"], "70000"),
        (["keys", "add", "x", "--scope", "root"], "root"),
        (["keys", "add", "x", "--days", "nan"], "finite"),
        (["--show-settings", "keys", "list"], "exclude each other"),
        (["keys", "add"], "NAME"),
        (["--model", "nosuch"], "no such model: 'nosuch'"),
    ],
)
def test_wrong_usage_is_2(arguments, said):
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert said in result.output


def test_a_name_that_is_too_long_a_wrong_setting_and_a_missing_file_are_said_in_one_line(capfd, monkeypatch, tmp_path):
    assert run(["serve", "keys", "add", "x" * 101]) == 1
    assert "1 to 100 characters" in capfd.readouterr().err
    assert run(["serve", "--settings", str(tmp_path / "none.toml"), "--show-settings"]) == 2
    assert "no settings file" in capfd.readouterr().err
    monkeypatch.setenv("AASIST_SETTINGS", "")
    monkeypatch.setenv("AASIST_MAX_BYTES", "lots")
    assert run(["serve", "--show-settings"]) == 2
    assert "AASIST_MAX_BYTES: Input should be a valid integer" in capfd.readouterr().err


@pytest.mark.parametrize(("name", "value"), [("AASIST_RUNTIME", "foo"), ("AASIST_PRECISION", "fp8")])
def test_a_runtime_or_precision_that_is_none_is_refused_before_anything_is_opened(
    capfd, monkeypatch, state, name, value
):
    monkeypatch.setenv(name, value)
    assert run(["serve", "--port", "0"]) == 2
    said = capfd.readouterr().err
    assert f"{name}: " in said
    assert f"got '{value}'" in said
    assert not state.exists()


def test_a_variable_that_is_no_setting_is_told(monkeypatch):
    monkeypatch.setenv("AASIST_MAX_BITES", "3")
    result = invoke("--show-settings")
    assert result.exit_code == 0
    assert "AASIST_MAX_BITES is no setting" in result.stderr
    assert "BITES" not in result.stdout


def test_a_state_folder_that_cannot_be_made_is_named(capfd, monkeypatch):
    monkeypatch.setenv("AASIST_STATE_DIR", "/proc/x")
    assert run(["serve", "--port", "0"]) == 1
    assert "the folder /proc/x cannot be written" in capfd.readouterr().err


def test_without_the_extra_it_says_what_to_install():
    """In a process of its own: modules that are imported twice are two, and other tests change the first."""
    code = "import sys\nsys.modules['pydantic_settings'] = None\nfrom aasist.cli import main\nmain(sys.argv[1:])"
    words = [sys.executable, "-c", code, "serve", "--show-settings"]
    result = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 1
    assert "extra 'serve'" in result.stderr


def test_a_port_that_is_taken_is_said_in_one_line(capfd):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["serve", "--port", str(port)]) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in capfd.readouterr().err
