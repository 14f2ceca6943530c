"""The snippets of docs/clients.md run as they are written, against a service."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import soundfile
import soxr

pytest.importorskip("fastapi", reason="the extra serve is not installed")

from aasist.service.entry.keys import new_key
from aasist.service.settings import Settings
from aasist.service.store.store import Store
from aasist.service.stream.telephony import Parameters

from ..service.live import Live

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "clients.md").read_text()
WRITTEN = "127.0.0.1:8000"
LABEL = re.compile(r"\b(bonafide|spoof|undecided)\b")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def lines(program: str) -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line.startswith(program)]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory, loudness_onnx: Path) -> Iterator[tuple[Live, str]]:
    """A service that asks for keys, and one."""
    state = tmp_path_factory.mktemp("state")
    store = Store(Settings(state_dir=state))
    key, stored = new_key("of a test")
    store.keys.add(stored)
    store.close()
    with Live(state, model=loudness_onnx, stream_model=loudness_onnx, host="0.0.0.0") as running:
        yield running, key


@pytest.fixture
def desk(tmp_path: Path, recording: Path, live: tuple[Live, str]) -> Path:
    """A folder with every file that the page names."""
    samples, rate = soundfile.read(recording, dtype="float32")
    heard = soxr.resample(samples, rate, 16_000)[:64_000]
    shutil.copy(ROOT / "examples" / "spoof-kokoro-en.m4a", tmp_path / "call.m4a")
    soundfile.write(tmp_path / "call.wav", heard, 16_000, subtype="PCM_16")
    raw = io.BytesIO()
    soundfile.write(raw, heard, 16_000, format="RAW", subtype="PCM_16")
    (tmp_path / "call.s16").write_bytes(raw.getvalue())
    (tmp_path / "key.txt").write_text(live[1])
    return tmp_path


def run(arguments: list[str], live: tuple[Live, str | None], desk: Path) -> str:
    running, key = live
    environment = {
        **{name: value for name, value in os.environ.items() if name != "AASIST_API_KEY"},
        **({"AASIST_API_KEY": key} if key else {}),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    arguments = [argument.replace(WRITTEN, f"127.0.0.1:{running.port}") for argument in arguments]
    done = subprocess.run(
        arguments, cwd=desk, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("line", lines("curl"))
def test_each_line_of_curl_is_answered(line, live, desk):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    said = run(["bash", "-c", line], live, desk)
    assert LABEL.search(said) or '"status":"queued"' in said or '"serving":true' in said


@pytest.mark.parametrize("line", lines("aasist"))
def test_each_call_of_the_command_judges(line, live, desk):
    command = line.replace("aasist", f"{sys.executable} -m aasist", 1)
    assert LABEL.search(run(["bash", "-c", command], live, desk))


@pytest.mark.parametrize("snippet", blocks("python"))
def test_each_snippet_of_python_says_a_label(snippet, live, desk):
    assert LABEL.search(run([sys.executable, "-W", "error", "-c", snippet], live, desk))


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory, loudness_onnx: Path) -> Iterator[tuple[Live, None]]:
    """A service of loopback, which asks for none."""
    with Live(tmp_path_factory.mktemp("keyless"), model=loudness_onnx, stream_model=loudness_onnx) as running:
        yield running, None


@pytest.mark.parametrize("snippet", blocks("python"))
def test_each_snippet_of_python_does_without_a_key_where_none_is_asked_for(snippet, keyless, desk):
    assert LABEL.search(run([sys.executable, "-W", "error", "-c", snippet], keyless, desk))


@pytest.mark.parametrize("snippet", blocks("js"))
def test_each_snippet_of_javascript_says_a_label(snippet, live, desk):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    flags = ["--experimental-websocket"] if "WebSocket" in snippet else []
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    major = int(said.lstrip("v").split(".")[0])
    if major < 20:
        pytest.skip(f"node {said.strip()} is older than 20")
    flags = flags if major < 22 else []
    assert LABEL.search(run([node, *flags, "--input-type=module", "--eval", snippet], live, desk))


def test_the_page_has_a_snippet_of_each_kind():
    assert len(lines("curl")) >= 4
    assert len(lines("aasist")) >= 2
    assert len(blocks("python")) >= 3
    assert len(blocks("js")) >= 2


def test_the_parameters_of_a_telephone_stream_are_those_that_are_described():
    page = (ROOT / "docs" / "live.md").read_text()
    (twiml,) = re.findall(r"```xml\n(.*?)```", page, re.DOTALL)
    used = {parameter.attrib["name"] for parameter in ElementTree.fromstring(twiml).iter("Parameter")}
    described = set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert used <= set(Parameters.model_fields) == described
