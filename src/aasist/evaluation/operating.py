"""Operating points: where on the scores a decision is taken, and by what rule it was chosen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aasist.evaluation.dcf import ASVSPOOF5_COSTS, DetectionCosts
from aasist.evaluation.det import eer_and_threshold, threshold_at_miss
from aasist.evaluation.tally import Metric, Tally


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold on scores (what lies below it is called a spoof), the rule that chose it, and the rates it gave on the
    trials it was chosen on."""

    rule: str
    threshold: float
    miss: float
    false_acceptance: float

    def __str__(self) -> str:
        return (
            f"{self.rule}: {100 * self.miss:.1f} % of bona fide rejected, "
            f"{100 * self.false_acceptance:.1f} % of spoofs accepted"
        )


@Metric
def by_cost(tally: Tally, costs: DetectionCosts = ASVSPOOF5_COSTS) -> OperatingPoint:
    """The Bayes threshold of priors and costs, for calibrated llr; the trials only say what it comes to.

    Raises ``ValueError`` where an error costs nothing: no finite threshold is best then.
    """
    rule = f"least cost at a spoof prior of {costs.spoof_prior:g}, a miss {costs.miss:g}, an acceptance "
    threshold = costs.bayes_threshold
    return OperatingPoint(rule + f"{costs.false_acceptance:g}", threshold, *tally.rates_at(threshold))


@Metric
def by_eer(tally: Tally) -> OperatingPoint:
    """Where both error rates are equal on the trials."""
    return _between(tally, "equal error rates", eer_and_threshold.of(tally)[1])


@Metric
def by_miss(tally: Tally, most: float) -> OperatingPoint:
    """As high as can be with at most the share ``most`` of the bona fide trials rejected."""
    if not 0 <= most < 1:
        raise ValueError(f"the share of bona fide trials to reject at most must be from 0 to below 1, got {most:g}")
    return _between(tally, f"at most {100 * most:g} % of bona fide rejected", threshold_at_miss.of(tally, most))


def _between(tally: Tally, rule: str, threshold: float) -> OperatingPoint:
    """The point at ``threshold``, a score that occurs or infinity, moved half-way to the score below it.

    The rates are the same, and a trial that comes out a rounding error lower when it is scored again keeps its side.
    """
    scores = tally.scale.scores
    level = int(np.searchsorted(scores, threshold))
    if level == len(scores):  # infinity, which no model file can hold
        threshold = float(max(scores[-1] + 1.0, np.nextafter(scores[-1], np.inf)))
    elif level == 0:
        threshold = float(min(scores[0] - 1.0, np.nextafter(scores[0], -np.inf)))
    else:
        middle = float(scores[level - 1] / 2 + scores[level] / 2)
        threshold = middle if middle > scores[level - 1] else float(scores[level])
    return OperatingPoint(rule, threshold, *tally.rates_at(threshold))
