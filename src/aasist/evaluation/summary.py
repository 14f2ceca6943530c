"""Everything that is said of one set of scores: pooled, by attack and by any other column, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aasist.evaluation.bootstrap import (
    LEVEL,
    ROUNDS,
    Interval,
    Measure,
    Resampler,
    checked_labels,
    intervals,
    mean_interval,
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
    legacy_weights,
    min_dcf,
    min_tdcf,
    min_tdcf_legacy,
    revised_weights,
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

SCHEMA = 2
"""Version of the summary's keys."""

FIXED_RATES = (0.01, 0.05, 0.1)
"""Error rates at which the other one is given."""

FEWEST_TRIALS = 10
"""Trials of each class that a group needs to count in a mean over groups; fewer make an EER a coin's toss."""

NO_VALUE = ("", "-")
"""What stands in a column where a trial has no value."""

Labels = NDArray[np.bool_]
Columns = Mapping[str, NDArray[Any]]


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


@dataclass(frozen=True)
class Summary:
    """The whole: pooled figures, those of each attack and of each value of the columns asked for."""

    pooled: Figures
    by: Mapping[str, Mapping[str, Figures]]
    """Column -> value -> figures; ``attack`` is among them where attacks are known."""
    choices: Choices
    asv: Asv | None
    speakers: int | None
    """Speakers that were resampled as a whole, over all trials; None: trials were resampled one by one."""
    by_speaker: tuple[bool, bool] = (False, False)
    """Whether bona fide trials, and whether spoofs, were resampled by speaker; those of too few speakers were not."""
    macro_intervals: Mapping[str, Interval] = field(default_factory=dict)
    """Column -> interval of `macro_eer`, from draws of the whole set."""

    def counted(self, column: str) -> list[str]:
        """The values of a column that count in `macro_eer`: `FEWEST_TRIALS` or more trials of each class."""
        return [name for name, f in self.by[column].items() if min(f.bonafide, f.spoof) >= FEWEST_TRIALS]

    def macro_eer(self, column: str) -> float | None:
        """Mean EER over the values of a column that are `counted`; None if there are none."""
        rates = [self.by[column][name].eer for name in self.counted(column)]
        known = [rate for rate in rates if rate is not None]
        return float(np.mean(known)) if known else None

    def to_dict(self) -> dict[str, Any]:
        """What ``metrics.json`` holds: the pooled figures at the top, then the rest; no NaN, no infinity."""
        choices = asdict(self.choices)
        choices.pop("threads")  # changes no result
        values = {
            "schema": SCHEMA,
            **asdict(self.pooled),
            "by_attack": {name: asdict(figures) for name, figures in self.by.get("attack", {}).items()},
            "by": {
                column: {name: asdict(figures) for name, figures in groups.items()}
                for column, groups in self.by.items()
                if column != "attack"
            },
            "macro_eer": {column: self.macro_eer(column) for column in self.by},
            "macro_eer_intervals": dict(self.macro_intervals),
            "speakers": self.speakers,
            "by_speaker": dict(zip(("bonafide", "spoof"), self.by_speaker, strict=True)),
            "asv": asdict(self.asv.pooled) if self.asv else None,
            "choices": choices,
        }
        finite = _finite(values)
        assert isinstance(finite, dict)
        return finite


def summarise(
    scores: Float64, labels: Labels, columns: Columns | None = None, *, asv: Asv | None = None, choices: Choices
) -> Summary:
    """Figures of scores (N,), higher = more bona fide, with their key ``labels`` (N,), True = bona fide.

    ``columns`` hold (N,) text each; ``attack`` is broken down where it is there, ``speaker`` is what the bootstrap
    resamples where enough are known (`Resampler`). Raises ``ValueError`` when a class is empty, a score is not finite, or a
    column asked for is not there.
    """
    columns, labels = columns or {}, checked_labels(labels, len(scores))
    if labels.all() or not labels.any():
        raise ValueError(
            f"no {'spoof' if len(labels) and labels.all() else 'bona fide'} trials: figures need both classes"
        )
    missing = [name for name in choices.by if name not in columns]
    if missing:
        known = ", ".join(columns) or "none"
        raise ValueError(f"no column {missing[0]!r} to break the figures down by; there are: {known}")
    speakers = known_speakers(columns)[0]
    pooled = _figures(scores, labels, speakers, asv.pooled if asv else None, choices, POOLED_INTERVALS)
    names = dict.fromkeys([*(["attack"] if "attack" in columns else []), *choices.by])
    rows_of = {name: groups(columns[name], labels) for name in names}
    by = {
        name: {
            value: _figures(scores[rows], labels[rows], _of(speakers, rows), _asv_of(asv, name, value), choices, EACH)
            for value, rows in values.items()
        }
        for name, values in rows_of.items()
        if values
    }
    by_speaker = Resampler(labels, speakers).by_speaker if choices.rounds else (False, False)
    count = None if speakers is None else drawn_speakers(speakers, labels, by_speaker)
    summary = Summary(pooled, by, choices, asv, count, by_speaker)
    if not choices.rounds:
        return summary
    limits = {name: _macro_interval(summary, name, rows_of[name], scores, labels, speakers) for name in by}
    return replace(summary, macro_intervals={name: found for name, found in limits.items() if found is not None})


