"""Services to ask: one that the tests of this folder share, and any other made to measure."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra serve is not installed")

import soundfile
from fastapi.testclient import TestClient

from aasist.service.app import create_app
from aasist.service.settings import Settings

from .postgres import cluster, new_database

HERE = "http://127.0.0.1"


@pytest.fixture(autouse=True)
def _no_settings_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AASIST_SETTINGS", "AASIST_DATABASE", "AASIST_HOST"):
        monkeypatch.delenv(name, raising=False)


def settings_in(folder: Path, model: Path | str, **given: Any) -> Settings:
    """Small: one decoder, one thread, the model that is made in no time, no limit on requests."""
    values = {"threads": 1, "decoders": 1, "requests_per_minute": 0, "job_lease_seconds": 3.0}
    values |= {"model": str(model), "stream_model": str(model)}
    return Settings(state_dir=folder, **{**values, **given})


@pytest.fixture
def settings(tmp_path: Path, loudness_onnx: Path) -> Callable[..., Settings]:
    """Makes settings with a fresh folder."""

    def make(**given: Any) -> Settings:
        return settings_in(tmp_path / "state", given.pop("model", loudness_onnx), **given)

    return make


@pytest.fixture
def serving(settings: Callable[..., Settings]) -> Iterator[Callable[..., TestClient]]:
    """Starts a service in this process; the client's ``app.state.service`` is it."""
    with ExitStack() as stack:

        def start(given: Settings | None = None, **values: Any) -> TestClient:
            client = TestClient(create_app(given or settings(**values)), base_url=HERE, raise_server_exceptions=False)
            running: AbstractContextManager[TestClient] = client
            return stack.enter_context(running)

        yield start


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, loudness_onnx: Path) -> Iterator[TestClient]:
    """A service of the defaults; what a test changes in it stays for the tests of its file."""
    given = settings_in(tmp_path_factory.mktemp("state"), loudness_onnx)
    with TestClient(create_app(given), base_url=HERE, raise_server_exceptions=False) as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server of PostgreSQL."""
    with cluster() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'of-test.db'}"
    return new_database(request.getfixturevalue("postgres"))


@pytest.fixture(scope="session")
def speech(recording: Path) -> bytes:
    """A WAV of three seconds of the human recording."""
    samples, rate = soundfile.read(recording, dtype="float32")
    return wav(samples[: 3 * rate], rate)


def wav(samples: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
