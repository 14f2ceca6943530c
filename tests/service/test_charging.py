"""Seconds of audio are charged by what was heard, whatever came of it."""

from __future__ import annotations

import asyncio
import io
import time

import av
import numpy as np
import pytest
import soundfile

from aasist.service.entry.keys import new_key
from aasist.service.settings import Settings

from .conftest import wav
from .test_detect import form, problem

LIMIT = 10.0


def adts(samples: np.ndarray, rate: int) -> bytes:
    """AAC of which nobody can tell how long it is before all of it is decoded."""
    file = io.BytesIO()
    with av.open(file, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=rate, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples.astype(np.float32)[None], format="fltp", layout="mono")
        frame.sample_rate = rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return file.getvalue()


@pytest.fixture(scope="module")
def speaking(recording) -> tuple[np.ndarray, int]:
    samples, rate = soundfile.read(recording, dtype="float32")
    return np.tile(samples, 10)[: 25 * rate], rate


def owed(client) -> float:
    """Seconds that the only account is in debt."""
    (account,) = client.app.state.service.admission._accounts.values()
    return -account.audio.level


@pytest.mark.parametrize("silent", [False, True])
def test_a_recording_that_turns_out_too_long_is_paid_for_as_far_as_it_was_heard(serving, speaking, silent):
    samples, rate = speaking
    client = serving(audio_seconds_per_hour=LIMIT, max_seconds=20.0)
    content = adts(1e-3 * np.ones_like(samples) if silent else samples, rate)
    problem(client.post("/v1/detect", **form(content)), 413, "too_long")
    problem(client.post("/v1/detect", **form(content)), 429, "audio_rate")
    assert 20.0 - LIMIT - 1.0 < owed(client) < 25.0 - LIMIT


def test_what_could_not_be_read_at_all_costs_nothing_and_what_told_its_length_neither(serving, speaking):
    client = serving(audio_seconds_per_hour=LIMIT, max_seconds=20.0)
    for _ in range(3):
        problem(client.post("/v1/detect", **form(b"no recording")), 422, "unreadable")
        problem(client.post("/v1/detect", **form(wav(*speaking))), 413, "too_long")
    assert owed(client) == pytest.approx(-LIMIT, abs=0.1)


def test_a_verdict_is_paid_for_once(serving, speaking):
    samples, rate = speaking
    client = serving(audio_seconds_per_hour=LIMIT)
    assert client.post("/v1/detect", **form(wav(samples[: 12 * rate], rate))).status_code == 200
    assert owed(client) == pytest.approx(2.0, abs=0.1)


def test_who_hangs_up_pays_for_what_was_heard(serving, speaking, monkeypatch):
    client = serving(audio_seconds_per_hour=LIMIT)
    service = client.app.state.service
    scored, run = [], service.judge.detector.session.run

    def slowly(windows):
        scored.append(len(windows))
        time.sleep(0.3)
        return run(windows)

    monkeypatch.setattr(type(service.judge.detector.session), "run", lambda self, windows: slowly(windows))

    async def hang_up():
        sent: list[bool] = []

        async def receive():
            if not sent:
                sent.append(True)
                return {"type": "http.request", "body": wav(*speaking), "more_body": False}
            while not scored:
                await asyncio.sleep(0.01)
            return {"type": "http.disconnect"}

        async def send(message):
            raise AssertionError(message)

        scope = {
            "type": "http", "http_version": "1.1", "method": "POST", "path": "/v1/detect", "raw_path": b"/v1/detect",
            "query_string": b"", "scheme": "http", "root_path": "", "server": ("127.0.0.1", 80),
            "client": ("testclient", 1), "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"audio/wav")],
        }  # fmt: skip
        try:
            await client.app(scope, receive, send)
        except Exception as error:  # ClientDisconnect, or what the middleware makes of it
            assert "Disconnect" in type(error).__name__, error

    client.portal.call(hang_up)
    assert service.admission.uploads == 0
    (account,) = service.admission._accounts.values()
    assert account.audio.level < LIMIT - 0.5


def test_jobs_that_fail_are_paid_for_too(serving, settings, speaking):
    given: Settings = settings(
        audio_seconds_per_hour=LIMIT, job_max_seconds=20.0, host="0.0.0.0", allowed_hosts=("127.0.0.1",)
    )
    client = serving(given)
    key, stored = new_key("a")
    client.app.state.service.store.keys.add(stored)
    headers = {"Authorization": f"Bearer {key}"}
    location = client.post("/v1/jobs", headers=headers, **form(adts(*speaking))).headers["Location"]
    until = time.monotonic() + 30
    while client.app.state.service.store.jobs.get(location.rpartition("/")[2]).status != "failed":
        assert time.monotonic() < until
        time.sleep(0.02)
    problem(client.get(location, headers=headers), 429, "audio_rate")
