"""Tallies: how many trials of each class lie at each score. Every error rate is a function of one.

Polarity: higher score = more bona fide. A miss is a bona fide trial scored below the threshold, a false acceptance a
spoof scored at or above it. Rates are fractions.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Concatenate, Generic, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]
Levels = NDArray[np.intp]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class Scale:
    """The different scores of a set of trials, ascending (K,); resampling the trials does not change them."""

    scores: Float64

    @functools.cached_property
    def thresholds(self) -> Float64:
        """(K + 1,): each score, and infinity, at which nothing is accepted."""
        return np.append(self.scores, np.inf)

    @functools.cached_property
    def miss_bits(self) -> Float64:
        """(K,): cost in bits of a bona fide trial at each score, read as a natural-logarithm llr."""
        return np.asarray(np.logaddexp(0.0, -self.scores) / np.log(2.0))

    @functools.cached_property
    def false_acceptance_bits(self) -> Float64:
        """(K,): cost in bits of a spoof at each score, read as a natural-logarithm llr."""
        return np.asarray(np.logaddexp(0.0, self.scores) / np.log(2.0))


@dataclass(frozen=True, eq=False)
class Tally:
    """``bonafide`` and ``spoof`` (K,) trials, whole numbers, at each score of ``scale``; neither sums to 0."""

    scale: Scale
    bonafide: Float64
    spoof: Float64

    @classmethod
    def of(cls, bonafide: ArrayLike, spoof: ArrayLike) -> Tally:
        """Count scores (N,) and (M,), higher = more bona fide.

        Raises ``ValueError`` when a class is empty or a score is not a finite number.
        """
        # Sorted class by class: a stable sort then has two ascending runs to merge, little more than reading them.
        accept, reject = np.sort(finite_scores(bonafide, "bona fide")), np.sort(finite_scores(spoof, "spoof"))
        pooled = np.concatenate([accept, reject])
        order = np.argsort(pooled, kind="stable")
        pooled = pooled[order]
        is_bonafide = order < len(accept)
        first = np.empty(len(pooled), np.bool_)
        first[0] = True
        np.not_equal(pooled[1:], pooled[:-1], out=first[1:])
        if first.all():
            return cls(Scale(pooled), is_bonafide.astype(np.float64), (~is_bonafide).astype(np.float64))
        starts = np.flatnonzero(first)
        accepted = np.add.reduceat(is_bonafide, starts, dtype=np.float64)
        return cls(Scale(pooled[starts]), accepted, np.diff(np.append(starts, len(pooled))) - accepted)

    @functools.cached_property
    def miss(self) -> Float64:
        """Miss rate (K + 1,) at each threshold of the scale, from 0 to 1."""
        below = _below(self.bonafide)
        below /= below[-1]
        return below

    @functools.cached_property
    def false_acceptance(self) -> Float64:
        """False acceptance rate (K + 1,) at each threshold of the scale, from 1 to 0."""
        # Counted from above and only then divided: 1 - 2/3 is not the float nearest to 1/3.
        accepted = _below(self.spoof)
        total = accepted[-1]
        np.subtract(total, accepted, out=accepted)
        accepted /= total
        return accepted

    def rates_at(self, threshold: float) -> tuple[float, float]:
        """Miss and false acceptance rate at any threshold."""
        level = int(np.searchsorted(self.scale.scores, threshold))
        return float(self.miss[level]), float(self.false_acceptance[level])

    def least(self, miss_cost: float, false_acceptance_cost: float) -> tuple[float, float]:
        """The least of ``miss_cost * miss + false_acceptance_cost * false acceptance`` and the threshold it is at."""
        costs = miss_cost * self.miss
        costs += false_acceptance_cost * self.false_acceptance
        best = int(np.argmin(costs))
        return float(costs[best]), float(self.scale.thresholds[best])


def _below(counts: Float64) -> Float64:
    """Counts (K,) -> how many lie below each threshold (K + 1,)."""
    out = np.empty(len(counts) + 1)
    out[0] = 0.0
    np.cumsum(counts, out=out[1:])
    return out


def finite_scores(values: ArrayLike, name: str) -> Float64:
    """Scores of the class ``name`` -> (N,); ``ValueError`` when there are none or one is not a finite number."""
    scores = np.asarray(values, dtype=np.float64).ravel()
    if scores.size == 0:
        raise ValueError(f"no {name} scores: an error rate needs trials of every class")
    if not np.isfinite(scores).all():
        broken = int(np.count_nonzero(~np.isfinite(scores)))
        raise ValueError(f"{broken} of {scores.size} {name} scores are not finite numbers")
    return scores


class Metric(Generic[P, R]):
    """A figure of merit: ``eer(bonafide, spoof)`` of two arrays of scores, ``eer.of(tally)`` where they are counted."""

    def __init__(self, of: Callable[Concatenate[Tally, P], R]) -> None:
        self.of = of
        functools.update_wrapper(self, of)

    def __call__(self, bonafide: ArrayLike, spoof: ArrayLike, *args: P.args, **kwargs: P.kwargs) -> R:
        """Of scores (N,) and (M,), higher = more bona fide; ``ValueError`` as in `Tally.of`."""
        return self.of(Tally.of(bonafide, spoof), *args, **kwargs)
