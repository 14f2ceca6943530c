"""Spoofing-robust speaker verification: one cost for a system that does both (a-DCF), one error rate for a tandem (t-EER)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from aasist.evaluation.tally import Float64, Tally, finite_scores

Rates = tuple[Float64, Float64, Float64]
"""Targets rejected, non-targets accepted, spoofs accepted: fractions (M,), one for each threshold."""


@dataclass(frozen=True)
class VerificationCosts:
    """Priors and costs of the a-DCF. Defaults: Shim et al., Odyssey 2024, section 4; `ASVSPOOF5_SASV_COSTS` are those of
    ASVspoof 5, track 2."""

    target_prior: float = 0.9
    nontarget_prior: float = 0.05
    spoof_prior: float = 0.05
    miss: float = 1.0
    nontarget_false_acceptance: float = 10.0
    spoof_false_acceptance: float = 20.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{field.name} must be a finite number above 0, got {value}")
        total = self.target_prior + self.nontarget_prior + self.spoof_prior
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"the priors of target, non-target and spoof must sum to 1, got {total:g}")

    @property
    def weights(self) -> Float64:
        """(3,): costs of missing all targets, accepting all non-targets, accepting all spoofs; normalised so that the
        better of accepting everything and accepting nothing costs 1."""
        weights = np.array(
            [
                self.miss * self.target_prior,
                self.nontarget_false_acceptance * self.nontarget_prior,
                self.spoof_false_acceptance * self.spoof_prior,
            ]
        )
        return np.asarray(weights / min(weights[0], weights[1] + weights[2]))


PUBLISHED_SASV_COSTS = VerificationCosts()
ASVSPOOF5_SASV_COSTS = VerificationCosts(0.9405, 0.0095, 0.05, 1.0, 10.0, 10.0)


def a_dcf(
    target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike, costs: VerificationCosts = PUBLISHED_SASV_COSTS
) -> tuple[float, float]:
    """Least normalised architecture-agnostic cost over all thresholds, and the threshold (Shim et al., 2024, eq. 2, 3).

    Scores of one system, higher = more likely the target speaker, live: of targets, of bona fide non-targets and of
    spoofs. Raises ``ValueError`` when a class is empty or a score is not a finite number.
    """
    placed = PlacedClasses(target, nontarget, spoof)
    return least_cost(placed, placed.rates(), costs)


def least_cost(placed: PlacedClasses, rates: Rates, costs: VerificationCosts) -> tuple[float, float]:
    """`a_dcf` of rates at the thresholds of ``placed``."""
    curve = costs.weights @ np.stack(rates)
    best = int(np.argmin(curve))
    return float(curve[best]), float(placed.thresholds[best])


class PlacedClasses:
    """Scores of targets, non-targets and spoofs, placed on one scale once for all draws of the trials.

    ``thresholds`` (M,) are the different scores, ascending, and infinity, at which nothing is accepted. ``ValueError``
    when a class is empty or a score is not a finite number.
    """

    def __init__(self, target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike) -> None:
        named = {"target": target, "non-target": nontarget, "spoof": spoof}
        classes = [finite_scores(scores, name) for name, scores in named.items()]
        scores = np.unique(np.concatenate(classes))
        self.thresholds = np.append(scores, np.inf)
        self._levels = [np.searchsorted(scores, scores_of_class) for scores_of_class in classes]

    def rates(self, weights: Sequence[Float64 | None] = (None, None, None)) -> Rates:
        """Targets rejected, non-targets accepted and spoofs accepted (M,) at each threshold, where each trial of the
        three classes counts as often as ``weights`` say (None: once)."""
        miss, nontargets, spoofs = (
            np.concatenate([[0.0], np.cumsum(np.bincount(levels, times, len(self.thresholds) - 1))])
            for levels, times in zip(self._levels, weights, strict=True)
        )
        return miss / miss[-1], 1 - nontargets / nontargets[-1], 1 - spoofs / spoofs[-1]


@dataclass(frozen=True)
class TandemEer:
    """An equal error rate of the tandem (a fraction) and the thresholds of both systems there."""

    rate: float
    cm_threshold: float
    asv_threshold: float


def concurrent_t_eer(countermeasure: Tally, target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike) -> TandemEer:
    """The tandem's error rate where rejected targets, accepted non-targets and accepted spoofs are equally frequent, so
    that it does not depend on how frequent spoofs are (Kinnunen et al., "t-EER", TPAMI 2024, section 4.3).

    ``countermeasure`` tallies the countermeasure's scores; the arrays are the verification system's. Of all pairs of
    thresholds on the t-EER path of a spoof prevalence of 0.5, the one where both false acceptance rates differ least.
    """
    placed = PlacedClasses(target, nontarget, spoof)
    return concurrent(countermeasure, placed, placed.rates())


def concurrent(countermeasure: Tally, placed: PlacedClasses, rates: Rates) -> TandemEer:
    """`concurrent_t_eer` of a verification system's rates at the thresholds of ``placed``."""
    tandem = _Tandem(countermeasure, *rates)
    points = tandem.path(0.5)
    miss, nontargets, spoofs = tandem.rates(points)
    apart = np.abs(nontargets - spoofs) + np.abs(miss - (nontargets + spoofs) / 2)
    best = int(np.argmin(apart))
    rate = float(miss[best] + nontargets[best] + spoofs[best]) / 3
    return TandemEer(rate, float(countermeasure.scale.thresholds[points[best]]), float(placed.thresholds[best]))


