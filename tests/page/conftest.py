"""The page as the service gives it, in Chromium; a visible skip where that cannot be."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile

from aasist.audio.read import read
from aasist.session import SAMPLE_RATE, Float32

if TYPE_CHECKING:
    from fastapi import FastAPI
    from playwright.sync_api import Browser, Page, Playwright

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
HUMAN, SPOOF, MIXED = (
    EXAMPLES / name for name in ("human-librivox-en.flac", "spoof-espeak-de.wav", "spoof-kokoro-en.m4a")
)
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PATIENCE_MS = 60_000
"""A busy machine is no failure."""


class Served:
    """The application at ``address``, on a free port of this machine."""

    def __init__(self, app: FastAPI) -> None:
        self.service = app.state.service
        import uvicorn

        config = uvicorn.Config(app, port=0, log_level="warning", ws="websockets-sansio", lifespan="on")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._server.serve()))
        self._thread.start()
        deadline = time.monotonic() + 60
        while not self._server.started:
            assert self._thread.is_alive() and time.monotonic() < deadline, "the service did not start"
            time.sleep(0.02)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}/"

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join()


def serve(folder: Path, **given: object) -> Served:
    """The service with its page; small, and without limits on requests unless they are given."""
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    from aasist.service.app import create_app
    from aasist.service.settings import Settings

    values = {"model": "small", "threads": 1, "decoders": 1, "requests_per_minute": 0, "probe_limit": 0}
    return Served(create_app(Settings(state_dir=folder, **{**values, **given})))


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The service of all tests that need no other."""
    server = serve(tmp_path_factory.mktemp("state"))
    yield server
    server.close()


@pytest.fixture
def made_to_measure(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts a service with other settings."""
    servers: list[Served] = []

    def start(**given: object) -> Served:
        servers.append(serve(tmp_path / "state", **given))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    """Gone before tests of other files come: while it runs, so does an event loop, and none of theirs may."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install '.[dev]'")
    sync_api.expect.set_options(timeout=PATIENCE_MS)
    with sync_api.sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the microphone hears: a human for 5 s, then a machine for 6 s, again and again."""
    path = tmp_path_factory.mktemp("microphone") / "spoken.wav"
    soundfile.write(path, np.concatenate([read(HUMAN), read(SPOOF)]), SAMPLE_RATE, subtype="PCM_16")
    return path


@pytest.fixture(scope="module")
def browser(playwright: Playwright, spoken: Path) -> Iterator[Browser]:
    """One browser for the tests of a file, whose microphone plays a file."""
    program = next((found for name in PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is installed: apt-get install chromium")
    switches = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={spoken}",
        *(["--no-sandbox"] if os.geteuid() == 0 else []),  # Chromium refuses to run as root within its sandbox
    ]
    running = playwright.chromium.launch(executable_path=program, args=switches)
    yield running
    running.close()


@pytest.fixture
def open_page(browser: Browser, served: Served) -> Iterator[Callable[..., Page]]:
    """Opens the page in a browser profile of its own; afterwards: nothing was asked of another origin, and the browser had
    nothing to complain of but what the server refused (the options go to ``Browser.new_context``)."""
    addresses, contexts, asked, complaints = [], [], [], []

    def opened(server: Served = served, **options: object) -> Page:
        addresses.append(server.address)
        context = browser.new_context(
            base_url=server.address, accept_downloads=True, permissions=["microphone"], **options
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        elsewhere = re.compile(f"^(?!{re.escape(server.address)}|blob:|data:)")
        context.route(elsewhere, lambda route: route.abort())  # as without the internet
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
        page.goto("/", wait_until="networkidle")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not [url for url in asked if not url.startswith((*addresses, "blob:"))]
    refused = "Failed to load resource: the server responded with a status of"  # of Chromium, for any 4xx and 5xx
    assert not [
        text for text in complaints if not text.startswith((refused, "Failed to load resource: net::ERR_FAILED"))
    ]


def until(page: Page, expression: str) -> None:
    """Wait until an expression is true. Playwright's own wait evaluates text in the page, which its policy forbids."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, f"never came true in the page: {expression}"
        page.wait_for_timeout(50)


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    """The page on a desk's screen."""
    return open_page(viewport={"width": 1280, "height": 900})


@pytest.fixture
def wav(tmp_path: Path) -> Callable[..., Path]:
    """Writes samples (N,) as WAV of 16-bit PCM at 16 kHz."""

    def write(samples: Float32, name: str = "recording.wav") -> Path:
        soundfile.write(tmp_path / name, samples, SAMPLE_RATE, subtype="PCM_16")
        return tmp_path / name

    return write
