"""The report of an evaluation: figures as JSON, a Markdown page and a self-contained HTML page."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aasist.evaluation import charts, page
from aasist.evaluation.charts import Chart
from aasist.evaluation.figures import Labels
from aasist.evaluation.summary import FEWEST_TRIALS, Columns, Summary, groups
from aasist.evaluation.tables import (
    StressRow,
    Table,
    breakdown_table,
    choices_table,
    headline_table,
    markdown_text,
    number,
    percent,
    resampled,
    stress_table,
    stress_values,
    worst_condition,
)
from aasist.evaluation.tally import Float64, Tally

WORST_TRIALS = 20
WORST_ATTACKS = 3
LONG_TABLE = 15
"""Rows above which the page folds a table."""
REPORT_FILES = ("metrics.json", "report.md", "report.html")


class ModelIdentity(Protocol):
    """The model that scored: its name, the SHA-256 of its file in hex, and its precision."""

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str | None: ...
    @property
    def precision(self) -> str | None: ...


@dataclass(frozen=True, eq=False)
class Material:
    """Everything that a report is made of; the same material gives the same bytes."""

    title: str
    summary: Summary
    scores: Float64
    """(N,), higher = more bona fide."""
    labels: Labels
    """(N,), True = bona fide."""
    ids: NDArray[Any]
    """(N,), names of the trials."""
    version: str
    """Of the package."""
    date: str
    subtitle: str = ""
    """What was scored, on what."""
    paths: NDArray[Any] | None = None
    """(N,), files of the trials."""
    columns: Columns = field(default_factory=dict)
    """(N,) text each, as given to the summary."""
    stress: Sequence[StressRow] = ()
    unscored: Sequence[tuple[str, str]] = ()
    """Trial and reason."""
    model: ModelIdentity | None = None
    pictures: Sequence[tuple[str, bytes]] = ()
    """Caption and PNG."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """Further files to put beside the report, by name."""

    def __post_init__(self) -> None:
        arrays = {"labels": self.labels, "ids": self.ids, "paths": self.paths, **self.columns}
        for name, array in arrays.items():
            if array is not None and len(array) != len(self.scores):
                raise ValueError(f"{name} must have one entry for each of {len(self.scores)} scores, got {len(array)}")
        for name in self.files:
            if name in ("", ".", "..") or Path(name).name != name or name in REPORT_FILES:
                raise ValueError(f"a further file needs a plain name, none of {', '.join(REPORT_FILES)}; got {name!r}")


def worst_trials(material: Material, *, bonafide: bool) -> Table:
    """The `WORST_TRIALS` trials of a class that are on the wrong side of the threshold and farthest from it."""
    threshold, scores = material.summary.choices.threshold, material.scores
    wrong = np.flatnonzero(
        (material.labels & (scores < threshold)) if bonafide else (~material.labels & (scores >= threshold))
    )
    order = wrong[np.argsort(scores[wrong] if bonafide else -scores[wrong], kind="stable")[:WORST_TRIALS]]
    shown = [name for name in ("attack", "speaker") if name in material.columns and not (bonafide and name == "attack")]
    headers = ["trial", "score", *shown, *([] if material.paths is None else ["file"])]
    rows = []
    for row in order.tolist():
        cells = [str(material.ids[row]), number(scores[row]), *(str(material.columns[name][row]) for name in shown)]
        rows.append((*cells, *([] if material.paths is None else [str(material.paths[row])])))
    return Table(tuple(headers), tuple(rows))


def report_markdown(material: Material) -> str:
    """What ``report.md`` holds."""
    summary = material.summary
    parts = [f"# {markdown_text(material.title)}", markdown_text(material.subtitle)]
    parts += [markdown_text(line) for line in _preamble(material)]
    parts.append(headline_table(summary).markdown())
    for column in summary.by:
        parts += [f"## By {markdown_text(column)}", breakdown_table(summary, column).markdown()]
    if material.stress:
        parts += [
            "## Under stress",
            markdown_text(worst_condition(material.stress)),
            stress_table(material.stress).markdown(),
        ]
    if material.unscored:
        parts += [f"## Without a score: {len(material.unscored):,}", unscored_table(material).markdown()]
    parts += ["## Choices", choices_table(summary).markdown()]
    parts.append(markdown_text(f"aasist {material.version}, {material.date}"))
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def unscored_table(material: Material) -> Table:
    """Trials without a score, and why."""
    return Table(("trial", "why"), tuple((str(trial), str(reason)) for trial, reason in material.unscored))


def report_html(material: Material) -> str:
    """What ``report.html`` holds: one file without script that asks the network for nothing.

    Raises ``MissingExtra`` without the extra ``plots``.
    """
    summary = material.summary
    pooled = Tally.of(material.scores[material.labels], material.scores[~material.labels])
    return page.rendered(
        "report.html.j2",
        material=material,
        preamble=_preamble(material),
        lead=_lead(summary),
        headline=headline_table(summary),
        curves=_charts(material, pooled),
        calibration=[charts.reliability_diagram(pooled), charts.calibration_map(pooled)],
        breakdowns=[
            (column, charts.bars(column, summary.by[column], summary.pooled.eer or 0.0), breakdown_table(summary, column))
            for column in summary.by
        ],
        stress=stress_table(material.stress),
        worst_condition=worst_condition(material.stress),
        worst=[("Bona fide, rejected", worst_trials(material, bonafide=True)),
               ("Spoofs, accepted", worst_trials(material, bonafide=False))],
        pictures=[(caption, base64.b64encode(picture).decode("ascii")) for caption, picture in material.pictures],
        unscored=unscored_table(material),
        choices=choices_table(summary),
        long_table=LONG_TABLE,
    )  # fmt: skip


def metrics_dict(material: Material) -> dict[str, Any]:
    """What ``metrics.json`` holds: the summary's object, and ``stress``, ``worst_condition``, ``unscored``, ``model``,
    ``report``."""
    model = material.model
    return {
        **material.summary.to_dict(),
        **stress_values(material.stress),
        "unscored": [{"trial": str(trial), "reason": str(reason)} for trial, reason in material.unscored],
        "model": None if model is None else {name: getattr(model, name) for name in ("name", "sha256", "precision")},
        "report": {name: getattr(material, name) for name in ("title", "subtitle", "version", "date")},
    }


def require_report(folder: Path, names: Iterable[str] = REPORT_FILES) -> None:
    """Raise what `write_report` would raise for want of an extra or of a folder, before the work is done; ``names`` are
    those of all files that it will write."""
    page.require_place(folder, names)


def write_report(folder: Path, material: Material) -> list[Path]:
    """Write ``metrics.json``, ``report.md``, ``report.html`` and the material's files into ``folder`` -> their paths.

    All of them or none: whatever fails, files that stood there are as before, and others are left alone. Raises
    ``AasistError`` where the folder cannot be written to and ``MissingExtra`` without the extra ``plots``.
    """
    contents = {
        "metrics.json": (json.dumps(metrics_dict(material), indent=2, allow_nan=False) + "\n").encode("utf-8"),
        "report.md": report_markdown(material).encode("utf-8"),
        "report.html": report_html(material).encode("utf-8"),
        **material.files,
    }
    return page.write_pages(folder, contents)


def _charts(material: Material, pooled: Tally) -> list[Chart]:
    """The DET curve, of all trials and the worst attacks; the scores; the t-DCF curve where it is known."""
    summary = material.summary
    choices, curves = summary.choices, {"all trials": pooled}
    known = [
        (figures.eer, name)
        for name, figures in summary.by.get("attack", {}).items()
        if figures.eer is not None and min(figures.bonafide, figures.spoof) >= FEWEST_TRIALS
    ]
    rows = groups(material.columns["attack"], material.labels) if known and "attack" in material.columns else {}
    for _, name in sorted(known, key=lambda pair: (-pair[0], pair[1]))[:WORST_ATTACKS]:
        if name in rows:
            scores, labels = material.scores[rows[name]], material.labels[rows[name]]
            curves[name] = Tally.of(scores[labels], scores[~labels])
    thresholds = charts.operating_thresholds(pooled, choices.threshold, choices.costs.bayes_threshold)
    drawn = [
        charts.det(curves, choices.threshold),
        charts.histograms(material.scores[material.labels], material.scores[~material.labels], thresholds),
    ]
    if summary.asv is not None:
        drawn.append(charts.tandem_cost(pooled, summary.asv.pooled, choices.tandem_costs, choices.threshold))
    return drawn


def _preamble(material: Material) -> list[str]:
    pooled = material.summary.pooled
    lines = []
    if material.model is not None:
        lines.append(f"Model {material.model.name}, {material.model.precision}, SHA-256 {material.model.sha256}.")
    lines.append(
        f"{pooled.bonafide:,} bona fide trials and {pooled.spoof:,} spoofs. Resampled for the intervals: {resampled(material.summary)}."
    )
    return lines


def _lead(summary: Summary) -> str:
    pooled = summary.pooled
    return (
        f"At the threshold {number(summary.choices.threshold)}, {percent(pooled.miss)} of bona fide trials are rejected and "
        f"{percent(pooled.false_acceptance)} of spoofs accepted; where both errors are equal, they are {percent(pooled.eer)}."
    )
