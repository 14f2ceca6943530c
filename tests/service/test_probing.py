"""One recording asked about again and again, a little altered each time, is noticed; the same again, and others, are not held back."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import numpy as np
import pytest
import soundfile
import soxr

from .conftest import wav
from .talking import FINISH, cut, talk
from .test_detect import form, problem

LIMIT = 3
ASKED = 7


@pytest.fixture(scope="module")
def samples(recording) -> np.ndarray:
    """Eleven seconds at 16 kHz: three windows and more."""
    heard, rate = soundfile.read(recording, dtype="float32")
    return np.tile(soxr.resample(heard, rate, 16_000), 3)[: 11 * 16_000]


def floats(samples: np.ndarray) -> bytes:
    """As a WAV that keeps the faintest noise."""
    file = io.BytesIO()
    soundfile.write(file, samples.astype(np.float32), 16_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


def louder(x, rng):
    return x * rng.uniform(0.3, 0.9)


def hissing(x, rng):
    return x + 1e-5 * rng.standard_normal(len(x))


def stepped(x, rng):
    """As the sign of a gradient."""
    return x + 5e-4 * rng.choice([-1.0, 1.0], len(x))


def whistling(x, rng):
    """Above the bands that are compared."""
    return x + 0.02 * np.sin(2 * np.pi * (7_000 + rng.uniform(0, 500)) / 16_000 * np.arange(len(x)))


def hissing_late(x, rng):
    """Behind the windows that are compared."""
    late = np.tile(x, 3)[: 30 * 16_000]
    late[20 * 16_000 :] += 0.01 * rng.standard_normal(10 * 16_000)
    return late


def ask(client, content: bytes) -> int:
    return client.post("/v1/detect", **form(content)).status_code


@pytest.mark.parametrize("altered", [louder, hissing, stepped, whistling, hissing_late])
def test_near_copies_of_one_recording_are_held_back(serving, samples, altered: Callable):
    client, rng = serving(probe_limit=LIMIT), np.random.default_rng(0)
    statuses = [ask(client, floats(altered(samples, rng))) for _ in range(ASKED)]
    assert statuses == [200] * (1 + LIMIT) + [429] * (ASKED - 1 - LIMIT)
    refused = client.post("/v1/detect", **form(b"x"))
    problem(refused, 429, "probing")
    assert int(refused.headers["Retry-After"]) > 60


def test_the_very_same_is_answered_as_often_as_it_is_asked_in_whatever_form(serving, samples):
    client = serving(probe_limit=LIMIT)
    flac = io.BytesIO()
    soundfile.write(flac, samples, 16_000, format="FLAC", subtype="PCM_16")
    forms = [wav(samples, 16_000), flac.getvalue()]
    assert [ask(client, forms[number % 2]) for number in range(3 * ASKED)] == [200] * 3 * ASKED


def test_what_follows_another_beginning_is_not_noticed(serving, samples):
    """docs/security.md says so."""
    client, rng = serving(probe_limit=LIMIT), np.random.default_rng(0)
    beginnings = [soxr.resample(samples, 16_000, 16_000 * faster) for faster in np.linspace(0.7, 1.3, ASKED)]
    statuses = [ask(client, floats(np.concatenate([one, hissing(samples, rng)]))) for one in beginnings]
    assert statuses == [200] * ASKED


def test_jobs_are_counted_with_the_rest(serving, settings, samples):
    from aasist.service.entry.keys import new_key

    client = serving(settings(probe_limit=LIMIT, host="0.0.0.0", allowed_hosts=("127.0.0.1",)))
    rng = np.random.default_rng(0)
    key, stored = new_key("a")
    client.app.state.service.store.keys.add(stored)
    headers = {"Authorization": f"Bearer {key}"}
    for number in range(2 + LIMIT):
        location = client.post("/v1/jobs", headers=headers, **form(floats(hissing(samples, rng)))).headers["Location"]
        while (answer := client.get(location, headers=headers)).json().get("status") in ("queued", "running"):
            time.sleep(0.02)
        assert answer.status_code == (429 if number == 1 + LIMIT else 200)
    problem(answer, 429, "probing")


@pytest.mark.parametrize("seconds", [4.2, 11.0], ids=["fewer", "all three"])
def test_streams_are_compared_by_their_first_three_windows(serving, samples, seconds):
    client, rng = serving(probe_limit=LIMIT), np.random.default_rng(0)
    ends = []
    for _ in range(3 + LIMIT):
        pcm = np.round(32_767 * stepped(samples, rng)[: int(seconds * 16_000)]).astype("<i2").tobytes()
        events, code = talk(client, [*cut(pcm, 64_000), FINISH])
        ends.append((events[-1].get("code", events[-1]["type"]), code))
    assert ends == [("final", 1000)] * (1 + LIMIT) + [("probing", 4429)] * 2


def test_three_windows_of_a_stream_are_compared_and_of_one_that_vanishes_what_there_was(serving, samples, monkeypatch):
    client = serving()
    admission, seen = client.app.state.service.admission, []
    monkeypatch.setattr(admission, "likeness", lambda principal, likeness: likeness and seen.append(len(likeness.bits)))
    pcm = np.round(32_767 * samples).astype("<i2").tobytes()
    talk(client, [*cut(pcm, 6_400), FINISH])
    assert seen == [3]
    with client.websocket_connect("ws://127.0.0.1/v1/stream") as socket:
        socket.send_json({"encoding": "pcm16", "sample_rate": 16_000})
        for piece in cut(pcm[: int(1.6 * 32_000)], 6_400):
            socket.send_bytes(piece)
        while socket.receive_json()["type"] != "score":
            pass
    while client.app.state.service.admission.all_streams:
        time.sleep(0.02)
    assert len(seen) == 2
    assert 1 <= seen[1] <= 2
