"""Scores of a file with the key of their trials: its own, or a protocol's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from aasist.errors import ProtocolError
from aasist.protocol.challenge import read_protocol
from aasist.protocol.matching import match_scores
from aasist.protocol.scores import read_scores

if TYPE_CHECKING:
    from aasist.cli.options import KeyOptions
    from aasist.evaluation.tally import Float64
    from aasist.trial import Trials


def keyed_scores(scores: Path, key: KeyOptions) -> tuple[Trials, Float64]:
    """The trials of a score file with their key, of both classes, and their scores (N,) in that order."""
    (trials, values) = keyed_by_all([scores], key)
    return trials, values[0]


def keyed_by_all(files: Sequence[Path], key: KeyOptions) -> tuple[Trials, list[Float64]]:
    """The trials that score files share, with their key, of both classes; and the scores (N,) of each file.

    Without ``--protocol`` key and columns are those of the first file.
    """
    trials, values = shared_by_all(files, key)
    if trials.bonafide is None:
        where = "the score file holds no key" if key.protocol is None else f"{key.protocol} holds no key"
        raise ProtocolError(
            f"{where}: give the protocol that says which trials are bona fide (--protocol)", path=files[0]
        )
    which = f" with {' and '.join(key.conditions)}" if key.conditions else ""
    require_both_classes(trials, key.protocol or files[0], which)
    return trials, values


def shared_by_all(files: Sequence[Path], key: KeyOptions) -> tuple[Trials, list[Float64]]:
    """`keyed_by_all` of trials that need no key: theirs is what the first file, or ``--protocol``, knows of it."""
    if key.protocol is None and key.layout is not None:
        raise click.UsageError("--layout speaks of --protocol, which is missing")
    first = read_scores(files[0])
    every = first.trials() if key.protocol is None else read_protocol(key.protocol, key.layout)
    source = key.protocol or files[0]
    chosen = _chosen(every, key.conditions, source)
    trials, others = (every, None) if chosen.all() else (every.take(chosen), every.take(~chosen))
    values = [match_scores(first, trials, others=others)]
    values += [match_scores(read_scores(file), trials, others=others) for file in files[1:]]
    return trials, values


def require_both_classes(trials: Trials, source: Path | str, which: str = "") -> None:
    """`ProtocolError` where trials that have a key are of one class; ``which`` says how they were picked."""
    assert trials.bonafide is not None
    for name, count in (("bona fide", trials.bonafide.sum()), ("spoofed", (~trials.bonafide).sum())):
        if not count:
            raise ProtocolError(
                f"none of {len(trials):,} trials{which} is {name}: an error rate needs trials of both classes",
                path=source,
            )


def _chosen(trials: Trials, conditions: Sequence[str], source: Path) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which trials (N,) all conditions hold for; one at least."""
    chosen = np.ones(len(trials), np.bool_)
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals:
            raise click.UsageError(f"--where must be COLUMN=VALUE, got {condition!r}")
        if column not in trials.columns:
            known = ", ".join(trials.columns) or "none"
            raise ProtocolError(f"no column {column!r} for --where; there are: {known}", path=source)
        chosen &= np.asarray(trials.columns[column] == value)
    if not chosen.any():
        raise ProtocolError(f"no trial is left with {' and '.join(conditions)}", path=source)
    return chosen
