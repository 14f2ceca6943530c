"""The page as it is built, served from this machine and opened in Chromium; a visible skip where that cannot be."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import soundfile

from aasist.audio.read import read
from aasist.session import SAMPLE_RATE, Float32

from .chromium import Chromium, program

ROOT = Path(__file__).parents[2]
EXAMPLE_FILES = sorted(
    path for path in (ROOT / "examples").iterdir() if path.suffix in {".wav", ".flac", ".opus", ".m4a"}
)
DONE = "!document.querySelector('#verdict').hidden || !document.querySelector('#error').hidden"


def recording_of(path: Path) -> Float32:
    """An example (N,) at 16 kHz."""
    return read(path)


def builder() -> Any:
    """The module of ``examples/browser/build.py``, anew each time."""
    spec = importlib.util.spec_from_file_location("build", ROOT / "examples/browser/build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Served:
    """A folder served at ``address``, as any static server would; ``requests`` are method and path, as they came."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[tuple[str, str]] = []
        requests = self.requests

        class Handler(SimpleHTTPRequestHandler):
            def log_request(self, *_: object) -> None:
                requests.append((self.command, self.path))

            def log_message(self, *_: object) -> None:
                """Tests say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.address = f"http://127.0.0.1:{self._server.server_port}/"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Page:
    """The open page, as a user meets it."""

    def __init__(self, chromium: Chromium, served: Served) -> None:
        self.chromium, self.served = chromium, served

    def text(self, selector: str) -> str:
        return str(self.chromium.evaluate(f"document.querySelector({selector!r}).innerText"))

    def open(self) -> None:
        """Load the page anew and wait until it is ready, or says why not."""
        self.served.requests.clear()
        self.chromium.open(self.served.address)
        self.chromium.until("['Ready.', ''].includes(document.querySelector('#status').textContent)")

    def judge(self, *files: Path) -> dict[str, Any]:
        """Choose a file -> the verdict's JSON; ``AssertionError`` with the page's message where it has none."""
        self._forget()
        self.chromium.choose("#file", *files)
        return self.verdict()

    def verdict(self) -> dict[str, Any]:
        self.chromium.until(DONE)
        assert self.chromium.evaluate("document.querySelector('#error').hidden"), self.text("#error")
        verdict: dict[str, Any] = json.loads(self.chromium.evaluate("document.querySelector('#json').textContent"))
        return verdict

    def refusal(self, file: Path) -> tuple[str, str]:
        """Choose a file that cannot be judged -> the error's code and what is shown of it."""
        self._forget()
        self.chromium.choose("#file", file)
        self.chromium.until(DONE)
        assert self.chromium.evaluate("document.querySelector('#verdict').hidden")
        return str(self.chromium.evaluate("document.querySelector('#error').dataset.code")), self.text("#error")

    def drop(self, *files: Path) -> None:
        self._forget()
        self.chromium.drop(200, 200, *files)

    def _forget(self) -> None:
        self.chromium.evaluate("for (const id of ['verdict', 'error']) document.getElementById(id).hidden = true")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """One browser for all tests of the page."""
    path = program()
    if path is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    with Chromium(path) as running:
        yield running


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page with the shipped small model."""
    build, folder = builder(), tmp_path_factory.mktemp("browser") / "dist"
    try:
        build.build(folder)
    except build.NotFetched as error:
        pytest.skip(f"the page cannot be built here: {error}")
    return folder


@pytest.fixture(scope="session")
def served(built: Path) -> Iterator[Served]:
    """The built page at an address of its own."""
    server = Served(built)
    yield server
    server.close()


@pytest.fixture(scope="session")
def opened(chromium: Chromium, served: Served) -> Page:
    """The page, loaded once: its 17 MB take a while on a busy machine."""
    page = Page(chromium, served)
    page.open()
    assert page.text("#status") == "Ready.", page.text("#error")
    return page


@pytest.fixture
def page(opened: Page) -> Page:
    """The page on a desk's screen, ready for a recording; loaded anew only where another was open meanwhile."""
    opened.chromium.screen(1280, 900)
    if opened.chromium.evaluate("location.href") != opened.served.address:
        opened.open()
    return opened


@pytest.fixture
def wav(tmp_path: Path) -> Callable[..., Path]:
    """Writes samples (N,) or (N, C) as WAV of 16-bit PCM at 16 kHz."""

    def write(samples: Float32, name: str = "recording.wav", rate: int = SAMPLE_RATE, subtype: str = "PCM_16") -> Path:
        soundfile.write(tmp_path / name, samples, rate, subtype=subtype)
        return tmp_path / name

    return write
