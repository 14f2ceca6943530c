"""``aasist detect --server``: the same output and exit codes, judged elsewhere."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from aasist.cli import aasist
from aasist.errors import AasistError
from aasist.service.entry.keys import new_key
from aasist.service.settings import Settings
from aasist.service.store.store import Store

from ..service.live import Live


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, loudness_onnx: Path) -> Iterator[Live]:
    """A service that asks for keys, with the model of the tests."""
    state = tmp_path_factory.mktemp("state")
    store = Store(Settings(state_dir=state))
    key, stored = new_key("of a test")
    store.keys.add(stored)
    coarse, labels_only = new_key("labels", detail="label")
    store.keys.add(labels_only)
    store.close()
    with Live(state, model=loudness_onnx, stream_model=loudness_onnx, host="0.0.0.0") as found:
        found.key, found.coarse = key, coarse
        yield found


@pytest.fixture
def desk(tmp_path: Path, recording: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AASIST_API_KEY", raising=False)
    shutil.copy(recording, tmp_path / "call.flac")
    (tmp_path / "bad.wav").write_bytes(b"no recording at all" * 100)
    return tmp_path


def run(*arguments: object, **given: object) -> Result:
    return CliRunner().invoke(aasist, ["detect", *map(str, arguments)], **given)


def url_of(live: Live) -> str:
    return f"http://127.0.0.1:{live.port}"


def objects(result: Result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_verdicts_errors_and_exit_code_are_those_of_judging_here(live, desk, loudness_onnx):
    key = desk / "key"
    key.write_text(f"{live.key}\n")
    names = ("call.flac", "bad.wav", "no.wav")
    there = run(*names, "--json", "--timeline", "--server", url_of(live), "--key-file", key)
    here = run(*names, "--json", "--timeline", "--model", loudness_onnx)
    assert there.exit_code == here.exit_code == 1
    judged, *failed = objects(there)
    expected, *also_failed = objects(here)
    assert judged == expected
    assert [(one["path"], one["error"]["code"]) for one in failed] == [
        (one["path"], one["error"]["code"]) for one in also_failed
    ]
    assert failed[0]["model"] == expected["model"]
    assert run("call.flac", "--server", url_of(live), "--key-file", key).exit_code == 0


def test_a_recording_that_is_too_long_for_an_answer_is_judged_as_a_job(tmp_path, desk, loudness_onnx):
    with Live(tmp_path / "state", model=loudness_onnx, stream_model=loudness_onnx, max_seconds=1) as running:
        there = run("call.flac", "--json", "--timeline", "--server", url_of(running))
    assert there.exit_code == 0, there.output
    assert objects(there) == objects(run("call.flac", "--json", "--timeline", "--model", loudness_onnx))


def test_the_key_may_stand_in_the_environment_and_standard_input_be_judged(live, desk):
    result = run(
        "-", "--json", "--server", url_of(live),
        input=(desk / "call.flac").read_bytes(), env={"AASIST_API_KEY": live.key},
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert objects(result)[0]["path"] == "-"
    assert "windows" not in objects(result)[0]


def test_without_a_key_it_is_said_once_and_no_recording_is_judged(live, desk):
    result = run("call.flac", "bad.wav", "--json", "--server", url_of(live))
    assert result.exit_code == 1
    assert result.stderr.count("AASIST_API_KEY") == 1
    assert [one["error"]["code"] for one in objects(result)] == ["key_required"] * 2


def test_a_key_that_sees_labels_only_gives_rows_without_numbers(live, desk):
    result = run("call.flac", "--server", url_of(live), env={"AASIST_API_KEY": live.coarse})
    assert result.exit_code == 0, result.output
    assert "call.flac" in result.stdout
    assert "·" in result.stdout.splitlines()[1].partition("[")[2].partition("]")[0]
    (verdict,) = objects(run("call.flac", "--json", "--server", url_of(live), env={"AASIST_API_KEY": live.coarse}))
    assert verdict["llr"] is None
    assert verdict["label"] in {"bonafide", "spoof", "undecided"}


@pytest.mark.parametrize(
    "options",
    [("--model", "small"), ("--threshold", "1"), ("--threads", "1"), ("--channel", "0"), ("--runtime", "onnxruntime"), ("--precision", "fp32"), ("--max-seconds", "5")],
)  # fmt: skip
def test_what_the_service_has_decided_cannot_be_chosen_here(desk, options):
    result = run("call.flac", "--server", "http://127.0.0.1:1", *options)
    assert result.exit_code == 2
    assert options[0] in result.stderr


@pytest.mark.parametrize("options", [("--explain",), ("--plot", "p")])
def test_what_needs_the_model_here_is_not_with_a_server(desk, options):
    result = run("call.flac", "--server", "http://127.0.0.1:1", *options)
    assert result.exit_code == 2
    assert f"{options[0]}: not with --server" in result.stderr


@pytest.mark.parametrize("url", ["127.0.0.1:8123", "ftp://host", ""])
def test_an_address_that_is_none_is_wrong_usage(desk, url):
    result = run("call.flac", "--server", url)
    assert result.exit_code == 2
    assert f"--server: a server is http://HOST:PORT or https://HOST, got '{url}'" in result.stderr


def test_it_is_said_once_that_a_service_is_waited_for(desk, monkeypatch):
    class Waiting:
        def __init__(self, url: str, **given: object) -> None:
            given["say"]("the service is stopping; asking again for up to 120 s")
            raise AasistError("stopping", "the service is stopping")

    monkeypatch.setattr("aasist.runtime.remote.RemoteDetector", Waiting)
    result = run("call.flac", "--server", "http://127.0.0.1:1")
    assert result.stderr.splitlines()[0] == "aasist: the service is stopping; asking again for up to 120 s"


def test_a_key_file_without_a_server_is_a_mistake(desk):
    assert run("call.flac", "--key-file", "key").exit_code == 2


@pytest.mark.parametrize("content", [None, b"", b"one two", "ключ".encode()])
def test_a_key_file_that_holds_no_key_is_said(desk, content):
    if content is not None:
        (desk / "key").write_bytes(content)
    result = run("call.flac", "--json", "--server", "http://127.0.0.1:1", "--key-file", "key")
    assert result.exit_code == 1
    assert objects(result)[0]["error"]["code"] == "key"


def test_a_key_in_clear_text_over_the_network_is_warned_of(desk):
    result = run("call.flac", "--server", "http://nobody.invalid", env={"AASIST_API_KEY": "aasist_1_2"})
    assert result.exit_code == 1
    assert "unencrypted" in result.stderr
