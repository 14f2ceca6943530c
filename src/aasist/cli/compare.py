"""``aasist compare``: two systems on the same trials."""

from __future__ import annotations

import json
from pathlib import Path

import click

from aasist.cli.options import KeyOptions, MeasureOptions, key_options, measure_options


@click.command()
@click.argument("scores_a", type=click.Path(path_type=Path), metavar="A")
@click.argument("scores_b", type=click.Path(path_type=Path), metavar="B")
@key_options
@measure_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Also write comparison.html (with both DET curves), comparison.md and comparison.json to this folder.",
)
def compare(
    scores_a: Path, scores_b: Path, key: KeyOptions, measures: MeasureOptions, as_json: bool, out: Path | None
) -> None:
    """Is score file A better than B? Differences of every figure with a paired interval.

    Both systems must have scored the same trials; each round of the bootstrap draws the same trials for both (whole
    speakers, where the protocol, or else A, knows them). Where the interval holds 0, the difference may be chance.
    """
    from aasist.cli.figures import warn
    from aasist.cli.keyed import keyed_by_all
    from aasist.errors import ProtocolError
    from aasist.evaluation.cautions import comparison_cautions
    from aasist.evaluation.comparison import Comparison, lead

    if measures.by:
        raise click.UsageError("--by belongs to metrics and evaluate; pick trials with --where")
    if measures.rounds == 0:
        raise click.UsageError("--rounds must be above 0: a comparison is its interval")
    if out is not None:
        from aasist.evaluation.comparison import COMPARISON_FILES
        from aasist.evaluation.page import require_place

        require_place(out, COMPARISON_FILES)
    chosen = measures.choices()
    trials, (a, b) = keyed_by_all([scores_a, scores_b], key)
    asv = measures.asv()
    assert trials.bonafide is not None
    files = str(scores_a), str(scores_b)
    try:
        found = Comparison.of(
            files, (a, b), trials.bonafide, trials.columns, asv=asv.pooled if asv else None, choices=chosen
        )
    except ValueError as error:
        raise ProtocolError(str(error), path=scores_a) from error
    if out is not None:
        from aasist.cli.figures import written_by
        from aasist.evaluation.comparison import write_comparison

        version, date = written_by()
        write_comparison(out, found, version=version, date=date)
        click.echo(f"aasist: report in {out / 'comparison.html'}", err=True)
    warn(comparison_cautions(found))
    if as_json:
        click.echo(json.dumps(found.to_dict(), allow_nan=False))
    else:
        click.echo(found.table().text())
        click.echo(f"\n{lead(found)}")
