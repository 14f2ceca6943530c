"""A model on a corpus, as verbs do it: which trials, their scores with a bar on stderr, and what has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from aasist.cli.keyed import require_both_classes
from aasist.cli.progress import counting
from aasist.errors import ProtocolError
from aasist.protocol.corpora import read_corpus
from aasist.trials.scoring import by_detection, by_first_window, score_trials

if TYPE_CHECKING:
    from aasist.cli.options import CorpusOptions
    from aasist.evaluation.tally import Float64
    from aasist.runtime.detector import Detector
    from aasist.trial import Trials


@dataclass(frozen=True)
class ScoredTrials:
    """The trials that could be scored, their llr (N,), and the others: id and reason; and how many of those could not be
    read, where the rest holds no speech."""

    trials: Trials
    values: Float64
    unscored: Mapping[str, str]
    unreadable: int = 0


def trials_of(recordings: CorpusOptions) -> tuple[Trials, Path]:
    """The trials that --corpus, --root and --subset name, with their key, and the folder their paths are relative to."""
    if recordings.corpus is None or recordings.root is None:
        raise click.UsageError("which recordings? Give --corpus and --root (aasist evaluate --list names the corpora)")
    trials = read_corpus(recordings.corpus, recordings.root, recordings.subset)
    if trials.bonafide is None:
        raise ProtocolError("it holds no key: which trials are bona fide is not known", path=trials.source)
    require_both_classes(trials, trials.source)
    return trials, recordings.root if recordings.root.is_dir() else recordings.root.parent


def scored_trials(detector: Detector, trials: Trials, folder: Path, *, first_window: bool = False) -> ScoredTrials:
    """Score every trial; says on stderr which take no part in the figures."""
    scorer = by_first_window(detector) if first_window else by_detection(detector)
    with counting("scoring", len(trials)) as progress:
        result = score_trials(trials, folder, scorer, threads=detector.threads, progress=progress)
    reasons = {str(trials.ids[row]): reason for row, reason in result.reasons.items()}
    if reasons:
        first, reason = next(iter(reasons.items()))
        if len(reasons) == len(trials):
            raise ProtocolError(f"no trial could be scored; the first, {first}: {reason}", path=trials.source)
        click.echo(
            f"aasist: {len(reasons)} of {len(trials)} trials could not be scored and take no part; the first, {first}: "
            f"{reason}",
            err=True,
        )
    scored = np.isfinite(result.llrs)
    found = ScoredTrials(trials.take(scored), result.llrs[scored], reasons, len(result.unreadable))
    require_both_classes(found.trials, trials.source, " that could be scored" if reasons else "")
    return found
