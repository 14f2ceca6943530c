"""Figures of scored trials as the verbs show and keep them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aasist.errors import ProtocolError

if TYPE_CHECKING:
    from aasist.evaluation.summary import Asv, Choices, Summary
    from aasist.evaluation.tables import StressRow
    from aasist.evaluation.tally import Float64
    from aasist.trial import Trials


def summary_of(trials: Trials, values: Float64, asv: Asv | None, chosen: Choices, *, source: Path | str) -> Summary:
    """`summarise`, with what is wrong said of the file it came from: an absent class, a column that is not there."""
    from aasist.evaluation.summary import summarise
    from aasist.evaluation.tally import Tally

    assert trials.bonafide is not None
    try:
        Tally.of(values[trials.bonafide], values[~trials.bonafide])  # `summarise` gives an absent class no error rate
        return summarise(values, trials.bonafide, trials.columns, asv=asv, choices=chosen)
    except ValueError as error:
        raise ProtocolError(str(error), path=source) from error


def say(summary: Summary, stress: Sequence[StressRow] = ()) -> None:
    """Tables for people on stdout."""
    from aasist.evaluation.tables import breakdown_table, headline_table, stress_table, worst_condition

    click.echo(headline_table(summary).text())
    for column in summary.by:
        click.echo()
        click.echo(breakdown_table(summary, column).text())
    if stress:
        click.echo()
        click.echo(stress_table(stress).text())
        click.echo(worst_condition(stress))


def write(out: Path, *, title: str, trials: Trials, values: Float64, summary: Summary, **more: Any) -> None:
    """The report of scored trials in the folder ``out``; says on stderr where it is."""
    import time
    from importlib.metadata import version

    from aasist.evaluation.report import Material, write_report

    assert trials.bonafide is not None
    paths = trials.columns.get("path")
    material = Material(
        title=title,
        summary=summary,
        scores=values,
        labels=trials.bonafide,
        ids=trials.ids,
        paths=paths,
        columns=trials.columns,
        version=version("aasist"),
        date=time.strftime("%Y-%m-%d"),
        **more,
    )
    write_report(out, material)
    click.echo(f"aasist: report in {out / 'report.html'}", err=True)
