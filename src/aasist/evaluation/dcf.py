"""Detection costs: of a countermeasure alone (DCF), and in tandem with a speaker verification system (t-DCF).

Scores are higher for bona fide; each metric is called with two arrays of countermeasure scores or, as ``.of``, with a
tally. Costs are normalised: 1 is what a countermeasure costs that decides without listening.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike

from aasist.evaluation.det import eer_and_threshold
from aasist.evaluation.tally import Float64, Metric, Tally, finite_scores


def _check_costs(costs: DetectionCosts | TandemCosts) -> None:
    for field in fields(costs):
        value = getattr(costs, field.name)
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{field.name} must be a finite number, 0 or above, got {value}")


def _check_prior(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")


@dataclass(frozen=True)
class DetectionCosts:
    """Prior of a spoof and costs of both errors. Defaults: ASVspoof 5 (Wang et al., 2024, evaluation plan, eq. 1)."""

    spoof_prior: float = 0.05
    miss: float = 1.0
    false_acceptance: float = 10.0

    def __post_init__(self) -> None:
        _check_costs(self)
        _check_prior("spoof_prior", self.spoof_prior)
        if not (self.miss and self.false_acceptance):
            raise ValueError(
                f"both errors must cost more than 0, got {self.miss:g} for a miss and {self.false_acceptance:g} for an "
                "acceptance"
            )

    @property
    def weights(self) -> tuple[float, float]:
        """What a miss rate and a false acceptance rate of 1 cost, normalised."""
        miss, false_acceptance = self.miss * (1 - self.spoof_prior), self.false_acceptance * self.spoof_prior
        return miss / min(miss, false_acceptance), false_acceptance / min(miss, false_acceptance)

    @property
    def bayes_threshold(self) -> float:
        """The llr (natural logarithm) from which accepting costs less: -0.6419 for the defaults."""
        return math.log(self.false_acceptance * self.spoof_prior / (self.miss * (1 - self.spoof_prior)))


ASVSPOOF5_COSTS = DetectionCosts()


@Metric
def min_dcf(tally: Tally, costs: DetectionCosts = ASVSPOOF5_COSTS) -> float:
    """Least normalised detection cost over all thresholds (ASVspoof 5, minDCF)."""
    return tally.least(*costs.weights)[0]


@Metric
def act_dcf(tally: Tally, costs: DetectionCosts = ASVSPOOF5_COSTS) -> float:
    """Normalised detection cost at the Bayes threshold, with scores read as natural-logarithm llr (ASVspoof 5, actDCF)."""
    miss, false_acceptance = tally.rates_at(costs.bayes_threshold)
    return costs.weights[0] * miss + costs.weights[1] * false_acceptance


@dataclass(frozen=True)
class TandemCosts:
    """Priors and costs of the tandem. Defaults: those of ASVspoof 2019 and 2021.

    Fields with ``asv`` and ``cm`` belong to the legacy form (Kinnunen et al., Odyssey 2018), where both systems have
    costs of their own; the revised form (Kinnunen et al., TASLP 2020) has one cost for a rejected target, one for an
    accepted non-target and one for an accepted spoof.
    """

    spoof_prior: float = 0.05
    target_prior: float = 0.9405
    nontarget_prior: float = 0.0095
    asv_miss: float = 1.0
    asv_false_acceptance: float = 10.0
    cm_miss: float = 1.0
    cm_false_acceptance: float = 10.0
    spoof_false_acceptance: float = 10.0

    def __post_init__(self) -> None:
        _check_costs(self)
        total = self.spoof_prior + self.target_prior + self.nontarget_prior
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"the priors of target, non-target and spoof must sum to 1, got {total:g}")


ASVSPOOF2019_COSTS = TandemCosts()


@dataclass(frozen=True)
class AsvRates:
    """Operating point of the speaker verification system, fractions: targets rejected, non-targets accepted, spoofs
    accepted."""

    miss: float
    false_acceptance: float
    spoof_false_acceptance: float

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 1:
                raise ValueError(f"the verification system's {field.name} must be a fraction from 0 to 1, got {value}")


def asv_rates(target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike, threshold: float | None = None) -> AsvRates:
    """Verification scores of targets, non-targets and spoofs -> the operating point, at `asv_threshold` unless another
    threshold is given."""
    if threshold is None:
        threshold = asv_threshold(target, nontarget)
    named = {"target": target, "non-target": nontarget, "spoof": spoof}
    accepted = [
        float((finite_scores(scores, f"verification {name}") >= threshold).mean()) for name, scores in named.items()
    ]
    return AsvRates(1.0 - accepted[0], accepted[1], accepted[2])


def asv_threshold(target: ArrayLike, nontarget: ArrayLike) -> float:
    """Where the challenges fix the verification system: at the equal error rate of targets and non-targets.

    Their packages name the highest score that is rejected there and then accept it: one trial more than at the equal
    error rate itself, which shows in the ninth digit of no EER but in the fourth of a t-DCF.
    """
    both = Tally.of(target, nontarget)
    level = int(np.searchsorted(both.scale.thresholds, eer_and_threshold.of(both)[1]))
    return float(both.scale.scores[max(level - 1, 0)])


def legacy_weights(asv: AsvRates, costs: TandemCosts = ASVSPOOF2019_COSTS) -> tuple[float, float]:
    """C1 and C2 of the legacy t-DCF = C1 Pmiss_cm + C2 Pfa_cm, normalised by the smaller.

    (Kinnunen et al., Odyssey 2018, eq. 10; ASVspoof 2019 evaluation plan, eq. 4 to 6.) Raises ``ValueError`` where the
    verification system is so bad that a weight is not above 0.
    """
    c1 = costs.target_prior * (costs.cm_miss - costs.asv_miss * asv.miss) - (
        costs.nontarget_prior * costs.asv_false_acceptance * asv.false_acceptance
    )
    c2 = costs.cm_false_acceptance * costs.spoof_prior * asv.spoof_false_acceptance
    _check_weights(c1, c2)
    return c1 / min(c1, c2), c2 / min(c1, c2)


def revised_weights(asv: AsvRates, costs: TandemCosts = ASVSPOOF2019_COSTS) -> tuple[float, float, float]:
    """C0, C1 and C2 of the revised t-DCF = C0 + C1 Pmiss_cm + C2 Pfa_cm, normalised by C0 + min(C1, C2).

    (Kinnunen et al., "Tandem assessment of spoofing countermeasures and automatic speaker verification: fundamentals",
    TASLP 2020, eq. 10, 11 and 14; ASVspoof 2021 evaluation plan.) Raises ``ValueError`` as `legacy_weights` does.
    """
    c0 = costs.target_prior * costs.asv_miss * asv.miss + (
        costs.nontarget_prior * costs.asv_false_acceptance * asv.false_acceptance
    )
    c1 = costs.target_prior * costs.asv_miss - c0
    c2 = costs.spoof_prior * costs.spoof_false_acceptance * asv.spoof_false_acceptance
    _check_weights(c1, c2)
    default = c0 + min(c1, c2)
    return c0 / default, c1 / default, c2 / default


@Metric
def min_tdcf_legacy(tally: Tally, asv: AsvRates, costs: TandemCosts = ASVSPOOF2019_COSTS) -> float:
    """Least normalised t-DCF over all thresholds, in the form of ASVspoof 2019; see `legacy_weights`."""
    return tally.least(*legacy_weights(asv, costs))[0]


@Metric
def min_tdcf(tally: Tally, asv: AsvRates, costs: TandemCosts = ASVSPOOF2019_COSTS) -> float:
    """Least normalised t-DCF over all thresholds, in the form of ASVspoof 2021; see `revised_weights`."""
    c0, c1, c2 = revised_weights(asv, costs)
    return c0 + tally.least(c1, c2)[0]


@Metric
def tdcf_curve(tally: Tally, asv: AsvRates, costs: TandemCosts = ASVSPOOF2019_COSTS) -> tuple[Float64, Float64]:
    """Revised normalised t-DCF (K + 1,) at each threshold (K + 1,)."""
    c0, c1, c2 = revised_weights(asv, costs)
    return c0 + c1 * tally.miss + c2 * tally.false_acceptance, tally.scale.thresholds


def _check_weights(c1: float, c2: float) -> None:
    if c1 <= 0 or c2 <= 0:
        raise ValueError(
            f"the t-DCF is not defined for this verification system: its weights are {c1:.4g} for a miss and {c2:.4g} "
            "for a false acceptance, and both must be above 0"
        )
