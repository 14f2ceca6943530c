"""Peak and clipping of the source samples, metered before mixing and resampling round the flat tops off."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aasist.session import Float32

FLOOR_DBFS = -120.0
"""What digital silence is reported as: JSON holds no infinity."""

FLAT_RUN = 3
"""Neighbouring equal samples at the extreme that make a clipped peak; two happen by chance at any peak."""

_EXTREME_FRACTION = 0.999
"""Of the largest value so far: what lies above it is at the extreme."""

_EQUAL_STEP = 2.0**-15
"""Difference, relative to the extreme, up to which samples count as equal: one 16-bit step."""

_MIN_EXTREME = 0.05
"""-26 dBFS: below it the steps of 8-bit coding are so coarse against the signal that any peak is flat."""


@dataclass(frozen=True)
class SourceLevels:
    """``peak`` in units of full scale (may exceed 1 in float sources), ``clipped_samples`` out of ``samples`` (all
    channels counted), ``truncated`` when less came than the file promised or part of it was damaged."""

    peak: float = 0.0
    clipped_samples: int = 0
    samples: int = 0
    truncated: bool = False

    @property
    def peak_dbfs(self) -> float:
        """Peak in dB against full scale, `FLOOR_DBFS` or more."""
        return max(FLOOR_DBFS, 20.0 * float(np.log10(max(self.peak, 1e-30))))


class SourceMeter:
    """Meters pieces (n, C) of one source in order.

    Clipping is sought at each channel's own extremes, above and below zero: a recording that was clipped and then
    turned down is flat below full scale. Runs that cross from one piece into the next count on either side only.
    """

    def __init__(self) -> None:
        self._samples = 0
        self._extremes: NDArray[np.float64] = np.zeros((2, 0))
        self._clipped: NDArray[np.int64] = np.zeros((2, 0), np.int64)

    def push(self, samples: Float32) -> None:
        """Meter one piece (n, C) with n > 0; C may change on the way."""
        channels = samples.shape[1]
        if (missing := channels - self._extremes.shape[1]) > 0:
            self._extremes = np.pad(self._extremes, ((0, 0), (0, missing)))
            self._clipped = np.pad(self._clipped, ((0, 0), (0, missing)))
        self._samples += samples.size
        for side, (sign, tops) in enumerate(((1.0, samples.max(axis=0)), (-1.0, -samples.min(axis=0)))):
            for channel in range(channels):
                self._push_side(side, channel, samples[:, channel], sign, float(tops[channel]))

    def _push_side(self, side: int, channel: int, samples: Float32, sign: float, top: float) -> None:
        extreme = float(self._extremes[side, channel])
        if top < max(extreme * _EXTREME_FRACTION, _MIN_EXTREME) and top <= extreme:
            return
        if top > extreme:
            if top * _EXTREME_FRACTION > extreme:
                self._clipped[side, channel] = 0
            self._extremes[side, channel] = extreme = top
        if extreme >= _MIN_EXTREME:
            self._clipped[side, channel] += flat_samples(samples * np.float32(sign), extreme)

    def levels(self, *, truncated: bool = False) -> SourceLevels:
        """The figures over everything pushed so far."""
        peak = float(self._extremes.max()) if self._extremes.size else 0.0
        return SourceLevels(peak, int(self._clipped.sum()), self._samples, truncated)


def flat_samples(samples: Float32, extreme: float) -> int:
    """How many of ``samples`` (n,) lie in runs of `FLAT_RUN` or more equal ones at ``extreme``."""
    at_top = np.flatnonzero(samples >= extreme * _EXTREME_FRACTION)
    if len(at_top) < FLAT_RUN:
        return 0
    joined = (np.diff(at_top) == 1) & (np.abs(np.diff(samples[at_top])) <= _EQUAL_STEP * extreme)
    # Runs of joined neighbours: k joins in a row are k + 1 equal samples.
    edges = np.flatnonzero(np.diff(np.concatenate(([0], joined.view(np.int8), [0]))))
    runs = edges[1::2] - edges[::2] + 1
    return int(runs[runs >= FLAT_RUN].sum())
