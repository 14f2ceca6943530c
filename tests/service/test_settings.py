"""Settings: by option, environment and file, in this order; printed as a file; refused where they make no sense."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from aasist.errors import AasistError
from aasist.service.complaints import ELSEWHERE
from aasist.service.settings import Settings, read_settings, unknown_variables


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.delenv("AASIST_PORT", raising=False)
    path = tmp_path / "aasist.toml"
    path.write_text('port = 1001\nmodel = "small"\ncors_origins = ["https://a.example"]\n')
    monkeypatch.setenv("AASIST_SETTINGS", str(path))
    return path


def test_an_option_stands_above_the_environment_and_that_above_the_file(file, monkeypatch):
    monkeypatch.setenv("AASIST_PORT", "1002")
    assert read_settings(file).port == 1002
    assert read_settings(file, port=1003, host=None).port == 1003
    monkeypatch.delenv("AASIST_PORT")
    found = read_settings(file)
    assert (found.port, found.model, found.cors_origins) == (1001, "small", ("https://a.example",))


def test_lists_are_separated_by_commas_in_the_environment(monkeypatch):
    monkeypatch.setenv("AASIST_WEBHOOK_ALLOW", "10.0.0.0/8, hooks.example ,")
    assert read_settings().webhook_allow == ("10.0.0.0/8", "hooks.example")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("prot = 1", "prot: no such setting"),
        ("port = 70000", r"aasist\.toml: port: .*65535, got 70000$"),
        ('runtime = "foo"', "aasist.toml: runtime: .*'auto', 'onnxruntime', 'openvino' or 'torch', got 'foo'"),
        ('precision = "fp8"', "aasist.toml: precision: .*'fp32', 'bf16', 'fp16' or 'int8', got 'fp8'"),
        ('state_dir = ""', "state_dir: must name a folder"),
        ('webhook_allow = ["10.0.0.0/8", "10.0.0.0/33"]', "webhook_allow: '10.0.0.0/33' is neither a network"),
        ('allowed_hosts = ["x.com:80"]', "allowed_hosts: 'x.com:80' is no host"),
        ("threshold = nan", "threshold"),
        ('database = "mysql://x"', "database"),
        ('secret = "short"', "secret"),
        ("max_bytes = 10_000_000_000", "max_in_flight_bytes"),
        ("port = ", "aasist.toml"),
        ("insecure = true\nrequire_keys = true", "contradict"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(file, text, said):
    file.write_text(text)
    with pytest.raises(AasistError, match=said) as caught:
        read_settings(file)
    assert caught.value.code == "settings"


@pytest.mark.parametrize(
    "text",
    [
        'secret = "hunter2"',
        'database = "mysql://me:hunter2@h/n"',
        'database = "postgresql://me:hunter2@h:x/n"',
        'secrt = "hunter2"',
    ],
)
def test_a_secret_is_not_told_in_the_error_either(file, text):
    file.write_text(text)
    with pytest.raises(AasistError) as caught:
        read_settings(file)
    assert "hunter2" not in caught.value.message


def test_nor_where_settings_do_not_go_together(file):
    file.write_text(f'secret = "{"hunter2" * 8}"\nmax_bytes = 10_000_000_000')
    with pytest.raises(AasistError) as caught:
        read_settings(file)
    assert "max_in_flight_bytes" in caught.value.message
    assert "hunter2" not in caught.value.message


def test_what_is_wrong_is_told_where_it_stands(file, monkeypatch):
    file.write_text("workers = 0")
    with pytest.raises(AasistError, match=rf"^settings: {file}: workers: .* 1, got 0$"):
        read_settings(file)
    monkeypatch.setenv("AASIST_WORKERS", "none")
    with pytest.raises(AasistError, match=r"^settings: AASIST_WORKERS: .*, got 'none'$"):
        read_settings(file)
    with pytest.raises(AasistError, match=r"^settings: --workers: .*, got 99$"):
        read_settings(file, workers=99)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("AASIST_WEBHOOK_ALLOW", "10.0.0.0/8,http://x", "'http://x' is neither a network"),
        ("AASIST_WEBHOOK_ALLOW", "10.0.0.300", "'10.0.0.300' is neither"),
        ("AASIST_CORS_ORIGINS", "foo", "'foo' is no origin"),
        ("AASIST_CORS_ORIGINS", "https://a.example/", "is no origin.*without a path"),
        ("AASIST_CORS_ORIGINS", "https://a.example:99999", "is no origin"),
        ("AASIST_ALLOWED_HOSTS", "https://x.com", "'https://x.com' is no host"),
        ("AASIST_ALLOWED_HOSTS", "*", "is no host"),
        ("AASIST_STATE_DIR", "", "must name a folder"),
        ("AASIST_HOST", "not_a_host!", "'not_a_host!' is no host"),
        ("AASIST_HOST", "", "'' is no host"),
        ("AASIST_HOST", "http://127.0.0.1", "is no host"),
        ("AASIST_DATABASE", "postgresql://u:p@h:abc/x", "its port must be a number"),
        ("AASIST_DATABASE", "postgresql://u:p@h:99999/x", "its port must be a number"),
        ("AASIST_RUNTIME", "foo", "got 'foo'"),
    ],
)
def test_what_would_never_match_is_refused(monkeypatch, name, value, said):
    monkeypatch.setenv(name, value)
    with pytest.raises(AasistError, match=f"^settings: {name}: .*{said}"):
        read_settings()


def test_hosts_origins_and_networks_are_taken_in_lower_case():
    found = Settings(
        allowed_hosts="Aasist.Example.org,my_box,10.0.0.7,::1",
        cors_origins="https://A.example,http://localhost:3000,http://[::1]:5,capacitor://localhost,*",
        webhook_allow="10.1.2.3/8,fd00::/8,10.0.0.1,Hooks.internal",
    )
    assert found.allowed_hosts == ("aasist.example.org", "my_box", "10.0.0.7", "::1")
    assert found.cors_origins[0] == "https://a.example"
    assert found.cors_origins[-1] == "*"
    assert found.webhook_allow == ("10.1.2.3/8", "fd00::/8", "10.0.0.1", "hooks.internal")


def test_a_variable_that_is_no_setting_is_told_and_others_of_the_project_are_not(monkeypatch):
    for name in ELSEWHERE:
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("AASIST_MAX_BYTES", "3")
    assert unknown_variables() == []
    monkeypatch.setenv("AASIST_MAX_BITES", "3")
    (line,) = unknown_variables()
    assert line.startswith("AASIST_MAX_BITES is no setting")
    assert "AASIST_MAX_BYTES" in line


def test_every_variable_that_tests_and_benchmarks_read_is_known():
    root = Path(__file__).parents[2]
    read = {
        name
        for folder in ("src", "tests", "benchmarks")
        for path in (root / folder).rglob("*.py")
        for name in re.findall(r"""environ(?:\.get\(|\[)["'](AASIST_[A-Z_]+)["']""", path.read_text("utf-8"))
    }
    assert {"AASIST_REFERENCE", "AASIST_CORPUS"} <= read
    assert read - ELSEWHERE - {f"AASIST_{name.upper()}" for name in Settings.model_fields} == set()


def test_a_file_that_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("AASIST_SETTINGS", "")
    with pytest.raises(AasistError, match="no settings file"):
        read_settings(tmp_path / "none.toml")


def test_what_is_shown_is_a_settings_file_that_means_the_same_without_secrets(tmp_path):
    given = Settings(port=99, cors_origins=("https://a.example",), secret="s" * 40, database="postgresql://u:word@h/n")
    shown = given.shown()
    assert "word" not in shown
    assert "sss" not in shown
    values = tomllib.loads(shown)
    assert Settings(**values, secret=given.secret, database=given.database) == given
    assert set(values) | {"secret", "database"} >= {
        name for name in Settings.model_fields if getattr(given, name) is not None
    }


def test_every_setting_is_described():
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(
    ("host", "insecure", "asked"),
    [
        ("127.0.0.1", False, False),
        ("::1", False, False),
        ("localhost", False, False),
        ("0.0.0.0", False, True),
        ("192.168.1.5", False, True),
        ("example.org", False, True),
        ("0.0.0.0", True, False),
    ],
)
def test_keys_are_asked_for_wherever_others_can_reach_it(host, insecure, asked):
    assert Settings(host=host, insecure=insecure).keys_required is asked
    if not insecure:
        assert Settings(host=host, require_keys=True).keys_required


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "::", "[::1]", "192.0.2.1", "box.lan"])
def test_hosts_of_every_kind_can_be_listened_on(host):
    assert read_settings(host=host).host == host