def t_eer(
    countermeasure: Tally, target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike, spoof_prevalence: float = 0.5
) -> TandemEer:
    """Least equal error rate along the t-EER path of one spoof prevalence: for each threshold of the verification system,
    the countermeasure's at which the tandem's miss and false acceptance rates meet (Kinnunen et al., TPAMI 2024, eq. 8
    to 12). ``spoof_prevalence`` is the share of spoofs among what should be rejected, 0 to 1.
    """
    if not 0 <= spoof_prevalence <= 1:
        raise ValueError(f"spoof_prevalence must be a fraction from 0 to 1, got {spoof_prevalence}")
    placed = PlacedClasses(target, nontarget, spoof)
    tandem = _Tandem(countermeasure, *placed.rates())
    points = tandem.path(spoof_prevalence)
    miss, nontargets, spoofs = tandem.rates(points)
    accepted = (1 - spoof_prevalence) * nontargets + spoof_prevalence * spoofs
    # Where the verification system alone misses more than the tandem may accept, there is no crossing on the path.
    meets = tandem.miss <= (1 - spoof_prevalence) * tandem.nontarget + spoof_prevalence * tandem.spoof
    # Scores are steps: where the two rates pass each other by far, their mean would flatter.
    best = int(np.argmin(np.where(meets, np.maximum(miss, accepted), np.inf)))
    return TandemEer(
        float(miss[best] + accepted[best]) / 2,
        float(countermeasure.scale.thresholds[points[best]]),
        float(placed.thresholds[best]),
    )


class _Tandem:
    """Both systems' rates: the countermeasure's at its thresholds, the verification system's at its own (M,)."""

    def __init__(self, countermeasure: Tally, miss: Float64, nontarget: Float64, spoof: Float64) -> None:
        self.cm, self.miss, self.nontarget, self.spoof = countermeasure, miss, nontarget, spoof

    def rates(self, points: np.ndarray) -> tuple[Float64, Float64, Float64]:
        """Miss, non-target and spoof acceptance of the tandem (M,), the countermeasure being at ``points`` (M,)."""
        cm_miss, cm_accepts = self.cm.miss[points], self.cm.false_acceptance[points]
        passed = 1 - cm_miss
        return cm_miss + passed * self.miss, passed * self.nontarget, cm_accepts * self.spoof

    def path(self, prevalence: float) -> np.ndarray:
        """For each threshold of the verification system (M,), the countermeasure's point where the rates meet best."""

        def excess(points: np.ndarray) -> Float64:
            miss, nontargets, spoofs = self.rates(points)
            return miss - (1 - prevalence) * nontargets - prevalence * spoofs

        # Rises with the countermeasure's threshold: halving finds every crossing at once.
        low = np.zeros(len(self.miss), np.intp)
        high = np.full(len(self.miss), len(self.cm.miss) - 1, np.intp)
        while (low < high).any():
            middle = (low + high) // 2
            over = excess(middle) >= 0
            high = np.where(over, middle, high)
            low = np.where(over, low, np.minimum(middle + 1, high))
        before = np.maximum(high - 1, 0)
        return np.where(np.abs(excess(before)) <= np.abs(excess(high)), before, high)
