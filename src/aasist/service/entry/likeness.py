"""Whether two windows sound nearly the same: 248 bits of how bands rise and fall, after Haitsma and Kalker (ISMIR 2002).

Kept in memory to notice that somebody asks about one recording again and again, a little altered each time. From these
bits no speech can be made. They are blind to level, to faint noise and to all above 4 kHz; to somebody who shifts, cuts,
stretches or filters between two queries they are no obstacle.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from aasist.session import Float32

BANDS, FRAMES = 32, 9
LOW_HZ, HIGH_HZ = 200.0, 4_000.0
RATE = 16_000

NEAR = 0.20
"""Share of bits in which the same recording, altered a little, may differ: chance makes others differ in half of theirs,
with a standard deviation of 0.03 were the bits independent."""

Bits = NDArray[np.bool_]

COMPARED_WINDOWS = 3
"""Windows of a recording whose bits are kept."""


@dataclass(frozen=True)
class Likeness:
    """How the first windows of a recording sound, and a hash of what was scored: the same for the very same alone."""

    bits: tuple[Bits, ...]
    content: bytes


class Comparing:
    """Takes the windows of a recording, one after the other; ``most`` of them, or all, make the hash."""

    def __init__(self, most: int | None = None) -> None:
        self._most, self._count = most, 0
        self._bits: list[Bits] = []
        self._hash = blake2b(digest_size=16)

    def take(self, window: Float32) -> None:
        """Window (T,)."""
        if self.full:
            return
        self._count += 1
        self._hash.update(np.ascontiguousarray(window).data)
        if len(self._bits) < COMPARED_WINDOWS:
            self._bits.append(bits_of(window))

    @property
    def full(self) -> bool:
        """Whether no more windows are looked at."""
        return self._count == self._most

    @property
    def likeness(self) -> Likeness | None:
        """Of what came so far; None where nothing did."""
        return Likeness(tuple(self._bits), self._hash.digest()) if self._bits else None


def bits_of(window: Float32) -> Bits:
    """Window (T,) at 16 kHz -> bits ((FRAMES - 1) * (BANDS - 1),): does the step between two bands grow in time?"""
    size = (
        1 << (len(window) * 2 // (FRAMES + 1)).bit_length() - 1
    )  # a power of two, for speed; at 64,600 samples frames overlap
    taper, places, empty = _plan(size)
    frames = np.lib.stride_tricks.sliding_window_view(window, size)[:: (len(window) - size) // (FRAMES - 1)][:FRAMES]
    spectrum = np.fft.rfft(frames * taper, axis=1)[:, : places[-1]]
    power = spectrum.real**2 + spectrum.imag**2
    energies = np.log(np.where(empty, 0.0, np.add.reduceat(power, places[:-1], axis=1, dtype=np.float64)) + 1e-9)
    steps = np.diff(energies, axis=1)
    return np.asarray(np.diff(steps, axis=0) > 0).ravel()


@lru_cache(maxsize=8)
def _plan(size: int) -> tuple[Float32, NDArray[np.int64], NDArray[np.bool_]]:
    """Of frames of so many samples: their taper, where bands begin and the last ends, and which of them hold nothing."""
    edges = np.geomspace(LOW_HZ, HIGH_HZ, BANDS + 1) * size / RATE
    places = np.round(edges).astype(np.int64)
    return np.hanning(size).astype(np.float32), places, np.diff(places) == 0


def near(one: Bits, others: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bits (n,) against many (m, n) -> (m,): which are of nearly the same sound."""
    return np.asarray((others != one).mean(axis=1) < NEAR)


def packed(several: Iterable[Bits]) -> bytes:
    """Bits (n,) of windows, one behind the other, n a multiple of 8; `unpacked` undoes it."""
    return b"".join(np.packbits(bits).tobytes() for bits in several)


def unpacked(several: bytes) -> NDArray[np.bool_]:
    """-> (m, n)."""
    rows = np.frombuffer(several, np.uint8).reshape(-1, (FRAMES - 1) * (BANDS - 1) // 8)
    return np.unpackbits(rows, axis=1).astype(np.bool_)
