"""Options that several verbs share: which trials, and what to say of their scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from aasist.evaluation.summary import Asv, Choices
    from aasist.protocol.scores import AsvScores
    from aasist.trial import Trials

Command = TypeVar("Command", bound=Callable[..., object])
FILE = click.Path(path_type=Path)


def _joined(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


key_options = _joined(
    click.option(
        "--protocol",
        type=FILE,
        help="Protocol or manifest with the key of the trials.  [default: the score file's own]",
    ),
    click.option(
        "--layout", metavar="NAME", help="Layout of --protocol, such as asvspoof2019-la.  [default: recognised]"
    ),
    click.option(
        "--where",
        "conditions",
        multiple=True,
        metavar="COLUMN=VALUE",
        help="Only these trials of --protocol, such as subset=eval. May be repeated.",
    ),
)
"""Where the key of a score file's trials comes from."""

corpus_options = _joined(
    click.option(
        "--corpus", metavar="NAME", help="How the recordings are laid out; aasist evaluate --list names them all."
    ),
    click.option("--root", type=FILE, help="Where the corpus was unpacked to."),
    click.option("--subset", metavar="NAME", help="Part of it.  [default: the one that is for evaluation]"),
)
"""Which recordings."""

choice_options = _joined(
    click.option(
        "--threshold", type=float, help="On the scores: below it is a spoof.  [default: 0; of evaluate: the model's]"
    ),
    click.option(
        "--by", multiple=True, metavar="COLUMN", help="Break the figures down by this column too. May be repeated."
    ),
    click.option(
        "--rounds",
        type=click.IntRange(min=0),
        default=1000,
        show_default=True,
        help="Rounds of the bootstrap; 0 leaves the intervals out.",
    ),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of everything random."),
    click.option("--threads", type=click.IntRange(min=1), help="[default: all that the process may use]"),
)
"""What to say of the scores."""

asv_options = _joined(
    click.option(
        "--asv-scores", type=FILE, help="Scores of a speaker verification system: with them, t-DCF is computed."
    ),
    click.option("--asv-key", type=FILE, help="Key of --asv-scores, where they come without.", hidden=False),
    click.option(
        "--asv-rates",
        type=(float, float, float),
        metavar="MISS FA SPOOF",
        help="Or its rates: targets rejected, non-targets accepted, spoofs accepted (fractions).",
    ),
)
"""The speaker verification system behind the countermeasure."""


def choices(threshold: float | None, by: tuple[str, ...], rounds: int, seed: int, threads: int | None) -> Choices:
    """The options of `choice_options` in one."""
    from aasist.evaluation.summary import Choices
    from aasist.runtime.threads import available_threads

    if threshold is not None and not math.isfinite(threshold):
        raise click.UsageError(f"--threshold must be a finite number, got {threshold}")
    return Choices(threshold or 0.0, by, rounds=rounds, seed=seed, threads=threads or available_threads())


def asv_of(scores: Path | None, key: Path | None, rates: tuple[float, float, float] | None) -> Asv | None:
    """The options of `asv_options` in one; None where nothing is known of a verification system."""
    if scores is not None and rates is not None:
        raise click.UsageError("--asv-scores and --asv-rates exclude each other")
    if key is not None and scores is None:
        raise click.UsageError("--asv-key is the key of --asv-scores, which is missing")
    if rates is not None:
        from aasist.evaluation.dcf import AsvRates, legacy_weights, revised_weights
        from aasist.evaluation.summary import Asv

        try:
            point = AsvRates(*rates)
            legacy_weights(point), revised_weights(point)
            return Asv(point)
        except ValueError as error:
            raise click.UsageError(f"--asv-rates: {error}") from error
    if scores is None:
        return None
    from aasist.protocol.scores import read_asv_scores

    return asv_from(read_asv_scores(scores, key=key))


def asv_from(scores: AsvScores) -> Asv:
    """Verification scores -> the operating points they come to."""
    from aasist.errors import ProtocolError
    from aasist.evaluation.dcf import legacy_weights, revised_weights
    from aasist.evaluation.summary import Asv

    try:
        asv = Asv.of(scores.target, scores.nontarget, scores.spoof, scores.spoof_attacks)
        legacy_weights(asv.pooled), revised_weights(asv.pooled)
        return asv
    except ValueError as error:
        raise ProtocolError(str(error), path=scores.source) from error


def key_of(protocol: Path, layout: str | None, conditions: tuple[str, ...]) -> tuple[Trials, Trials | None]:
    """The trials of a protocol that all ``conditions`` hold for, and the rest of them (None: there is none)."""
    import numpy as np

    from aasist.errors import ProtocolError
    from aasist.protocol.challenge import read_protocol

    trials = read_protocol(protocol, layout)
    chosen = np.ones(len(trials), np.bool_)
    for condition in conditions:
        column, equals, value = condition.partition("=")
        if not equals:
            raise click.UsageError(f"--where must be COLUMN=VALUE, got {condition!r}")
        if column not in trials.columns:
            known = ", ".join(trials.columns)
            raise ProtocolError(f"no column {column!r} for --where; there are: {known}", path=protocol)
        chosen &= np.asarray(trials.columns[column] == value)
    if not chosen.any():
        raise ProtocolError(f"no trial is left with {' and '.join(conditions)}", path=protocol)
    return (trials, None) if chosen.all() else (trials.take(chosen), trials.take(~chosen))
