"""``aasist stream``: events while a call lasts, and a clean end however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from aasist.cli import aasist
from aasist.cli.stream import Stops
from aasist.errors import AasistError


@pytest.fixture(scope="module")
def pcm(recording: Path) -> bytes:
    """A recording of five seconds as 16-bit PCM at 16 kHz."""
    samples, rate = soundfile.read(recording, dtype="int16")
    assert rate == 16_000
    return np.asarray(samples, "<i2").tobytes()


@pytest.fixture(scope="module")
def wav(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples, rate = soundfile.read(recording, dtype="int16")
    path = tmp_path_factory.mktemp("call") / "call.wav"
    soundfile.write(path, samples, rate)
    return path


def stream(model: Path, *arguments: str | os.PathLike[str], **options: Any) -> Result:
    return CliRunner().invoke(aasist, ["stream", "--model", str(model), *map(os.fspath, arguments)], **options)


def events_of(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def started(model: Path, *arguments: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-X", "dev", "-W", "error", "-m", "aasist", "stream", "--model", str(model), *arguments]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(words, **pipes, preexec_fn=heeds)  # noqa: PLW1509


def heeds() -> None:
    """Ctrl-C is heeded: a shell may have it ignored for what runs in the background, such as these tests."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def call(loudness_onnx: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The program while it watches raw PCM at 16 kHz."""
    with started(loudness_onnx, "--sample-rate", "16000", "-") as process:
        try:
            yield process
        finally:
            process.kill()


def test_wav_raw_pcm_and_the_recording_itself_are_told_the_same(loudness_onnx: Path, wav: Path, pcm: bytes) -> None:
    by_header = events_of(stream(loudness_onnx, "-", input=wav.read_bytes()))
    raw = events_of(stream(loudness_onnx, "-", "--sample-rate", "16000", input=pcm))
    walked = events_of(stream(loudness_onnx, wav))
    assert by_header == raw
    assert {event["type"] for event in raw} >= {"window", "score", "final"}
    final, other = raw[-1], walked[-1]
    assert (final["type"], final["path"], other["path"]) == ("final", "-", str(wav))
    assert {**final, "path": ""} == {**other, "path": ""}
    assert [event for event in raw if event["type"] == "window"] == [
        event for event in walked if event["type"] == "window"
    ]


@pytest.mark.parametrize(("encoding", "kind"), [("pcm32", "<i4"), ("float32", "<f4"), ("float64", "<f8")])
def test_raw_encodings_are_the_same_audio(encoding: str, kind: str, loudness_onnx: Path, pcm: bytes) -> None:
    samples = np.frombuffer(pcm, "<i2").astype(np.int64)
    coded = (samples * 2**16).astype(kind) if kind == "<i4" else (samples / 2**15).astype(kind)
    options = ("-", "--sample-rate", "16000")
    assert events_of(stream(loudness_onnx, *options, "--encoding", encoding, input=coded.tobytes())) == events_of(
        stream(loudness_onnx, *options, input=pcm)
    )


def test_one_channel_of_several_is_watched(loudness_onnx: Path, pcm: bytes) -> None:
    samples = np.frombuffer(pcm, "<i2")
    both = np.stack([np.zeros_like(samples), samples], axis=1).tobytes()
    options = ("-", "--sample-rate", "16000")
    two = events_of(stream(loudness_onnx, *options, "--channels", "2", "--channel", "1", input=both))
    one = events_of(stream(loudness_onnx, *options, input=pcm))
    assert two[:-1] == one[:-1]
    assert (two[-1]["llr"], two[-1]["channels"]) == (one[-1]["llr"], 2)


@pytest.mark.parametrize(
    ("content", "code"), [(b"", "empty"), (b"hello, hello, hello", "unreadable"), (b"RIFF\0\0\0\0WAVE", "unreadable")]
)
def test_what_is_no_wav_is_refused_in_words(content: bytes, code: str, loudness_onnx: Path) -> None:
    result = stream(loudness_onnx, "-", input=content)
    assert isinstance(result.exception, AasistError)
    assert result.exception.code == code
    assert not result.stdout


