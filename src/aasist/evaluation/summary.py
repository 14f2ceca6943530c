"""Everything that is said of one set of scores: pooled, by attack and by any other column, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aasist.evaluation.bootstrap import (
    Interval,
    Resampler,
    checked_labels,
    mean_interval,
)
from aasist.evaluation.dcf import (
    AsvRates,
    legacy_weights,
    revised_weights,
)
from aasist.evaluation.det import (
    eer,
)
from aasist.evaluation.figures import (
    EACH,
    NO_VALUE,
    POOLED_INTERVALS,
    Asv,
    Choices,
    Figures,
    Labels,
    figures_of,
)
from aasist.evaluation.tally import Float64

SCHEMA = 2
"""Version of the summary's keys."""

FEWEST_TRIALS = 10
"""Trials of each class that a group needs to count in a mean over groups; fewer make an EER a coin's toss."""

Columns = Mapping[str, NDArray[Any]]


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
    pooled = figures_of(scores, labels, speakers, asv.pooled if asv else None, choices, POOLED_INTERVALS)
    names = dict.fromkeys([*(["attack"] if "attack" in columns else []), *choices.by])
    rows_of = {name: groups(columns[name], labels) for name in names}
    by = {
        name: {
            value: figures_of(scores[rows], labels[rows], _of(speakers, rows), _asv_of(asv, name, value), choices, EACH)
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
