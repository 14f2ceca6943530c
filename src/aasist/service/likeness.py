"""Whether two windows sound nearly the same: 248 bits of how bands rise and fall, after Haitsma and Kalker (ISMIR 2002).

Kept in memory to notice that somebody asks about one recording again and again, a little altered each time. From these
bits no speech can be made. They are blind to level and to faint noise, and stable under small shifts; to somebody who
cuts, stretches or filters between two queries they are no obstacle.
"""

from __future__ import annotations

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


def bits_of(window: Float32) -> Bits:
    """Window (T,) at 16 kHz -> bits ((FRAMES - 1) * (BANDS - 1),): does the step between two bands grow in time?"""
    size = len(window) // (FRAMES + 1) * 2  # frames overlap by half
    hop = size // 2
    frames = np.stack([window[first * hop : first * hop + size] for first in range(FRAMES)])
    power = np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)) ** 2
    edges = np.geomspace(LOW_HZ, HIGH_HZ, BANDS + 1) * size / RATE
    sums = np.concatenate([np.zeros((FRAMES, 1)), np.cumsum(power, axis=1)], axis=1)
    places = np.clip(np.round(edges).astype(int), 0, power.shape[1])
    energies = np.log(sums[:, places[1:]] - sums[:, places[:-1]] + 1e-9)
    steps = np.diff(energies, axis=1)
    return np.asarray(np.diff(steps, axis=0) > 0).ravel()


def near(one: Bits, others: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Bits (n,) against many (m, n) -> (m,): which are of nearly the same sound."""
    return np.asarray((others != one).mean(axis=1) < NEAR)
