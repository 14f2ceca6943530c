"""Detection error trade-off: miss and false acceptance rates over all thresholds, and where they meet.

Polarity: higher score = more bona fide. A miss is a bona fide trial scored below the threshold, a false acceptance a
spoof scored at or above it. Rates are fractions.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]


def det_curve(bonafide: ArrayLike, spoof: ArrayLike) -> tuple[Float64, Float64, Float64]:
    """Scores (N,) and (M,) -> miss rates, false acceptance rates, thresholds, each (K + 1,).

    K is the number of different scores: equal scores are decided together. The first point accepts everything (the
    threshold is the lowest score), the last accepts nothing (the threshold is infinite). Raises ``ValueError`` when a
    class is empty or a score is not a number.
    """
    accept, reject = _scores(bonafide, "bona fide"), _scores(spoof, "spoof")
    levels, position = np.unique(np.concatenate([accept, reject]), return_inverse=True)
    bonafide_at = np.bincount(position[: accept.size], minlength=levels.size)
    spoof_at = np.bincount(position[accept.size :], minlength=levels.size)
    miss = np.concatenate([[0.0], np.cumsum(bonafide_at) / accept.size])
    false_acceptance = 1.0 - np.concatenate([[0.0], np.cumsum(spoof_at) / reject.size])
    return miss, false_acceptance, np.concatenate([levels, [np.inf]])


def eer(bonafide: ArrayLike, spoof: ArrayLike) -> float:
    """Equal error rate, a fraction: mean of both rates where they differ least, without interpolation.

    The convention of the ASVspoof evaluation packages, except that equal scores are decided together.
    """
    return eer_and_threshold(bonafide, spoof)[0]


def eer_and_threshold(bonafide: ArrayLike, spoof: ArrayLike) -> tuple[float, float]:
    """Equal error rate and the threshold it is reached at."""
    miss, false_acceptance, thresholds = det_curve(bonafide, spoof)
    best = int(np.argmin(np.abs(miss - false_acceptance)))
    return float((miss[best] + false_acceptance[best]) / 2), float(thresholds[best])


def _scores(values: ArrayLike, name: str) -> Float64:
    scores = np.asarray(values, dtype=np.float64).ravel()
    if scores.size == 0:
        raise ValueError(f"no {name} scores: error rates need trials of both classes")
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} of {scores.size} {name} scores are not numbers")
    return scores
