"""Figures of one set of trials, with intervals, and the choices they are made with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aasist.evaluation.bootstrap import (
    LEVEL,
    ROUNDS,
    Interval,
    Measure,
    intervals,
)
from aasist.evaluation.calibration import cllr, min_cllr
from aasist.evaluation.dcf import (
    ASVSPOOF5_COSTS,
    ASVSPOOF2019_COSTS,
    AsvRates,
    DetectionCosts,
    TandemCosts,
    act_dcf,
    asv_rates,
    asv_threshold,
    min_dcf,
    min_tdcf,
    min_tdcf_legacy,
)
from aasist.evaluation.det import (
    accuracy,
    auc,
    balanced_accuracy,
    eer,
    eer_and_threshold,
    f1,
    false_acceptance_at_miss,
    miss_at_false_acceptance,
)
from aasist.evaluation.tally import Float64, Tally

FIXED_RATES = (0.01, 0.05, 0.1)
"""Error rates at which the other one is given."""

NO_VALUE = ("", "-")
"""What stands in a column where a trial has no value."""

Labels = NDArray[np.bool_]


@dataclass(frozen=True)
class Choices:
    """What a summary is made with; all of it is written into the summary."""

    threshold: float = 0.0
    """On the scores: what lies below it is called a spoof. 0 is the Bayes threshold of an llr at a prior of 0.5."""
    by: tuple[str, ...] = ()
    """Further columns to break the figures down by."""
    rounds: int = ROUNDS
    """Rounds of the bootstrap; 0 leaves the intervals out."""
    level: float = LEVEL
    seed: int = 0
    threads: int = 1
    costs: DetectionCosts = ASVSPOOF5_COSTS
    tandem_costs: TandemCosts = ASVSPOOF2019_COSTS


@dataclass(frozen=True)
class Asv:
    """Operating points of the verification system behind the countermeasure: over all spoofs, and for those of each
    attack where its scores tell them apart."""

    pooled: AsvRates
    by_attack: Mapping[str, AsvRates] = field(default_factory=dict)

    @classmethod
    def of(cls, target: ArrayLike, nontarget: ArrayLike, spoof: ArrayLike, attacks: NDArray[Any] | None = None) -> Asv:
        """Verification scores, and the attack (S,) of each spoof where it is known -> the operating points, all at the
        one threshold that `asv_threshold` fixes."""
        threshold = asv_threshold(target, nontarget)
        spoofs = np.asarray(spoof, np.float64)
        names = [] if attacks is None else sorted(set(np.unique(attacks).tolist()) - set(NO_VALUE))
        each = {name: asv_rates(target, nontarget, spoofs[attacks == name], threshold) for name in names}
        return cls(asv_rates(target, nontarget, spoofs, threshold), each)


@dataclass(frozen=True)
class Figures:
    """Figures of one set of trials; None where a class is absent or nothing is known of the verification system.

    Rates are fractions, Cllr in bits, costs normalised (1 = deciding without listening).
    """

    bonafide: int
    """Bona fide trials."""
    spoof: int
    """Spoofed trials."""
    miss: float | None = None
    """Share of bona fide trials rejected at the threshold."""
    false_acceptance: float | None = None
    """Share of spoofs accepted at the threshold."""
    accuracy: float | None = None
    """Share of all trials decided rightly at the threshold."""
    balanced_accuracy: float | None = None
    """Mean of the shares decided rightly of each class."""
    f1: float | None = None
    """F1 of finding spoofs at the threshold."""
    eer: float | None = None
    """Equal error rate."""
    eer_threshold: float | None = None
    """Score at which it is reached."""
    auc: float | None = None
    """Area under the ROC curve."""
    min_tdcf_legacy: float | None = None
    """Least t-DCF in the form of ASVspoof 2019."""
    min_tdcf: float | None = None
    """Least t-DCF in the revised form of ASVspoof 2021."""
    min_dcf: float | None = None
    """Least detection cost, with the costs of ASVspoof 5."""
    act_dcf: float | None = None
    """Detection cost at the Bayes threshold, scores read as llr."""
    cllr: float | None = None
    """Cost of the llr, in bits."""
    min_cllr: float | None = None
    """Cllr after the best increasing map (PAV)."""
    false_acceptance_at_miss: Mapping[str, float] | None = None
    """Share of spoofs accepted where at most 1, 5, 10 % of bona fide trials are rejected."""
    miss_at_false_acceptance: Mapping[str, float] | None = None
    """Share of bona fide trials rejected where at most 1, 5, 10 % of spoofs are accepted."""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    """Percentile bootstrap interval of some of the figures above, by their names."""


def figures_of(
    scores: Float64,
    labels: Labels,
    speakers: NDArray[Any] | None,
    asv: AsvRates | None,
    choices: Choices,
    with_intervals: tuple[str, ...],
) -> Figures:
    """Figures of scores (N,) with their key (N,), those of ``with_intervals`` with intervals that resample ``speakers`` (N,).

    Where a class is absent, only the rate of the other at the threshold is known.
    """
    bonafide, spoof = scores[labels], scores[~labels]
    counted = Figures(len(bonafide), len(spoof))
    if not len(bonafide) or not len(spoof):
        return replace(
            counted,
            miss=float((bonafide < choices.threshold).mean()) if len(bonafide) else None,
            false_acceptance=float((spoof >= choices.threshold).mean()) if len(spoof) else None,
        )
    tally = Tally.of(bonafide, spoof)
    measures = measures_of(asv, choices)
    limits = {}
    if choices.rounds:
        limits = intervals(
            {name: measures[name] for name in with_intervals if name in measures},
            scores,
            labels,
            speakers=speakers,
            rounds=choices.rounds,
            level=choices.level,
            seed=choices.seed,
            threads=choices.threads,
        )
    values: dict[str, Any] = {name: measure(tally) for name, measure in measures.items()}
    return replace(
        counted,
        **values,
        eer_threshold=eer_and_threshold.of(tally)[1],
        false_acceptance_at_miss={str(rate): false_acceptance_at_miss.of(tally, rate) for rate in FIXED_RATES},
        miss_at_false_acceptance={str(rate): miss_at_false_acceptance.of(tally, rate) for rate in FIXED_RATES},
        intervals=limits,
    )


POOLED_INTERVALS = (
    "eer", "auc", "min_tdcf_legacy", "min_tdcf", "min_dcf", "act_dcf", "cllr", "min_cllr", "miss", "false_acceptance",
    "accuracy", "balanced_accuracy", "f1",
)  # fmt: skip
EACH = ("eer", "min_tdcf_legacy", "min_tdcf", "false_acceptance")
"""Figures with an interval, of all trials and of each group."""


def measures_of(asv: AsvRates | None, choices: Choices) -> dict[str, Measure]:
    """Name of a figure -> what measures it on a tally."""
    measures: dict[str, Measure] = {
        "miss": lambda tally: tally.rates_at(choices.threshold)[0],
        "false_acceptance": lambda tally: tally.rates_at(choices.threshold)[1],
        "accuracy": lambda tally: accuracy.of(tally, choices.threshold),
        "balanced_accuracy": lambda tally: balanced_accuracy.of(tally, choices.threshold),
        "f1": lambda tally: f1.of(tally, choices.threshold),
        "eer": eer.of,
        "auc": auc.of,
        "min_dcf": lambda tally: min_dcf.of(tally, choices.costs),
        "act_dcf": lambda tally: act_dcf.of(tally, choices.costs),
        "cllr": cllr.of,
        "min_cllr": min_cllr.of,
    }
    if asv is not None:
        measures["min_tdcf_legacy"] = _tandem(min_tdcf_legacy.of, asv, choices)
        measures["min_tdcf"] = _tandem(min_tdcf.of, asv, choices)
    return measures


def comparable(asv: AsvRates | None, choices: Choices) -> dict[str, Measure]:
    """What two systems are compared by: name of a figure -> what measures it on a tally."""
    measures = measures_of(asv, choices)
    return {name: measures[name] for name in POOLED_INTERVALS if name in measures}


def _tandem(metric: Callable[[Tally, AsvRates, TandemCosts], float], asv: AsvRates, choices: Choices) -> Measure:
    return lambda tally: metric(tally, asv, choices.tandem_costs)
