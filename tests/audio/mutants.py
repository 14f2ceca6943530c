"""Broken files by the thousand: seeded mutants of small sound files, and a run of them outside the test process.

Run as a program it opens mutants one by one and prints a line before and after each, so that a crash of native code
leaves the number of its mutant behind: ``python mutants.py FIRST COUNT``.
"""

import faulthandler
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from signals import encoded, voiced, written

if TYPE_CHECKING:
    from aasist.runtime.detector import Detector

SEED_RATE = 16_000
HEADER_BYTES = 192

_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF)


@dataclass(frozen=True)
class Mutant:
    """The same ``number`` gives the same bytes everywhere the seed files are encoded the same."""

    number: int
    name: str
    data: bytes


@cache
def seed_files() -> dict[str, bytes]:
    """Extension -> a whole file of 1.5 s."""
    speech = voiced(SEED_RATE, 1.5)
    return {
        "wav": written(speech, SEED_RATE, "WAV", "PCM_16"),
        "flac": written(speech, SEED_RATE, "FLAC", "PCM_16"),
        "mp3": written(speech, SEED_RATE, "MP3"),
        "ogg": written(speech, SEED_RATE, "OGG", "VORBIS"),
        "m4a": encoded(speech, SEED_RATE, "ipod", "aac"),
    }


def mutants(first: int, count: int) -> Iterator[Mutant]:
    """Mutants ``first`` to ``first + count - 1``; the seed files and the kinds of damage take turns."""
    files = seed_files()
    names = list(files)
    kinds: list[Callable[[bytearray, np.random.Generator], bytearray]] = [_flip, _cut, _splice, _edit_header]
    for number in range(first, first + count):
        rng = np.random.default_rng(number)
        name = names[number % len(names)]
        data = bytearray(files[name])
        kind = kinds[number // len(names) % len(kinds)]
        data = kind(data, rng)
        if rng.random() < 0.3:
            data = kinds[rng.integers(len(kinds))](data, rng)
        yield Mutant(number, f"{kind.__name__.lstrip('_')}.{name}", bytes(data))


def _flip(data: bytearray, rng: np.random.Generator) -> bytearray:
    """1 to 64 single bits anywhere."""
    for place in rng.integers(0, max(len(data), 1), 2 ** rng.integers(0, 7)):
        if place < len(data):
            data[place] ^= 1 << rng.integers(8)
    return data


def _cut(data: bytearray, rng: np.random.Generator) -> bytearray:
    """The end or a part of the middle goes."""
    first, last = sorted(rng.integers(0, len(data) + 1, 2))
    return data[:first] if rng.random() < 0.5 else data[:first] + data[last:]


def _splice(data: bytearray, rng: np.random.Generator) -> bytearray:
    """A part is written over or put between: of the file itself, of another format, or noise."""
    others = list(seed_files().values())
    donor = (bytes(data), others[rng.integers(len(others))], rng.bytes(4096))[rng.integers(3)]
    start = int(rng.integers(0, len(donor) + 1))
    part = donor[start : start + int(2 ** rng.uniform(0, 13))]
    place = int(rng.integers(0, len(data) + 1))
    return data[:place] + part + data[place + (len(part) if rng.random() < 0.5 else 0) :]


def _edit_header(data: bytearray, rng: np.random.Generator) -> bytearray:
    """1 to 4 fields near the start, or in an m4a near its end, get an extreme or a random value."""
    for _ in range(rng.integers(1, 5)):
        width = (1, 2, 4, 8)[rng.integers(4)]
        near_end = rng.random() < 0.3
        place = int(rng.integers(0, HEADER_BYTES)) if not near_end else int(len(data) - rng.integers(1, 1200))
        value = _EXTREMES[rng.integers(len(_EXTREMES))] if rng.random() < 0.6 else int.from_bytes(rng.bytes(8), "big")
        field = (value % 2 ** (8 * width)).to_bytes(width, "big" if rng.random() < 0.5 else "little")
        place = min(max(place, 0), len(data))
        data[place : place + width] = field
    return data


def outcome(detector: "Detector", data: bytes) -> dict[str, object]:
    """Judge one mutant: {"seconds" of wall time, and "code" of its error, or "audio" seconds, "label" and "finite"}."""
    from aasist.errors import AudioError

    started = time.monotonic()
    result: dict[str, object]
    try:
        verdict = detector.detect(data)
        finite = verdict.llr is None or bool(np.isfinite(verdict.llr))
        result = {"audio": verdict.duration_seconds, "label": verdict.label, "finite": finite}
    except AudioError as error:
        result = {"code": error.code, "message": error.message}
    return {**result, "seconds": time.monotonic() - started}


def main(first: int, count: int) -> None:
    from aasist.runtime.detector import Detector

    faulthandler.enable()
    detector = Detector(threads=1)
    for mutant in mutants(first, count):
        print(json.dumps({"number": mutant.number, "name": mutant.name}), flush=True)
        print(json.dumps(outcome(detector, mutant.data)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
