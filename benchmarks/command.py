"""The whole command as a process of its own: how long it takes, and what memory, on recordings made of the examples."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).parents[1]
RATE = 16_000
BLOCK_SECONDS = 60

# The peak is asked of the process itself: what wait4 tells of a child begins with its parent's memory.
CHILD = """
import atexit, sys
from aasist.bench.memory import peak_bytes
atexit.register(lambda: print(peak_bytes(), file=sys.stderr))
from aasist.cli import main
main(sys.argv[1:])
"""


def detect(paths: list[Path], threads: int) -> tuple[float, float]:
    """Seconds and peak memory (MB, 10 ** 6 bytes) of `aasist detect PATH...` as a process of its own."""
    words = [sys.executable, "-c", CHILD, "detect", "--json", "--threads", str(threads), *map(str, paths)]
    start = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"aasist detect failed: {done.stderr}")
    return elapsed, int(done.stderr.split()[-1]) / 1e6


def write_speech(path: Path, seconds: float, first: int = 0) -> Path:
    """A FLAC file of speech, 16 kHz and mono: the human examples over and over with half a second between, from sample
    ``first`` of them on. It is written minute by minute: ten hours would be 2 GB."""
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        for block in _blocks(round(seconds * RATE), first):
            file.write(block)
    return path


def _blocks(samples: int, first: int) -> Iterator[np.ndarray]:
    once = speech()
    for start in range(0, samples, BLOCK_SECONDS * RATE):
        places = np.arange(start, min(start + BLOCK_SECONDS * RATE, samples))
        yield once[(first + places) % len(once)]


def speech() -> np.ndarray:
    """int16: the human examples that are at 16 kHz, once each."""
    parts = []
    for path in sorted((ROOT / "examples").glob("human*")):
        samples, rate = soundfile.read(path, dtype="float32")
        samples = samples if samples.ndim == 1 else samples.mean(1)
        if rate == RATE:
            parts += [samples, np.zeros(RATE // 2, np.float32)]
    if not parts:
        raise SystemExit("no 16 kHz human recording in examples/")
    return (32767 * np.concatenate(parts)).astype(np.int16)
