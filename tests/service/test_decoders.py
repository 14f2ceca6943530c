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
from aasist.service.decode import decoders as module
from aasist.service.decode import frames, said
from aasist.service.decode.decoders import Decoders
from aasist.service.decode.process import Given
from aasist.service.problems import Problem

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


def kill(pid: int) -> None:
    """And wait until it is dead, leaving it to whoever started it."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


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
    kill(decoders.pids()[0])
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
        time.sleep(0.2)  # it closes the recording's file after it has answered
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
        said.window_of({"start": 0, "length": 4, "speech_samples": 1}, np.full(4, np.nan, np.float32).tobytes(), 4)
    with pytest.raises(ValueError, match="not a window"):
        said.window_of({"start": 0, "length": 5, "speech_samples": 1}, bytes(16), 4)


def test_what_it_says_is_one_printable_line():
    """Half a surrogate can be said in JSON, and neither sent nor stored."""
    error = said.error_of({"code": "x\ud800", "message": "a\0b\ud800\n\x1b[1mc" + "y" * 5_000})
    assert error.code == "x?"
    assert error.message.startswith("a b? [1mc")
    assert len(error.message) == said.MOST_MESSAGE
    quality = {"peak_dbfs": 0.0, "speech_level_dbfs": None, "noise_level_dbfs": None, "snr_db": None}
    quality |= {"clipped_fraction": 0.0, "bandwidth_hz": None, "truncated": False}
    header = {"quality": quality, "duration_seconds": 1.0, "speech_seconds": 1.0, "sample_rate": 1, "channels": 1}
    header |= {"warnings": [{"code": "\udfff", "message": "\0"}], "undecided_reasons": []}
    heard = said.heard_of(header)
    assert (heard.warnings[0].code, heard.warnings[0].message) == ("?", "")
    for wrong in ("\ud800", float("nan"), []):
        with pytest.raises(ValueError, match="not a measurement"):
            said.heard_of(header | {"quality": quality | {"snr_db": wrong}})


class Full(module.DecodeProcess):
    """While ``full``, the machine has room for no other."""

    full = True

    def __init__(self, memory_bytes: int) -> None:
        if self.full:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        super().__init__(memory_bytes)


def test_where_no_other_can_be_started_the_recording_is_not_to_blame_and_the_place_is_filled_later(
    decoders, speech, monkeypatch
):
    hear(decoders, speech)
    monkeypatch.setattr(module, "DecodeProcess", Full)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.0)
    kill(decoders.pids()[0])
    with pytest.raises(Problem) as caught:
        hear(decoders, speech)
    assert (caught.value.status, caught.value.retry_after) == (503, 5)
    assert decoders.pids() == []
    with pytest.raises(Problem) as caught, tempfile.TemporaryFile() as file:
        decoders.hear(file, TASK, never, wait_seconds=0.3)
    assert caught.value.code == "busy"
    monkeypatch.setattr(Full, "full", False)
    for _ in range(2):
        assert hear(decoders, speech)[0]
    assert len(decoders.pids()) == 1
    assert decoders.replaced == 1


def test_nobody_waits_for_a_process_longer_than_he_would(decoders, speech):
    with tempfile.TemporaryFile() as file:
        file.write(speech)
        file.flush()
        lent = decoders.hear(file, TASK, never)
        begun = time.monotonic()
        with pytest.raises(Problem) as caught:
            decoders.hear(file, TASK, never, wait_seconds=0.1)
        assert caught.value.status == 503
        assert time.monotonic() - begun < 5
        lent.close()
    assert hear(decoders, speech)[0]


def test_it_begins_with_all_or_with_none(monkeypatch):
    begun: list[int] = []

    class Second(module.DecodeProcess):
        def __init__(self, memory_bytes: int) -> None:
            if begun:
                raise OSError(24, "Too many open files")
            super().__init__(memory_bytes)
            begun.append(self.pid)

    monkeypatch.setattr(module, "DecodeProcess", Second)
    with pytest.raises(Problem):
        Decoders(2, memory_bytes=MEMORY)
    assert len(begun) == 1
    assert not Path(f"/proc/{begun[0]}").exists()


def test_all_of_them_end_with_the_service():
    made = Decoders(2, memory_bytes=MEMORY)
    pids = made.pids()
    assert len(pids) == 2
    made.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
