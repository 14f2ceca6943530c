"""Detection error trade-off: miss and false acceptance over all thresholds, where they meet, and what lies under.

Scores are higher for bona fide; rates are fractions; see `aasist.evaluation.tally` for the polarity. Each metric is
called with two arrays of scores, ``eer(bonafide, spoof)``, or with a tally, ``eer.of(tally)``.
"""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from aasist.evaluation.tally import Float64, Metric, Tally


@Metric
def det_curve(tally: Tally) -> tuple[Float64, Float64, Float64]:
    """Miss rates, false acceptance rates and thresholds, each (K + 1,), for K different scores.

    Equal scores are decided together. The first point accepts everything (the threshold is the lowest score), the last
    accepts nothing (the threshold is infinite).
    """
    return tally.miss, tally.false_acceptance, tally.scale.thresholds


@Metric
def eer_and_threshold(tally: Tally) -> tuple[float, float]:
    """Equal error rate, and the threshold it is reached at.

    The mean of both rates at the first threshold where they differ least, without interpolation: the convention of the
    ASVspoof evaluation packages, except that equal scores are decided together.
    """
    miss, false_acceptance = tally.miss, tally.false_acceptance
    # Miss rises and false acceptance falls: they cross once, and that is found by halving.
    crossing = bisect_left(range(len(miss)), 0.0, key=lambda point: miss[point] - false_acceptance[point])
    before = max(crossing - 1, 0)
    nearer = abs(miss[before] - false_acceptance[before]) <= abs(miss[crossing] - false_acceptance[crossing])
    point = before if nearer else crossing
    return float(miss[point] + false_acceptance[point]) / 2, float(tally.scale.thresholds[point])


@Metric
def eer(tally: Tally) -> float:
    """Equal error rate; see `eer_and_threshold`."""
    return eer_and_threshold.of(tally)[0]


@Metric
def auc(tally: Tally) -> float:
    """Area under the ROC curve: the probability that a bona fide trial scores above a spoof, ties counting one half.

    (Hanley and McNeil, Radiology 1982: the Wilcoxon statistic.)
    """
    spoofs_below = np.cumsum(tally.spoof) - tally.spoof / 2
    return float(tally.bonafide @ spoofs_below / (tally.bonafide.sum() * tally.spoof.sum()))


@Metric
def false_acceptance_at_miss(tally: Tally, most: float) -> float:
    """Least false acceptance rate among the thresholds whose miss rate is at most ``most`` (a fraction)."""
    return float(tally.false_acceptance[int(np.searchsorted(tally.miss, most, side="right")) - 1])


@Metric
def miss_at_false_acceptance(tally: Tally, most: float) -> float:
    """Least miss rate among the thresholds whose false acceptance rate is at most ``most`` (a fraction)."""
    falling = tally.false_acceptance[::-1]
    return float(tally.miss[len(falling) - int(np.searchsorted(falling, most, side="right"))])


@Metric
def threshold_at_miss(tally: Tally, most: float) -> float:
    """Highest threshold, a score that occurs or infinity, that rejects at most the share ``most`` of bona fide trials."""
    return float(tally.scale.thresholds[int(np.searchsorted(tally.miss, most, side="right")) - 1])


@Metric
def accuracy(tally: Tally, threshold: float = 0.0) -> float:
    """Share of all trials on their own side of the threshold."""
    miss, false_acceptance = tally.rates_at(threshold)
    bonafide, spoof = float(tally.bonafide.sum()), float(tally.spoof.sum())
    return (bonafide * (1 - miss) + spoof * (1 - false_acceptance)) / (bonafide + spoof)


@Metric
def balanced_accuracy(tally: Tally, threshold: float = 0.0) -> float:
    """Mean over the two classes of the share on its own side of the threshold."""
    return 1 - sum(tally.rates_at(threshold)) / 2


@Metric
def f1(tally: Tally, threshold: float = 0.0) -> float:
    """F1 of finding spoofs: harmonic mean of the share of rejected trials that are spoofs, and of spoofs rejected."""
    miss, false_acceptance = tally.rates_at(threshold)
    found = (1 - false_acceptance) * float(tally.spoof.sum())
    wrong = miss * float(tally.bonafide.sum()) + false_acceptance * float(tally.spoof.sum())
    return 2 * found / (2 * found + wrong) if found + wrong else 0.0
