"""Programs that engines call: without a shell, within a time limit, in a folder that is gone afterwards; they end with us."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path

import numpy as np
import soundfile

from aasist.corpus.engine import EngineError, Sound

LIMIT_SECONDS = 120.0
"""A sentence or two takes no engine here more than a few seconds, on a machine that does nothing else."""

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)
_listener: ContextVar[Callable[[int], None] | None] = ContextVar("listener", default=None)

TEXT, WAVE = "text.txt", "out.wav"
"""What stands in the words of a command for the file of the text, and for the one to write speech to."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Programs that are called in this block are ended ``seconds`` after it began, whatever limit they are given."""
    before = _deadline.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _deadline.reset(before)


@contextmanager
def told(listener: Callable[[int], None]) -> Iterator[None]:
    """In this block ``listener`` hears the process group of each program that begins, and 0 when it is over."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def run(words: Sequence[str], *, given: bytes = b"", folder: Path | None = None, seconds: float = LIMIT_SECONDS) -> str:
    """What a program says on standard output, as UTF-8 read lossily. See `output`."""
    return output(words, given=given, folder=folder, seconds=seconds).decode(errors="replace")


def output(
    words: Sequence[str], *, given: bytes = b"", folder: Path | None = None, seconds: float = LIMIT_SECONDS
) -> bytes:
    """What a program writes to standard output; ``given`` is its standard input.

    Raises `EngineError` with the program's last line where it fails, cannot be started or takes longer than ``seconds``
    (or than `within` leaves); it is ended then with all that it started. Where this process is killed, it dies with it
    (on Linux).
    """
    until = _deadline.get()
    if until is not None:
        seconds = max(0.0, min(seconds, until - time.monotonic()))
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    try:
        process = subprocess.Popen(  # noqa: S603 (words of our own, no shell)
            [*words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, env=environment,
            start_new_session=True, preexec_fn=_dies_with(os.getpid()),  # noqa: PLW1509 (it takes no lock)
        )  # fmt: skip
    except OSError as error:
        raise EngineError(f"{words[0]} cannot be started: {error.strerror or error}") from error
    tell = _listener.get() or (lambda group: None)
    with process:
        try:
            tell(process.pid)
            said, complaint = process.communicate(given, timeout=seconds)
        except BaseException as error:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise EngineError(f"{words[0]} took longer than {seconds:.3g} s") from None
            raise
        finally:
            tell(0)
    if process.returncode:
        lines = complaint.decode(errors="replace").strip().splitlines()
        raise EngineError(
            f"{words[0]} ended with code {process.returncode}: {lines[-1] if lines else 'nothing was said'}"
        )
    return said


def _dies_with(parent: int) -> Callable[[], None] | None:
    """What a program does before it begins, so that it is killed when ``parent`` is (prctl(2)); None where there is no way."""
    if _LIBC is None:
        return None
    prctl, kill = _LIBC.prctl, int(signal.SIGKILL)

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, kill, 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return ask


def spoken(words: Sequence[str], text: str, *, encoding: str = "utf-8", stdin: bool = False) -> Sound:
    """What a program speaks: ``words`` name `WAVE`, and `TEXT` where it does not read standard input (``stdin``)."""
    given = f"{text}\n".encode(encoding, errors="replace")
    with tempfile.TemporaryDirectory(prefix="aasist-") as place:
        folder = Path(place)
        (folder / TEXT).write_bytes(given)
        run(words, given=given if stdin else b"", folder=folder)
        return wave_of(folder / WAVE, words[0])


def wave_of(path: Path, program: str) -> Sound:
    """The WAV that a program wrote, mixed to mono; `EngineError` where there is none."""
    try:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise EngineError(f"{program} wrote no WAV: {error}") from error
    return samples.mean(axis=1, dtype=np.float32), int(rate)
