"""Processes that decode: a recording that kills one fails alone, and no process or file stays behind."""

from __future__ import annotations

import io
import os
import signal
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from aasist.audio.listen import Listener
from aasist.audio.read import open_audio
from aasist.errors import AudioError
from aasist.service import decoders as module
from aasist.service import frames
from aasist.service.decoders import Decoders, Given

from .conftest import wav

TASK = {"window_samples": 8_000, "hop_samples": 4_000, "max_bytes": 10**8, "max_seconds": 600.0, "seconds": 60.0}
MEMORY = 1 << 29


def never() -> bool:
    return False


@pytest.fixture
def decoders():
    made = Decoders(1, memory_bytes=MEMORY)
    yield made
    pids = made.pids()
    made.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def hear(decoders, content: bytes, stop=never, **task):
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        listener = decoders.hear(file, {**TASK, **task}, stop)
        try:
            return list(listener), listener.summary
        finally:
            listener.close()


def test_it_hears_what_a_listener_here_hears(decoders, speech):
    windows, summary = hear(decoders, speech)
    with open_audio(speech) as reader:
        here = Listener(reader, window_samples=8_000, hop_samples=4_000)
        expected = list(here)
    assert summary == here.summary
    assert len(windows) == len(expected) > 2
    for one, other in zip(windows, expected, strict=True):
        assert (one.start, one.length, one.speech_samples) == (other.start, other.length, other.speech_samples)
        assert np.array_equal(one.samples, other.samples)


@pytest.mark.parametrize(
    ("content", "task", "code"),
    [
        (b"", {}, "empty"),
        (b"no recording at all", {}, "unreadable"),
        (b"#EXTM3U\nfile:///etc/passwd\n", {}, "playlist"),
        (None, {"max_seconds": 1.0}, "too_long"),
        (None, {"max_bytes": 1000}, "too_large"),
    ],
)
def test_errors_have_the_codes_of_the_command(decoders, speech, content, task, code):
    pids = decoders.pids()
    with pytest.raises(AudioError) as caught:
        hear(decoders, speech if content is None else content, **task)
    assert caught.value.code == code
    assert decoders.pids() == pids  # such a refusal costs no process


def test_a_process_that_died_idle_is_replaced_and_the_recording_judged(decoders, speech):
    hear(decoders, speech)
    os.kill(decoders.pids()[0], signal.SIGKILL)
    time.sleep(0.1)
    windows, _ = hear(decoders, speech)
    assert windows
    assert decoders.replaced == 1


def test_a_recording_that_ends_its_process_fails_and_the_next_does_not(decoders, speech):
    with tempfile.TemporaryFile() as file:
        file.write(speech)
        file.flush()
        listener = decoders.hear(file, TASK, never)
        windows = iter(listener)
        next(windows)
        os.kill(decoders.pids()[0], signal.SIGSEGV)
        with pytest.raises(AudioError) as caught:
            for _ in windows:
                pass
        assert caught.value.code == "decoder"
    assert hear(decoders, speech)[0]


def test_memory_is_bounded(speech):
    """A recording that needs more fails; here the allowance is nothing at all."""
    small = Decoders(1, memory_bytes=1)
    try:
        with pytest.raises(AudioError) as caught:
            hear(small, wav(np.tile(np.sin(np.arange(16_000) / 9).astype(np.float32) * 0.3, 400), 16_000))
        assert caught.value.code in ("memory", "decoder", "unreadable")
    finally:
        small.close()


def test_time_is_bounded(decoders, speech):
    """A process that says nothing any more is given up."""
    hear(decoders, speech)
    os.kill(decoders.pids()[0], signal.SIGSTOP)
    begun = time.monotonic()
    with pytest.raises(AudioError) as caught:
        hear(decoders, speech, seconds=0.5)
    assert caught.value.code == "timeout"
    assert time.monotonic() - begun < 5
    assert hear(decoders, speech)[0]


def test_nobody_waits_for_what_is_not_wanted_any_more(decoders, speech):
    hear(decoders, speech)
    os.kill(decoders.pids()[0], signal.SIGSTOP)
    stop = threading.Event()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(Given):
        hear(decoders, speech, stop.is_set)
    stop.clear()
    assert hear(decoders, speech)[0]


def test_what_is_left_in_the_middle_gives_its_process_back(decoders, speech):
    with tempfile.TemporaryFile() as file:
        file.write(speech)
        file.flush()
        listener = decoders.hear(file, TASK, never)
        next(iter(listener))
        listener.close()
        listener.close()
    assert hear(decoders, speech)[0]


def test_no_file_stays_open_here_or_there(decoders, speech):
    def handles() -> list[int]:
        return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (os.getpid(), decoders.pids()[0])]

    hear(decoders, speech)
    before = handles()
    for content in [speech, b"broken", b""] * 5:
        with suppress(AudioError):
            hear(decoders, content)
    assert handles() == before


def test_the_process_is_told_nothing_it_need_not_know(decoders, speech, monkeypatch):
    monkeypatch.setenv("AASIST_DATABASE", "postgresql://u:secret@h/n")
    other = Decoders(1, memory_bytes=MEMORY)
    try:
        hear(other, speech)
        environment = Path(f"/proc/{other.pids()[0]}/environ").read_bytes()
        limits = Path(f"/proc/{other.pids()[0]}/limits").read_text()
    finally:
        other.close()
    assert b"secret" not in environment
    assert b"PYTHONPATH" in environment
    assert any(line.startswith("Max file size") and line.split()[3] == "0" for line in limits.splitlines())
    assert not any(line.startswith("Max address space") and "unlimited" in line for line in limits.splitlines())


def test_a_process_that_was_taken_over_can_say_little():
    """Frames out of bounds are refused before their bytes are read."""

    def reading(content: bytes):
        stream = io.BytesIO(content)
        return lambda sock, count: stream.read(count)

    sizes = frames._SIZES
    for content in (
        sizes.pack(2, 10**9) + b"{}",
        sizes.pack(10**6, 0),
        sizes.pack(3, 0) + b"\xff\xfe\xfd",
        sizes.pack(2, 0) + b"[]",
    ):
        with pytest.raises(frames.Broken):
            frames.receive(None, max_payload=100, read=reading(content))
    with pytest.raises(ValueError, match="not a window"):
        module._window({"start": 0, "length": 4, "speech_samples": 1}, np.full(4, np.nan, np.float32).tobytes(), 4)
    with pytest.raises(ValueError, match="not a window"):
        module._window({"start": 0, "length": 5, "speech_samples": 1}, bytes(16), 4)


def test_all_of_them_end_with_the_service():
    made = Decoders(2, memory_bytes=MEMORY)
    pids = made.pids()
    assert len(pids) == 2
    made.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
