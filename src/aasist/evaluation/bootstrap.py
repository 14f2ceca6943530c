"""Intervals of an error rate by resampling trials."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike


def interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    bonafide: ArrayLike,
    spoof: ArrayLike,
    *,
    rounds: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of ``metric(bonafide, spoof)``; trials are resampled within each class."""
    accept, reject = np.asarray(bonafide), np.asarray(spoof)
    random = np.random.default_rng(seed)
    values = [
        metric(
            accept[random.integers(accept.size, size=accept.size)],
            reject[random.integers(reject.size, size=reject.size)],
        )
        for _ in range(rounds)
    ]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
