"""``aasist evaluate``: a model on a corpus, from recordings to the report."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aasist.cli.options import asv_from, asv_of, asv_options, choice_options, choices, corpus_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aasist.evaluation.summary import Choices
    from aasist.evaluation.tables import StressRow
    from aasist.evaluation.tally import Float64
    from aasist.runtime.detector import Detector
    from aasist.trial import Trials
    from aasist.trials.waveforms import WaveformCache

SCORES = "scores.tsv"
"""The file of scores in --out."""


@click.command()
@corpus_options
@click.option(
    "--model",
    default="efficient",
    show_default=True,
    metavar="NAME|PATH",
    help="A shipped model, an ONNX file of ours, or a .safetensors or .pth checkpoint (extra: train).",
)
@click.option(
    "--first-window",
    is_flag=True,
    help="Score the first window alone, speech or not, as the published code does.  [default: as detect does]",
)
@asv_options
@choice_options
@click.option("--stress", is_flag=True, help="Repeat under codecs, noise, rooms, speeds, ...: one table.")
@click.option(
    "--condition",
    "only",
    multiple=True,
    metavar="NAME",
    help="Only this condition of --stress. May be repeated; --list names them.",
)
@click.option("--cache", type=click.Path(path_type=Path, file_okay=False), help="Keep degraded audio of --stress here.")
@click.option(
    "--explain",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="Draw what decided in the N worst trials of each class, in the report.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write scores, metrics.json, report.md and report.html here."
)
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object instead of tables.")
@click.option("--list", "listing", is_flag=True, help="Name the corpora and the conditions, and stop.")
def evaluate(
    corpus: str | None,
    root: Path | None,
    subset: str | None,
    model: str,
    first_window: bool,
    asv_scores: Path | None,
    asv_key: Path | None,
    asv_rates: tuple[float, float, float] | None,
    threshold: float | None,
    by: tuple[str, ...],
    rounds: int,
    seed: int,
    threads: int | None,
    stress: bool,
    only: tuple[str, ...],
    cache: Path | None,
    explain: int,
    out: Path | None,
    as_json: bool,
    listing: bool,
) -> None:
    """Score a corpus with a model and say how well it does, with intervals: EER, t-DCF, minDCF, Cllr, by attack.

    CORPUS is one of the challenges' own layouts (asvspoof2019-la, asvspoof5, in-the-wild, ...), a manifest of yours, or
    folders named bonafide and spoof. Where the organisers' ASV scores lie beside the corpus, they are found. Exit code 1:
    some recordings could not be read; the figures are those of the others.
    """
    if listing:
        say_names()
        return
    require_companions(out, explain, first_window, stress, only, cache)
    chosen = choices(threshold, by, rounds, seed, threads)
    picked = conditions_named(only) if stress else None

    from aasist.protocol.corpora import read_corpus_asv_scores
    from aasist.runtime.detector import Detector

    # Whatever can be refused is refused here, before the hours that the scoring takes.
    trials, folder = trials_of(corpus, root, subset)
    asv = asv_of(asv_scores, asv_key, asv_rates)
    if asv is None and corpus is not None and root is not None:
        beside = read_corpus_asv_scores(corpus, root, subset)
        asv = None if beside is None else asv_from(beside)
    require_columns(trials, by)
    require_out(out, trials)
    kept = None if cache is None else cache_in(cache)
    detector = Detector(model, threads=chosen.threads)
    if threshold is None:
        chosen = replace(chosen, threshold=detector.threshold)
    scored = scored_trials(detector, trials, folder, first_window=first_window)
    say_unscored(scored)

    from aasist.cli.figures import say, summary_of, write

    summary = summary_of(scored.trials, scored.values, asv, chosen, source=trials.source)
    rows: tuple[StressRow, ...] = ()
    if picked is not None:
        rows = stressed(detector, trials, folder, picked, chosen, kept, first_window=first_window)
    if out is not None:
        title = f"{detector.model.name} on {corpus}{f', {subset}' if subset else ''}"
        pictures = []
        if explain:
            from aasist.cli.worst import explained

            pictures = explained(detector, scored.trials, scored.values, folder, explain, chosen.threshold)
        write(
            out,
            title=title,
            trials=scored.trials,
            values=scored.values,
            summary=summary,
            stress=rows,
            unscored=tuple(scored.unscored.items()),
            model=detector.model,
            pictures=tuple(pictures),
            files={SCORES: score_file(scored.trials, scored.values)},
        )
    if as_json:
        from aasist.evaluation.tables import stress_dicts

        values = summary.to_dict()
        click.echo(json.dumps({**values, "stress": stress_dicts(rows)} if rows else values, allow_nan=False))
    else:
        say(summary, rows)
    click.get_current_context().exit(1 if scored.unreadable else 0)


@dataclass(frozen=True)
class ScoredTrials:
    """The trials that could be scored, their llr (N,), and the others: id and reason; and how many of those could not be
    read, where the rest holds no speech."""

    trials: Trials
    values: Float64
    unscored: Mapping[str, str]
    unreadable: int = 0


def trials_of(corpus: str | None, root: Path | None, subset: str | None) -> tuple[Trials, Path]:
    """The trials that --corpus, --root and --subset name, with their key, and the folder their paths are relative to."""
    from aasist.errors import ProtocolError
    from aasist.protocol.corpora import read_corpus

    if corpus is None or root is None:
        raise click.UsageError("which recordings? Give --corpus and --root (aasist evaluate --list names the corpora)")
    trials = read_corpus(corpus, root, subset)
    if trials.bonafide is None:
        raise ProtocolError("it holds no key: which trials are bona fide is not known", path=trials.source)
    for name, count in (("bona fide", trials.bonafide.sum()), ("spoofed", (~trials.bonafide).sum())):
        if not count:
            raise ProtocolError(
                f"none of {len(trials)} trials is {name}: an error rate needs trials of both classes",
                path=trials.source,
            )
    return trials, root if root.is_dir() else root.parent


def scored_trials(detector: Detector, trials: Trials, folder: Path, *, first_window: bool) -> ScoredTrials:
    """Score every trial, with a bar on stderr."""
    import numpy as np

    from aasist.cli.progress import counting
    from aasist.errors import ProtocolError
    from aasist.trials.scoring import by_detection, by_first_window, score_trials

    scorer = by_first_window(detector) if first_window else by_detection(detector)
    with counting("scoring", len(trials)) as progress:
        result = score_trials(trials, folder, scorer, threads=detector.threads, progress=progress)
    reasons = {str(trials.ids[row]): reason for row, reason in result.reasons.items()}
    scored = np.isfinite(result.llrs)
    if not scored.any():
        first, reason = next(iter(reasons.items()))
        raise ProtocolError(f"no trial could be scored; the first, {first}: {reason}", path=trials.source)
    return ScoredTrials(trials.take(scored), result.llrs[scored], reasons, len(result.unreadable))


def say_unscored(scored: ScoredTrials) -> None:
    """One line on stderr where trials take no part in the figures."""
    if scored.unscored:
        first, reason = next(iter(scored.unscored.items()))
        total = len(scored.trials) + len(scored.unscored)
        click.echo(
            f"aasist: {len(scored.unscored)} of {total} trials could not be scored and take no part; the first, {first}: "
            f"{reason}",
            err=True,
        )


def stressed(
    detector: Detector,
    trials: Trials,
    folder: Path,
    names: tuple[str, ...],
    chosen: Choices,
    cache: WaveformCache | None,
    *,
    first_window: bool,
) -> tuple[StressRow, ...]:
    """The rows of the stress table, with a bar on stderr."""
    from aasist.cli.progress import counting
    from aasist.trials.robustness import stress_rows
    from aasist.trials.stress import CONDITIONS

    conditions = [CONDITIONS[name] for name in names]
    order = {condition: number for number, condition in enumerate(names)}
    with counting("stress", len(names) * len(trials)) as progress:

        def report(condition: str, done: int, total: int) -> None:
            progress(order.get(condition, 0) * total + done)

        return tuple(
            stress_rows(
                detector, trials, folder, conditions, chosen, first_window=first_window, cache=cache, progress=report
            )
        )


def cache_in(folder: Path) -> WaveformCache:
    """The cache of --cache; an error where the folder cannot be used."""
    from aasist.trials.stress import WaveformCache

    return WaveformCache(folder)


def require_columns(trials: Trials, by: tuple[str, ...]) -> None:
    """`ProtocolError` for a column of --by that the trials lack."""
    from aasist.errors import ProtocolError

    for name in by:
        if name not in trials.columns:
            raise ProtocolError(
                f"no column {name!r} for --by; there are: {', '.join(trials.columns)}", path=trials.source
            )


def require_companions(
    out: Path | None, explain: int, first_window: bool, stress: bool, only: tuple[str, ...], cache: Path | None
) -> None:
    """``click.UsageError`` for an option without the one that it goes with."""
    if explain and out is None:
        raise click.UsageError("--explain draws into the report: give --out too")
    if first_window and explain:
        raise click.UsageError("--explain tells what decided as detect does: leave --first-window or --explain out")
    if only and not stress:
        raise click.UsageError("--condition picks among the conditions of --stress, which is missing")
    if cache is not None and not stress:
        raise click.UsageError("--cache keeps the audio of --stress, which is missing")


def require_out(out: Path | None, trials: Trials) -> None:
    """The error that writing the report would end in: no place for it, a file of scores that cannot hold an id."""
    if out is None:
        return
    import numpy as np

    from aasist.evaluation.folder import folder_of
    from aasist.evaluation.report import require_report

    require_report(out)
    folder_of(out, [SCORES])
    score_file(trials, np.zeros(len(trials)))


def score_file(trials: Trials, values: Float64) -> bytes:
    """The scores as ``aasist metrics`` reads them."""
    import tempfile

    from aasist.protocol.scores import write_scores

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, SCORES)
        write_scores(path, trials, values, "tsv")
        return path.read_bytes()


def conditions_named(only: tuple[str, ...]) -> tuple[str, ...]:
    """The conditions to repeat the evaluation under; a name that is none is a usage error."""
    from aasist.trials.stress import CONDITIONS

    unknown = [name for name in only if name not in CONDITIONS]
    if unknown:
        raise click.UsageError(f"no condition {unknown[0]!r}; there are: {', '.join(CONDITIONS)}")
    return tuple(name for name in CONDITIONS if not only or name in ("clean", *only))


def say_names() -> None:
    """The corpora with their subsets, and the conditions of --stress."""
    from aasist.protocol.corpora import CORPORA
    from aasist.trials.stress import CONDITIONS

    click.echo("Corpora (--corpus), and their subsets:")
    for name, corpus in CORPORA.items():
        click.echo(f"  {name:<20} {corpus.title}: {', '.join(corpus.subsets) or 'those the file names'}")
    click.echo("Conditions (--condition):")
    for name, condition in CONDITIONS.items():
        click.echo(f"  {name:<20} {condition.description}")
