"""Error rates and costs once more, slowly: one loop over thresholds, one over trials, in exact fractions where it can."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product

Trials = Sequence[float]


def rates(bonafide: Trials, spoof: Trials, threshold: float) -> tuple[Fraction, Fraction]:
    """Miss and false acceptance rate: bona fide below the threshold, spoof at or above it."""
    miss = sum(1 for score in bonafide if score < threshold)
    false_acceptance = sum(1 for score in spoof if score >= threshold)
    return Fraction(miss, len(bonafide)), Fraction(false_acceptance, len(spoof))


def thresholds(*classes: Trials) -> list[float]:
    """Every threshold that decides differently from the one before."""
    return [*sorted({score for scores in classes for score in scores}), math.inf]


def eers(bonafide: Trials, spoof: Trials) -> set[Fraction]:
    """Means of both rates at every threshold where they differ least: one, or more where there is a tie."""
    points = [rates(bonafide, spoof, threshold) for threshold in thresholds(bonafide, spoof)]
    least = min(abs(miss - false_acceptance) for miss, false_acceptance in points)
    return {(miss + fa) / 2 for miss, fa in points if abs(miss - fa) == least}


def auc(bonafide: Trials, spoof: Trials) -> float:
    """Share of pairs in the right order, ties one half."""
    pairs = [(b > s) + (b == s) / 2 for b, s in product(bonafide, spoof)]
    return sum(pairs) / len(pairs)


def least_cost(bonafide: Trials, spoof: Trials, cost: Callable[[float, float], float]) -> float:
    """Least of a cost of miss and false acceptance rate over all thresholds."""
    return min(cost(*map(float, rates(bonafide, spoof, t))) for t in thresholds(bonafide, spoof))


def tdcf(miss: float, false_acceptance: float, asv: tuple[float, float, float], spoof_cost: float) -> float:
    """Revised t-DCF, not normalised, from the four ways in which a tandem fails (Kinnunen et al., 2020, eq. 4 to 8),
    with priors 0.9405, 0.0095 and 0.05; ``asv``: targets missed, non-targets accepted, spoofs accepted."""
    target, nontarget, spoof = 0.9405, 0.0095, 0.05
    asv_miss, asv_accepts, asv_accepts_spoofs = asv
    return (
        target * 1.0 * (1 - miss) * asv_miss  # the countermeasure passes a target, the verification rejects it
        + nontarget * 10.0 * (1 - miss) * asv_accepts
        + spoof * spoof_cost * false_acceptance * asv_accepts_spoofs
        + target * 1.0 * miss  # the countermeasure rejects a target
    )


def cllr(bonafide: Trials, spoof: Trials) -> float:
    """Mean cost in bits, a trial at a time."""
    misses = [math.log2(1 + math.exp(-llr)) for llr in bonafide]
    accepted = [math.log2(1 + math.exp(llr)) for llr in spoof]
    return (sum(misses) / len(misses) + sum(accepted) / len(accepted)) / 2


def isotonic(bonafide: Trials, spoof: Trials) -> list[Fraction]:
    """Best increasing share of bona fide at each distinct score, by its max-min formula (Robertson et al., 1988): the
    highest, over all starts at or before it, of the lowest mean, over all ends at or after it."""
    levels = sorted({*bonafide, *spoof})
    good = [sum(1 for score in bonafide if score == level) for level in levels]
    every = [sum(1 for score in (*bonafide, *spoof) if score == level) for level in levels]

    def mean(first: int, last: int) -> Fraction:
        return Fraction(sum(good[first : last + 1]), sum(every[first : last + 1]))

    return [
        max(min(mean(first, last) for last in range(level, len(levels))) for first in range(level + 1))
        for level in range(len(levels))
    ]


def a_dcf(target: Trials, nontarget: Trials, spoof: Trials, costs: tuple[float, float, float]) -> float:
    """Least sum of the three rates, each times its cost, over all thresholds; not normalised."""

    def at(threshold: float) -> float:
        missed = sum(score < threshold for score in target) / len(target)
        accepted = sum(score >= threshold for score in nontarget) / len(nontarget)
        spoofs = sum(score >= threshold for score in spoof) / len(spoof)
        return costs[0] * missed + costs[1] * accepted + costs[2] * spoofs

    return min(at(threshold) for threshold in thresholds(target, nontarget, spoof))


def tandem(
    cm: tuple[Trials, Trials], asv: tuple[Trials, Trials, Trials], cm_threshold: float, asv_threshold: float
) -> tuple[float, float, float]:
    """Rates of a tandem whose two systems err independently: bona fide targets rejected by either, non-targets and
    spoofs accepted by both."""
    miss, false_acceptance = map(float, rates(*cm, cm_threshold))
    asv_miss, nontargets = map(float, rates(asv[0], asv[1], asv_threshold))
    _, spoofs = map(float, rates(asv[0], asv[2], asv_threshold))
    return 1 - (1 - miss) * (1 - asv_miss), (1 - miss) * nontargets, false_acceptance * spoofs


def t_eer(cm: tuple[Trials, Trials], asv: tuple[Trials, Trials, Trials], prevalence: float) -> tuple[float, float]:
    """Bounds of the larger of the tandem's two rates at its t-EER: the least, over the thresholds of the verification
    system that miss no more than they accept, of what it is where both differ least over those of the countermeasure.
    Where several thresholds lie equally far apart, any may be taken: hence two bounds."""
    lowest, highest = [], []
    for asv_threshold in thresholds(*asv):
        asv_miss, nontargets = map(float, rates(asv[0], asv[1], asv_threshold))
        _, spoofs = map(float, rates(asv[0], asv[2], asv_threshold))
        if asv_miss > (1 - prevalence) * nontargets + prevalence * spoofs:
            continue
        points = []
        for cm_threshold in thresholds(*cm):
            missed, accepted, spoofed = tandem(cm, asv, cm_threshold, asv_threshold)
            wrong = (1 - prevalence) * accepted + prevalence * spoofed
            points.append((abs(missed - wrong), max(missed, wrong)))
        nearest = [larger for apart, larger in points if apart <= min(points)[0] + 1e-12]
        lowest.append(min(nearest))
        highest.append(max(nearest))
    return min(lowest), min(highest)
