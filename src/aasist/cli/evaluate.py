"""``aasist evaluate``: a model on a corpus, from recordings to the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aasist.cli.options import (
    MODEL_HELP,
    CorpusOptions,
    MeasureOptions,
    RuntimeOptions,
    asv_from,
    corpus_options,
    measure_options,
    runtime_options,
)
from aasist.cli.stress import StressOptions, stress_options

if TYPE_CHECKING:
    from aasist.evaluation.figures import Asv


@click.command()
@corpus_options("the one that is for evaluation")
@click.option(
    "--model",
    default="efficient",
    show_default=True,
    metavar="NAME|PATH",
    help=MODEL_HELP,
)
@runtime_options
@click.option(
    "--first-window",
    is_flag=True,
    help="Score the first window alone, speech or not, as the published code does.  [default: as detect does]",
)
@measure_options
@stress_options
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
    recordings: CorpusOptions,
    model: str,
    running: RuntimeOptions,
    first_window: bool,
    measures: MeasureOptions,
    stress: StressOptions,
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
    if explain and out is None:
        raise click.UsageError("--explain draws into the report: give --out too")
    if first_window and explain:
        raise click.UsageError("--explain tells what decided as detect does: leave --first-window or --explain out")
    chosen, conditions = measures.choices(), stress.conditions()

    from aasist.cli.figures import require_columns, require_place, require_writable, say, summary_of, write
    from aasist.cli.scoring import scored_trials, trials_of
    from aasist.cli.stress import stressed
    from aasist.runtime.detector import Detector

    # Whatever can be refused is refused here, before the hours that the scoring takes.
    trials, folder = trials_of(recordings)
    asv = measures.asv() or asv_beside(recordings)
    require_columns(trials, chosen.by, trials.source)
    require_place(out)
    require_writable(out, trials)
    cache = stress.waveforms()
    detector = Detector(model, threads=chosen.threads, **running.given())
    chosen = measures.choices(detector.threshold)
    scored = scored_trials(detector, trials, folder, first_window=first_window)
    summary = summary_of(scored.trials, scored.values, asv, chosen, source=trials.source)
    rows = stressed(detector, trials, folder, conditions, chosen, cache, first_window=first_window)
    if out is not None:
        pictures: list[tuple[str, bytes]] = []
        if explain:
            from aasist.cli.worst import explained

            pictures = explained(detector, scored.trials, scored.values, folder, explain, chosen.threshold)
        subset = f", {recordings.subset}" if recordings.subset else ""
        write(
            out,
            title=f"{detector.model.name} on {recordings.corpus}{subset}",
            trials=scored.trials,
            values=scored.values,
            summary=summary,
            stress=rows,
            unscored=tuple(scored.unscored.items()),
            model=detector.model,
            pictures=tuple(pictures),
        )
    if as_json:
        from aasist.evaluation.tables import stress_values

        values = summary.to_dict()
        click.echo(json.dumps({**values, **stress_values(rows)} if rows else values, allow_nan=False))
    else:
        say(summary, rows)
    click.get_current_context().exit(1 if scored.unreadable else 0)


def asv_beside(recordings: CorpusOptions) -> Asv | None:
    """The verification system whose scores the organisers put beside the corpus; None where there are none."""
    from aasist.protocol.corpora import read_corpus_asv_scores

    assert recordings.corpus is not None
    assert recordings.root is not None
    scores = read_corpus_asv_scores(recordings.corpus, recordings.root, recordings.subset)
    return None if scores is None else asv_from(scores)


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
