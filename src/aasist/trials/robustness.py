"""How the error of a model on a corpus changes under conditions: one row each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aasist.errors import AudioError
from aasist.evaluation.bootstrap import compare, intervals
from aasist.evaluation.det import eer
from aasist.evaluation.figures import Choices
from aasist.evaluation.summary import known_speakers
from aasist.evaluation.tables import StressRow
from aasist.evaluation.tally import Float64
from aasist.runtime.detector import Detector
from aasist.session import SAMPLE_RATE, Float32
from aasist.trial import Trials
from aasist.trials.conditions import Condition
from aasist.trials.scoring import first_window_llr, llr_of, samples_of
from aasist.trials.stress import Progress, stressed
from aasist.trials.waveforms import WaveformCache

CLEAN = "clean"


def stress_rows(
    detector: Detector,
    trials: Trials,
    root: Path | str,
    conditions: Sequence[Condition],
    choices: Choices,
    *,
    first_window: bool = False,
    cache: WaveformCache | None = None,
    progress: Progress | None = None,
) -> Iterator[StressRow]:
    """The EER of the detector on ``trials`` (which have a key) under each condition, and its change against ``clean``.

    ``clean`` comes first where it is asked for. Trials that cannot be read or scored under a condition are counted and take
    no part in its EER; the change is that of the trials scored in both cases, with a paired interval. A condition that
    this installation cannot apply gives a row that says why. ``first_window``: scored `by_first_window`, otherwise
    `by_detection`.
    """
    assert trials.bonafide is not None
    speakers = known_speakers(trials.columns)[0]
    clean: Float64 | None = None
    usable = [condition for condition in conditions if condition.unavailable is None]
    scored = scores_under(
        detector, trials, root, usable, seed=choices.seed, first_window=first_window, cache=cache, progress=progress
    )
    for condition in clean_first(conditions):
        if condition.unavailable is not None:
            yield StressRow(condition.name, condition.group, condition.description, unavailable=condition.unavailable)
            continue
        scores = next(scored)
        if condition.name == CLEAN:
            clean = scores
        about = condition.name, condition.group, condition.description
        yield row_of(*about, scores, clean, trials.bonafide, speakers, choices)


def clean_first(conditions: Sequence[Condition]) -> list[Condition]:
    """The conditions in their order, but that `CLEAN` comes first."""
    return sorted(conditions, key=lambda condition: condition.name != CLEAN)


def scores_under(
    detector: Detector,
    trials: Trials,
    root: Path | str,
    conditions: Sequence[Condition],
    *,
    seed: int,
    first_window: bool = False,
    cache: WaveformCache | None = None,
    progress: Progress | None = None,
) -> Iterator[Float64]:
    """llr (N,) of all trials under each condition, `clean_first`; NaN where one cannot be read or scored."""
    unreadable: set[int] = set()

    def read(row: int) -> Float32:
        try:
            return samples_of(trials, root, row)
        except AudioError:
            unreadable.add(row)  # its score is struck out below: under a condition that adds noise, silence has one
            return np.zeros(SAMPLE_RATE, np.float32)

    scorer = _scorer(detector, first_window)
    for condition in clean_first(conditions):
        ((_, scores),) = stressed(
            [condition], trials, read, scorer, seed=seed, cache=cache, threads=detector.threads, progress=progress
        )
        scores[list(unreadable)] = np.nan
        yield scores


def _scorer(detector: Detector, first_window: bool) -> Callable[[Float32], float]:
    def score(samples: Float32) -> float:
        try:
            if first_window:
                return first_window_llr(detector, samples)
            return llr_of(detector, (samples, SAMPLE_RATE))
        except AudioError:
            return float("nan")

    return score


def row_of(
    name: str,
    group: str,
    description: str,
    scores: Float64,
    clean: Float64 | None,
    bonafide: NDArray[np.bool_],
    speakers: NDArray[Any] | None,
    choices: Choices,
) -> StressRow:
    """The EER of trials by their ``scores`` (N,), NaN where there is none, under what ``name`` is; and its change against
    their ``clean`` scores (N,), which are those of `CLEAN` itself, or None where they are not known."""
    scored = np.isfinite(scores)
    labels, values = bonafide[scored], scores[scored]
    accepted = int(labels.sum())
    row = StressRow(
        name,
        group,
        description,
        accepted,
        len(labels) - accepted,
        len(scores) - len(labels),
    )
    if _both_classes(labels):
        limits = None
        if choices.rounds:
            limits = intervals({"eer": eer.of}, values, labels, **_drawn(speakers, scored, choices))["eer"]
        row = replace(row, eer=eer(values[labels], values[~labels]), interval=limits)
    if clean is None:
        return row
    both = scored & np.isfinite(clean)
    row = replace(row, paired=int(both.sum()))
    if not _both_classes(bonafide[both]):
        return row
    if name == CLEAN:
        return replace(row, change=0.0)
    labels, under, before = bonafide[both], scores[both], clean[both]
    if not choices.rounds:
        return replace(row, change=eer(under[labels], under[~labels]) - eer(before[labels], before[~labels]))
    found = compare({"eer": eer.of}, under, before, labels, **_drawn(speakers, both, choices))["eer"]
    return replace(row, change=found.difference, change_interval=found.interval)


def _both_classes(labels: NDArray[np.bool_]) -> bool:
    return bool(labels.any() and not labels.all())


def _drawn(speakers: NDArray[Any] | None, rows: NDArray[np.bool_], choices: Choices) -> dict[str, Any]:
    """What tells the bootstrap how to draw those ``rows`` of the trials."""
    return {
        "speakers": None if speakers is None else speakers[rows],
        "rounds": choices.rounds,
        "level": choices.level,
        "seed": choices.seed,
        "threads": choices.threads,
    }
