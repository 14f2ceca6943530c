"""``aasist metrics``: a score file to the field's figures, without audio."""

from __future__ import annotations

import json
from pathlib import Path

import click

from aasist.cli.options import KeyOptions, MeasureOptions, key_options, measure_options


@click.command()
@click.argument("scores", type=click.Path(path_type=Path))
@key_options
@measure_options
@click.option("--json", "as_json", is_flag=True, help="The figures as one JSON object instead of tables.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Also write report.html, report.md, metrics.json and scores.tsv to this folder.",
)
def metrics(scores: Path, key: KeyOptions, measures: MeasureOptions, as_json: bool, out: Path | None) -> None:
    """Error rates, costs and calibration of a score file: EER, t-DCF, minDCF, Cllr, by attack, with intervals.

    SCORES is a score file of any ASVspoof challenge, of the ASVspoof 5 evaluation package, a table with a header, the
    scores.tsv of a report, or the JSON lines of `aasist detect --json`; higher = more bona fide. The key is in the score
    file, or in --protocol.
    """
    from aasist.cli.figures import require_columns, require_place, require_writable, say, summary_of, write
    from aasist.cli.keyed import keyed_scores

    require_place(out, scores)
    chosen = measures.choices()
    trials, values = keyed_scores(scores, key)
    require_columns(trials, chosen.by, key.protocol or scores)
    require_writable(out, trials)
    summary = summary_of(trials, values, measures.asv(), chosen, source=scores)
    if out is not None:
        write(out, title=scores.name, trials=trials, values=values, summary=summary)
    if as_json:
        click.echo(json.dumps(summary.to_dict(), allow_nan=False))
    else:
        say(summary)
