"""``aasist metrics``: a score file to the field's figures, without audio."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aasist.cli.options import asv_of, asv_options, choice_options, choices, key_of, key_options

if TYPE_CHECKING:
    from aasist.evaluation.tally import Float64
    from aasist.trial import Trials


@click.command()
@click.argument("scores", type=click.Path(path_type=Path))
@key_options
@asv_options
@choice_options
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object instead of tables.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write report.html, report.md and metrics.json here.")
def metrics(
    scores: Path,
    protocol: Path | None,
    layout: str | None,
    conditions: tuple[str, ...],
    asv_scores: Path | None,
    asv_key: Path | None,
    asv_rates: tuple[float, float, float] | None,
    threshold: float | None,
    by: tuple[str, ...],
    rounds: int,
    seed: int,
    threads: int | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Error rates, costs and calibration of a score file: EER, t-DCF, minDCF, Cllr, by attack, with intervals.

    SCORES is a score file of any ASVspoof challenge, of the ASVspoof 5 evaluation package, a table with a header, or the
    JSON lines of `aasist detect --json`; higher = more bona fide. The key is in the score file, or in --protocol.
    """
    if out is not None:
        from aasist.evaluation.report import require_report

        require_report(out)
    chosen = choices(threshold, by, rounds, seed, threads)
    trials, values = keyed_scores(scores, protocol, layout, conditions)
    asv = asv_of(asv_scores, asv_key, asv_rates)

    from aasist.cli.figures import say, summary_of

    summary = summary_of(trials, values, asv, chosen, source=scores)
    if out is not None:
        from aasist.cli.figures import write

        write(out, title=scores.name, trials=trials, values=values, summary=summary)
    if as_json:
        click.echo(json.dumps(summary.to_dict(), allow_nan=False))
    else:
        say(summary)


def keyed_scores(
    scores: Path, protocol: Path | None, layout: str | None, conditions: tuple[str, ...]
) -> tuple[Trials, Float64]:
    """The trials of a score file with their key, and their scores (N,) in that order."""
    from aasist.errors import ProtocolError
    from aasist.protocol.scores import match_scores, read_scores

    if protocol is None and (layout is not None or conditions):
        raise click.UsageError("--layout and --where speak of --protocol, which is missing")
    file = read_scores(scores)
    if protocol is not None:
        trials, others = key_of(protocol, layout, conditions)
        values = match_scores(file, trials, others=others)
    else:
        trials, values = file.trials(), file.values
    if trials.bonafide is None:
        where = "the score file holds no key" if protocol is None else f"{protocol} holds no key"
        raise ProtocolError(
            f"{where}: give the protocol that says which trials are bona fide (--protocol)", path=scores
        )
    return trials, values
