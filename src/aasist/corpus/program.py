"""Programs that engines call: without a shell, within a time limit, in a folder that is gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import soundfile

from aasist.corpus.engine import EngineError, Sound

LIMIT_SECONDS = 120.0
"""A sentence or two takes no engine here more than a few seconds, on a machine that does nothing else."""

TEXT, WAVE = "text.txt", "out.wav"
"""What stands in the words of a command for the file of the text, and for the one to write speech to."""


def run(words: Sequence[str], *, given: bytes = b"", folder: Path | None = None, seconds: float = LIMIT_SECONDS) -> str:
    """What a program says on standard output, as UTF-8 read lossily. See `output`."""
    return output(words, given=given, folder=folder, seconds=seconds).decode(errors="replace")


def output(
    words: Sequence[str], *, given: bytes = b"", folder: Path | None = None, seconds: float = LIMIT_SECONDS
) -> bytes:
    """What a program writes to standard output; ``given`` is its standard input.

    Raises `EngineError` with the program's last line where it fails, cannot be started or takes longer than ``seconds``;
    it is ended then with all that it started.
    """
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "1"}
    try:
        process = subprocess.Popen(  # noqa: S603 (words of our own, no shell)
            [*words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=folder, env=environment,
            start_new_session=True,
        )  # fmt: skip
    except OSError as error:
        raise EngineError(f"{words[0]} cannot be started: {error.strerror or error}") from error
    with process:
        try:
            said, complaint = process.communicate(given, timeout=seconds)
        except BaseException as error:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            if isinstance(error, subprocess.TimeoutExpired):
                raise EngineError(f"{words[0]} took longer than {seconds:g} s") from None
            raise
    if process.returncode:
        lines = complaint.decode(errors="replace").strip().splitlines()
        raise EngineError(
            f"{words[0]} ended with code {process.returncode}: {lines[-1] if lines else 'nothing was said'}"
        )
    return said


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
