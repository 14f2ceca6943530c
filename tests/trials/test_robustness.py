"""Rows of the stress table: the error under each condition, its change, and what takes no part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aasist.audio import encode
from aasist.errors import AudioError
from aasist.evaluation.det import eer
from aasist.evaluation.figures import Choices
from aasist.evaluation.tables import StressRow, worst_condition
from aasist.protocol.corpora import read_corpus
from aasist.runtime.detector import Detector
from aasist.trial import Trials
from aasist.trials import robustness
from aasist.trials.conditions import CONDITIONS, Condition
from aasist.trials.robustness import stress_rows
from aasist.trials.scoring import by_detection, by_first_window, samples_of, score_trials
from aasist.trials.waveforms import WaveformCache

from .test_scoring import mini_copy

QUICK = Choices(rounds=10)
MUTED = Condition("muted", "gain", "nothing is left", lambda samples, rng: np.zeros_like(samples))


@pytest.fixture(scope="module")
def root(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini_copy(recording, tmp_path_factory.mktemp("LA"))


@pytest.fixture(scope="module")
def trials(root: Path) -> Trials:
    return read_corpus("asvspoof2019-la", root)


@pytest.fixture(scope="module")
def detector(loudness_onnx: Path) -> Detector:
    return Detector(loudness_onnx, threads=2)


def rows_of(
    detector: Detector, trials: Trials, root: Path, *conditions: Condition, choices: Choices = QUICK, **options
) -> list[StressRow]:
    return list(stress_rows(detector, trials, root, conditions, choices, **options))


@pytest.mark.parametrize("first_window", [False, True])
def test_clean_comes_first_and_has_the_error_of_the_evaluation_itself(
    first_window: bool, detector: Detector, trials: Trials, root: Path
) -> None:
    scorer = by_first_window(detector) if first_window else by_detection(detector)
    scored = score_trials(trials, root, scorer)
    known = np.isfinite(scored.llrs)
    assert trials.bonafide is not None
    labels, llrs = trials.bonafide[known], scored.llrs[known]
    quieter = CONDITIONS["gain-6db"]
    rows = rows_of(detector, trials, root, quieter, CONDITIONS["clean"], first_window=first_window)
    assert [row.condition for row in rows] == ["clean", "gain-6db"]
    clean = rows[0]
    assert clean.eer == eer(llrs[labels], llrs[~labels])
    assert (clean.bonafide, clean.spoof, clean.unscored) == (labels.sum(), (~labels).sum(), (~known).sum())
    assert (clean.change, clean.change_interval, clean.paired) == (0.0, None, known.sum())
    assert clean.interval is not None
    assert clean.interval[0] <= clean.eer <= clean.interval[1]
    assert rows[1].eer is not None
    assert rows[1].paired == known.sum()
    assert rows[1].change == rows[1].eer - clean.eer
    assert rows[1].change_interval is not None
    assert rows[1].change_interval[0] <= rows[1].change <= rows[1].change_interval[1]


class LevelDetector:
    """Says that what is loud is real; a recording below ``floor`` cannot be scored."""

    threads = 1

    def __init__(self, floor: float = 0.0) -> None:
        self.floor = floor

    def llr(self, samples: np.ndarray) -> float:
        level = float(np.sqrt(np.mean(np.square(samples))))
        if level < self.floor:
            raise AudioError("too_quiet", "too quiet")
        return level


def test_the_change_is_that_of_the_trials_scored_in_both_cases(
    trials: Trials, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = LevelDetector(0.02)
    monkeypatch.setattr(robustness, "first_window_llr", lambda detector, samples: detector.llr(samples))
    # What is faint as it is drops out of ``clean`` alone, every third trial out of the other.
    count = iter(range(1000))
    hole = Condition(
        "hole",
        "gain",
        "louder, every third gone",
        lambda samples, rng: samples * (0.0 if next(count) % 3 == 0 else 4.0),
    )
    clean, row = rows_of(detector, trials, root, CONDITIONS["clean"], hole, first_window=True)
    assert trials.bonafide is not None

    def llr_under(number: int, gain: float) -> float:
        try:
            return detector.llr(gain * samples_of(trials, root, number))
        except AudioError:
            return float("nan")

    before = np.array([llr_under(number, 1.0) for number in range(len(trials))])
    after = np.array([llr_under(number, 0.0 if number % 3 == 0 else 4.0) for number in range(len(trials))])
    both = np.isfinite(before) & np.isfinite(after)
    labels = trials.bonafide[both]
    assert row.paired == both.sum() < min(row.bonafide + row.spoof, clean.bonafide + clean.spoof)
    before, after = before[both], after[both]
    assert row.change == eer(after[labels], after[~labels]) - eer(before[labels], before[~labels])
    assert row.change_interval is not None


def test_a_recording_that_cannot_be_read_has_no_score_under_a_condition_that_adds_noise(
    detector: Detector, trials: Trials, root: Path
) -> None:
    hiss = Condition("hiss", "noise", "loud noise", lambda samples, rng: samples + rng.normal(0, 0.3, len(samples)))
    # Scored speech or not: the silent trial gets a score, the one that is no audio must not.
    (row,) = rows_of(detector, trials, root, hiss, first_window=True)
    assert (row.bonafide, row.spoof, row.unscored) == (11, 12, 1)


def test_a_condition_that_leaves_a_class_without_scores_has_counts_and_no_error(
    detector: Detector, trials: Trials, root: Path
) -> None:
    clean, muted = rows_of(detector, trials, root, CONDITIONS["clean"], MUTED)
    assert clean.eer is not None
    assert (muted.bonafide, muted.spoof, muted.unscored) == (0, 0, len(trials))
    assert (muted.eer, muted.interval, muted.unavailable) == (None, None, None)
    assert (muted.paired, muted.change, muted.change_interval) == (0, None, None)


def test_without_clean_there_is_no_change_and_without_rounds_no_interval(
    detector: Detector, trials: Trials, root: Path
) -> None:
    (row,) = rows_of(detector, trials, root, CONDITIONS["gain+6db"], choices=Choices(rounds=0))
    assert row.eer is not None
    assert (row.paired, row.change, row.interval, row.change_interval) == (None, None, None, None)
    _, row = rows_of(detector, trials, root, CONDITIONS["clean"], CONDITIONS["gain+6db"], choices=Choices(rounds=0))
    assert row.change is not None
    assert (row.interval, row.change_interval) == (None, None)


def test_a_condition_that_cannot_be_applied_says_why_and_the_others_are_run(
    detector: Detector, trials: Trials, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    absent = CONDITIONS["mp3-32"]
    monkeypatch.setattr(encode, "missing", lambda codec: "no encoder for MP3")
    rows = rows_of(detector, trials, root, absent, CONDITIONS["clean"])
    assert [(row.condition, row.unavailable) for row in rows] == [("clean", None), ("mp3-32", "no encoder for MP3")]
    assert (rows[1].bonafide, rows[1].spoof, rows[1].unscored, rows[1].eer) == (0, 0, 0, None)


def test_the_worst_condition_is_none_where_clean_is_no_better(detector: Detector, trials: Trials, root: Path) -> None:
    same = replace(CONDITIONS["clean"], name="same")
    rows = rows_of(detector, trials, root, CONDITIONS["clean"], same)
    assert worst_condition(rows) == "No condition raises the equal error rate."


def test_rows_do_not_depend_on_threads_or_on_a_cache(
    trials: Trials, root: Path, loudness_onnx: Path, tmp_path: Path
) -> None:
    costly = replace(CONDITIONS["noise-10db"], costly=True)
    cache = WaveformCache(tmp_path)
    reports: list[tuple[str, int, int]] = []
    rows = [
        rows_of(Detector(loudness_onnx, threads=threads), trials, root, costly, cache=kept, progress=progress)
        for threads, kept, progress in (
            (1, None, lambda *report: reports.append(report)),
            (2, cache, None),
            (2, cache, None),
        )
    ]
    assert rows[0] == rows[1] == rows[2]
    # The silent and the unreadable trial are the same recording to the cache, but for their names.
    assert len(list(tmp_path.glob("*.npy"))) == len(trials)
    assert reports == [("noise-10db", done, len(trials)) for done in range(1, len(trials) + 1)]