def test_raw_pcm_of_no_samples_is_refused(loudness_onnx: Path) -> None:
    result = stream(loudness_onnx, "-", "--sample-rate", "8000", input=b"")
    assert isinstance(result.exception, AasistError)
    assert result.exception.code == "empty"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("call.wav", "--sample-rate", "8000"), "are for raw PCM on standard input"),
        (("call.wav", "--encoding", "alaw"), "are for raw PCM on standard input"),
        (("-", "--encoding", "alaw"), "raw PCM needs --sample-rate too"),
        (("-", "--channels", "2"), "raw PCM needs --sample-rate too"),
        (("-", "--sample-rate", "1"), "4000"),
        (("-", "--threshold", "nan"), "finite number"),
        ((), "Missing argument"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], words: str, loudness_onnx: Path) -> None:
    result = stream(loudness_onnx, *arguments, input=b"\0" * 100)
    assert (result.exit_code, result.stdout) == (2, "")
    assert words in result.stderr


def test_events_come_while_the_call_lasts(call: subprocess.Popen[bytes], pcm: bytes) -> None:
    assert call.stdin
    assert call.stdout
    call.stdin.write(pcm[: 2 * 3 * 16_000])
    call.stdin.flush()
    assert json.loads(call.stdout.readline())["type"] in ("provisional", "window")
    assert call.poll() is None
    rest, complaints = call.communicate(pcm[2 * 3 * 16_000 :], timeout=60)
    assert json.loads(rest.splitlines()[-1])["type"] == "final"
    assert (call.returncode, complaints) == (0, b"")


@pytest.mark.parametrize(
    ("stop", "code", "said"), [(signal.SIGINT, 130, b"aasist: stopped"), (signal.SIGTERM, 143, b"")]
)
def test_a_stop_ends_with_the_verdict_on_what_was_heard(
    stop: signal.Signals, code: int, said: bytes, call: subprocess.Popen[bytes], pcm: bytes
) -> None:
    assert call.stdin
    assert call.stdout
    call.stdin.write(pcm)
    call.stdin.flush()
    call.stdout.readline()
    call.send_signal(stop)
    # Its standard input stays open: nothing but the signal ends it.
    lines = call.stdout.read().splitlines()
    assert call.wait(timeout=60) == code
    assert call.stderr
    assert call.stderr.read().strip() == said
    final = json.loads(lines[-1])
    assert (final["type"], final["error"]) == ("final", None)
    assert final["duration_seconds"] > 0


def test_a_reader_who_leaves_ends_it_quietly(call: subprocess.Popen[bytes], pcm: bytes) -> None:
    assert call.stdin
    assert call.stdout
    assert call.stderr
    call.stdin.write(pcm[:80_000])
    call.stdin.flush()
    call.stdout.readline()
    call.stdout.close()
    for first in range(80_000, len(pcm), 8_000):
        try:
            call.stdin.write(pcm[first : first + 8_000])
            call.stdin.flush()
        except BrokenPipeError:
            break
    with suppress(BrokenPipeError):
        call.stdin.close()
    assert call.wait(timeout=60) == 141
    assert call.stderr.read() == b""


def test_errors_are_one_line_for_people(loudness_onnx: Path, tmp_path: Path) -> None:
    for arguments, words in (
        (("-",), b"aasist: the stream is empty (0 bytes)\n"),
        ((str(tmp_path / "none.wav"),), f"aasist: {tmp_path / 'none.wav'}: no such file\n".encode()),
    ):
        process = started(loudness_onnx, *arguments)
        out, err = process.communicate(b"", timeout=60)
        assert (process.returncode, out, err) == (1, b"", words)


def test_the_cascade_is_said_to_be_for_whole_recordings() -> None:
    result = CliRunner().invoke(aasist, ["stream", "call.wav", "--model", "cascade"])
    assert result.exit_code == 2
    assert "name one model for a stream" in result.stderr


def test_a_closed_standard_input_is_said() -> None:
    command = f'exec "{sys.executable}" -m aasist stream - <&-'
    result = subprocess.run(["sh", "-c", command], capture_output=True, timeout=120, check=False)
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"standard input is closed" in result.stderr


def test_a_stop_is_heard_while_it_waits_and_kept_while_it_works() -> None:
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        with Stops() as stops:
            assert stops.waiting(lambda: b"data") == b"data"
            assert stops.waiting(lambda: signal.raise_signal(signal.SIGTERM) or b"lost") == b""
            assert stops.waiting(lambda: b"more") == b""
            assert not came
            stops.give_way()
            assert came == [signal.SIGTERM]
        with Stops() as stops:
            signal.raise_signal(signal.SIGTERM)
            assert stops.waiting(lambda: b"data") == b""
            signal.raise_signal(signal.SIGTERM)  # the second is meant at once
            assert came == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)
