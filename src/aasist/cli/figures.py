"""Figures of scored trials as the verbs show and keep them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aasist.errors import ProtocolError

if TYPE_CHECKING:
    from aasist.evaluation.figures import Asv, Choices
    from aasist.evaluation.summary import Summary
    from aasist.evaluation.tables import StressRow
    from aasist.evaluation.tally import Float64
    from aasist.trial import Trials

SCORES = "scores.tsv"
"""The file of scores in --out."""


def summary_of(trials: Trials, values: Float64, asv: Asv | None, chosen: Choices, *, source: Path | str) -> Summary:
    """`summarise`, with what is wrong said of the file it came from, such as a column that is not there; and what
    speaks against trusting its figures, on stderr."""
    from aasist.evaluation.cautions import summary_cautions
    from aasist.evaluation.summary import summarise

    assert trials.bonafide is not None
    try:
        summary = summarise(values, trials.bonafide, trials.columns, asv=asv, choices=chosen)
    except ValueError as error:
        raise ProtocolError(str(error), path=source) from error
    warn(summary_cautions(summary))
    return summary


def warn(cautions: Sequence[str]) -> None:
    """Each on a line of stderr, which --json leaves to people."""
    for caution in cautions:
        click.echo(f"aasist: caution: {caution}", err=True)


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


def require_columns(trials: Trials, by: tuple[str, ...], source: Path | str) -> None:
    """`ProtocolError` for a column of --by that the trials lack."""
    for name in by:
        if name not in trials.columns:
            known = ", ".join(trials.columns) or "none"
            raise ProtocolError(f"no column {name!r} for --by; there are: {known}", path=source)


def require_place(out: Path | None, *inputs: Path) -> None:
    """The error that writing a report to ``out`` would end in, before the work is done; ``click.UsageError`` where one of
    ``inputs`` would be replaced: what an evaluation wrote is not for its scores alone to overwrite."""
    if out is None:
        return
    from aasist.evaluation.report import REPORT_FILES, require_report

    names = (*REPORT_FILES, SCORES)
    require_report(out, names)
    for given in inputs:
        for place in (out / name for name in names):
            if place.exists() and given.exists() and place.samefile(given):
                raise click.UsageError(f"{place} is what was given: --out would replace it; name another folder")


def require_writable(out: Path | None, trials: Trials) -> None:
    """`ProtocolError` for an id that the file of scores in ``out`` cannot hold, before the work is done."""
    import numpy as np

    if out is not None:
        _score_file(out, trials, np.zeros(len(trials)))


def write(out: Path, *, title: str, trials: Trials, values: Float64, summary: Summary, **more: Any) -> None:
    """The report of scored trials, and their scores, in the folder ``out``; says on stderr where it is."""
    from aasist.evaluation.report import Material, write_report

    assert trials.bonafide is not None
    version, date = written_by()
    material = Material(
        title=title,
        summary=summary,
        scores=values,
        labels=trials.bonafide,
        ids=trials.ids,
        paths=trials.columns.get("path"),
        columns=trials.columns,
        files={SCORES: _score_file(out, trials, values)},
        version=version,
        date=date,
        **more,
    )
    write_report(out, material)
    click.echo(f"aasist: report in {out / 'report.html'}", err=True)


def written_by() -> tuple[str, str]:
    """The version of the package and today's date, as a report's foot has them."""
    import time
    from importlib.metadata import version

    return version("aasist"), time.strftime("%Y-%m-%d")


def _score_file(out: Path, trials: Trials, values: Float64) -> bytes:
    """The scores as ``aasist metrics`` reads them."""
    from aasist.protocol.scores import score_lines

    return "".join(score_lines(trials, values, "tsv", path=out / SCORES)).encode("utf-8")
