"""How the error of a model on a corpus changes under conditions: one row each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from aasist.errors import AudioError
from aasist.evaluation.bootstrap import intervals
from aasist.evaluation.det import eer
from aasist.evaluation.summary import Choices, known_speakers
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
    no part in its EER; a condition that this installation cannot apply gives a row that says why. ``first_window``:
    scored `by_first_window`, otherwise `by_detection`.
    """
    assert trials.bonafide is not None
    ordered = sorted(conditions, key=lambda condition: condition.name != CLEAN)
    speakers = known_speakers(trials.columns)[0]
    clean_eer: float | None = None
    unreadable: set[int] = set()

    def read(row: int) -> Float32:
        try:
            return samples_of(trials, root, row)
        except AudioError:
            unreadable.add(row)  # its score is struck out below: under a condition that adds noise, silence has one
            return np.zeros(SAMPLE_RATE, np.float32)

    for condition in ordered:
        if condition.unavailable is not None:
            yield StressRow(
                condition.name, condition.group, condition.description, 0, 0, 0, None, None, None, condition.unavailable
            )
            continue
        ((_, scores),) = stressed(
            [condition], trials, read, _scorer(detector, first_window), seed=choices.seed, cache=cache,
            threads=detector.threads, progress=progress,
        )  # fmt: skip
        scores[list(unreadable)] = np.nan
        row = _row(condition, scores, trials, speakers, choices, clean_eer)
        if condition.name == CLEAN and row.eer is not None:
            clean_eer, row = row.eer, replace(row, change=0.0)
        yield row


def _scorer(detector: Detector, first_window: bool) -> Callable[[Float32], float]:
    def score(samples: Float32) -> float:
        try:
            if first_window:
                return first_window_llr(detector, samples)
            return llr_of(detector, (samples, SAMPLE_RATE))
        except AudioError:
            return float("nan")

    return score


def _row(
    condition: Condition,
    scores: Float64,
    trials: Trials,
    speakers: np.ndarray | None,
    choices: Choices,
    clean_eer: float | None,
) -> StressRow:
    assert trials.bonafide is not None
    scored = np.isfinite(scores)
    labels, values = trials.bonafide[scored], scores[scored]
    bonafide = int(labels.sum())
    counts = (bonafide, len(labels) - bonafide, len(scores) - len(labels))
    named = (condition.name, condition.group, condition.description)
    if not bonafide or bonafide == len(labels):
        return StressRow(*named, *counts, None, None, None, None)
    rate = eer(values[labels], values[~labels])
    limits = None
    if choices.rounds:
        limits = intervals(
            {"eer": eer.of}, values, labels, speakers=None if speakers is None else speakers[scored],
            rounds=choices.rounds, level=choices.level, seed=choices.seed, threads=choices.threads,
        )["eer"]  # fmt: skip
    return StressRow(*named, *counts, rate, limits, None if clean_eer is None else rate - clean_eer, None)