def groups(column: NDArray[Any], labels: Labels) -> dict[str, NDArray[np.intp]]:
    """Value -> rows that are compared under it, for the values of ``column`` (N,) in order.

    Where bona fide trials and spoofs share values (a source, a codec, a language), the trials of each value; where they
    share none (an attack, a kind of synthesis), the spoofs of each value against all bona fide trials.
    """
    values, number = np.unique(column, return_inverse=True)
    shared = set(number[labels].tolist()) & set(number[~labels].tolist())
    named = [n for n, value in enumerate(values.tolist()) if value not in NO_VALUE]
    within = any(n in shared for n in named)
    out = {}
    for n in named:
        chosen = number == n
        if within:
            out[str(values[n])] = np.flatnonzero(chosen)
        elif (chosen & ~labels).any():
            out[str(values[n])] = np.flatnonzero(labels | chosen)
    return out


def _figures(
    scores: Float64,
    labels: Labels,
    speakers: NDArray[Any] | None,
    asv: AsvRates | None,
    choices: Choices,
    with_intervals: tuple[str, ...],
) -> Figures:
    bonafide, spoof = scores[labels], scores[~labels]
    counted = Figures(len(bonafide), len(spoof))
    if not len(bonafide) or not len(spoof):
        return replace(
            counted,
            miss=float((bonafide < choices.threshold).mean()) if len(bonafide) else None,
            false_acceptance=float((spoof >= choices.threshold).mean()) if len(spoof) else None,
        )
    tally = Tally.of(bonafide, spoof)
    measures = _measures(asv, choices)
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


def _macro_interval(
    summary: Summary,
    column: str,
    rows_of: Mapping[str, NDArray[np.intp]],
    scores: Float64,
    labels: Labels,
    speakers: NDArray[Any] | None,
) -> Interval | None:
    counted, choices = summary.counted(column), summary.choices
    if len(counted) < 2:  # the mean of one is that one, and has its interval
        return summary.by[column][counted[0]].intervals.get("eer") if counted else None
    return mean_interval(
        eer.of,
        [rows_of[name] for name in counted],
        scores,
        labels,
        speakers=speakers,
        rounds=choices.rounds,
        level=choices.level,
        seed=choices.seed,
        threads=choices.threads,
    )


def drawn_speakers(speakers: NDArray[Any], labels: Labels, by_speaker: tuple[bool, bool]) -> int | None:
    """Names of speakers among the trials that are resampled by speaker; None where there is none."""
    drawn = speakers[np.where(labels, *by_speaker)]
    return len(set(np.unique(drawn).tolist()) - set(NO_VALUE)) or None


POOLED_INTERVALS = (
    "eer", "auc", "min_tdcf_legacy", "min_tdcf", "min_dcf", "act_dcf", "cllr", "min_cllr", "miss", "false_acceptance",
    "accuracy", "balanced_accuracy", "f1",
)  # fmt: skip
EACH = ("eer", "min_tdcf_legacy", "min_tdcf", "false_acceptance")
"""Figures with an interval, of all trials and of each group."""


def _measures(asv: AsvRates | None, choices: Choices) -> dict[str, Measure]:
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
    measures = _measures(asv, choices)
    return {name: measures[name] for name in POOLED_INTERVALS if name in measures}


def _tandem(metric: Callable[[Tally, AsvRates, TandemCosts], float], asv: AsvRates, choices: Choices) -> Measure:
    return lambda tally: metric(tally, asv, choices.tandem_costs)


def _asv_of(asv: Asv | None, column: str, value: str) -> AsvRates | None:
    if asv is None:
        return None
    rates = asv.by_attack.get(value, asv.pooled) if column == "attack" else asv.pooled
    try:
        legacy_weights(rates), revised_weights(rates)
    except (
        ValueError
    ):  # an attack that the verification system rejects by itself costs nothing: no t-DCF, all else stands
        return None
    return rates


def known_speakers(columns: Columns) -> tuple[NDArray[Any] | None, int | None]:
    """The speaker of each trial (N,) and how many are known; None and None where that is fewer than two."""
    speakers = columns.get("speaker")
    if speakers is None:
        return None, None
    known = len(set(np.unique(speakers).tolist()) - set(NO_VALUE))
    return (speakers, known) if known > 1 else (None, None)


def _of(column: NDArray[Any] | None, rows: NDArray[np.intp]) -> NDArray[Any] | None:
    return None if column is None else column[rows]


def _finite(value: object) -> object:
    """The same with None for what JSON cannot hold: the threshold of a system that must accept nothing is infinite."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
