"""Scoring a corpus: the llr of every trial by one detector."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aasist.audio.read import read
from aasist.errors import AudioError, ProtocolError
from aasist.evaluation.tally import Float64
from aasist.parallel import in_order
from aasist.runtime.detector import Detector
from aasist.session import Float32
from aasist.trial import Trials

Scorer = Callable[[Path], float]
"""A recording -> its llr, higher = more bona fide; an `AudioError` where it has none."""

NO_SPEECH = "no_speech"
"""Code of the `AudioError` of a recording that was read, and in which nothing could be scored."""

FILES_AHEAD = 32
"""Recordings a thread that are handed out before the first is done: enough that none waits for a long one."""


@dataclass(frozen=True, eq=False)
class Scored:
    """``llrs`` (N,) of the trials, NaN where a trial could not be scored; why not, by its row; and those of the rows whose
    recording could not be read (missing, damaged, too short), where the others hold no speech."""

    llrs: Float64
    reasons: Mapping[int, str]
    unreadable: frozenset[int] = frozenset()


def score_trials(
    trials: Trials,
    root: Path | str,
    scorer: Scorer,
    *,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Scored:
    """Score every trial, recordings side by side; ``progress`` is called with the number done so far.

    The column ``path`` of ``trials`` is relative to ``root``. The result does not depend on ``threads``. A recording that
    cannot be scored costs its own score and no other's; a model that fails on one raises.
    """
    if "path" not in trials.columns:
        raise ProtocolError("no column 'path': where the recordings lie is not known", path=trials.source)
    paths = [Path(root, path) for path in trials.columns["path"].tolist()]
    llrs = np.full(len(paths), np.nan)
    failures: dict[int, AudioError] = {}

    def one(row: int) -> tuple[int, float, AudioError | None]:
        try:
            return row, scorer(paths[row]), None
        except AudioError as error:
            return row, np.nan, error

    scored = in_order(one, range(len(paths)), threads=threads, ahead=FILES_AHEAD * threads)
    for done, (row, llr, failure) in enumerate(scored, 1):
        llrs[row] = llr
        if failure is not None:
            failures[row] = failure
        if progress is not None:
            progress(done)
    reasons = {row: failures[row].message for row in sorted(failures)}
    return Scored(llrs, reasons, frozenset(row for row, failure in failures.items() if failure.code != NO_SPEECH))


def by_detection(detector: Detector) -> Scorer:
    """The llr as ``aasist detect`` gives it: over the windows of speech, calibrated."""

    def scorer(path: Path) -> float:
        return llr_of(detector, os.fspath(path))

    return scorer


def llr_of(detector: Detector, source: str | tuple[Float32, int]) -> float:
    """The llr of one recording; ``AudioError`` ``no_speech`` where nothing in it could be scored."""
    verdict = detector.detect(source)
    if verdict.llr is None:
        reasons = "; ".join(note.message for note in verdict.warnings) or "nothing to score"
        raise AudioError(NO_SPEECH, reasons)
    return verdict.llr


def by_first_window(detector: Detector) -> Scorer:
    """The llr of the first window alone, speech or not, a short recording repeated to fill it: how the published code
    scores, and what its published error rates are of."""

    def scorer(path: Path) -> float:
        return first_window_llr(detector, read(os.fspath(path), channel=detector.channel, limits=detector.limits))

    return scorer


def first_window_llr(detector: Detector, samples: Float32) -> float:
    """`by_first_window` of samples (N,) at 16 kHz, one at the least."""
    window = np.resize(samples, detector.notes.window_samples)[None]
    return float(detector.llrs_of(window.astype(np.float32, copy=False))[0])


def samples_of(trials: Trials, root: Path | str, row: int) -> Float32:
    """The recording of one trial as the model hears it: mono (N,) at 16 kHz."""
    return read(os.fspath(Path(root, str(trials.columns["path"][row]))))
