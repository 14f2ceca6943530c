"""Error rates once more, slowly: one loop over thresholds, one over trials, in exact fractions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction


def rates(bonafide: Sequence[float], spoof: Sequence[float], threshold: float) -> tuple[Fraction, Fraction]:
    """Miss and false acceptance rate: bona fide below the threshold, spoof at or above it."""
    miss = sum(1 for score in bonafide if score < threshold)
    false_acceptance = sum(1 for score in spoof if score >= threshold)
    return Fraction(miss, len(bonafide)), Fraction(false_acceptance, len(spoof))


def eers(bonafide: Sequence[float], spoof: Sequence[float]) -> set[Fraction]:
    """Means of both rates at every threshold where they differ least: one, or more where there is a tie."""
    thresholds = [*sorted({*bonafide, *spoof}), math.inf]
    points = [rates(bonafide, spoof, threshold) for threshold in thresholds]
    least = min(abs(miss - false_acceptance) for miss, false_acceptance in points)
    return {(miss + fa) / 2 for miss, fa in points if abs(miss - fa) == least}
