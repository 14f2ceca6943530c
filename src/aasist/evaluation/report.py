"""The report of an evaluation: tables, a Markdown page, a self-contained HTML page, and the folder they are put in.

Rates are fractions until they are printed; tables print per cent. Text from outside (names of trials, attacks, files)
is escaped for each form it is printed in.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from aasist.errors import AasistError, MissingExtra
from aasist.evaluation import charts
from aasist.evaluation.bootstrap import Difference, Interval
from aasist.evaluation.charts import Chart, printable
from aasist.evaluation.summary import FEWEST_TRIALS, Columns, Figures, Labels, Summary, groups
from aasist.evaluation.tally import Float64, Tally

WORST_TRIALS = 20
WORST_ATTACKS = 3
LONG_TABLE = 15
"""Rows above which the page folds a table."""
NOTHING = "–"

NAMES = {
    "eer": "EER", "min_tdcf": "min t-DCF (2021)", "min_tdcf_legacy": "min t-DCF (2019, legacy)", "min_dcf": "minDCF",
    "act_dcf": "actDCF", "cllr": "Cllr, bits", "min_cllr": "min Cllr, bits", "auc": "AUC", "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy", "f1": "F1 of finding spoofs", "miss": "bona fide rejected",
    "false_acceptance": "spoofs accepted",
}  # fmt: skip
"""Figure -> what tables call it, in the order of the headline."""
AT_THRESHOLD = ("accuracy", "balanced_accuracy", "f1", "miss", "false_acceptance")
COSTS = ("min_tdcf", "min_tdcf_legacy", "min_dcf", "act_dcf")
BITS = ("cllr", "min_cllr")


@dataclass(frozen=True)
class Table:
    """Cells of text, as they are; each way of printing them escapes what it must."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def numeric(self, column: int) -> bool:
        """Whether a column holds numbers only, and is aligned to the right."""
        return column > 0 and all(_NUMBER.fullmatch(row[column]) for row in self.rows)

    def markdown(self) -> str:
        """A Markdown table, ending in a line break."""
        rule = ["---:" if self.numeric(column) else "---" for column in range(len(self.headers))]
        lines = [[markdown_text(cell) for cell in cells] for cells in (self.headers, *self.rows)]
        return "".join("| " + " | ".join(cells) + " |\n" for cells in (lines[0], rule, *lines[1:]))

    def text(self) -> str:
        """Aligned columns for a terminal, without a line break at the end."""
        lines = [[printable(cell) for cell in cells] for cells in (self.headers, *self.rows)]
        widths = [max(_cells(line[column]) for line in lines) for column in range(len(self.headers))]
        out = []
        for line in lines:
            padded = []
            for column, (cell, width) in enumerate(zip(line, widths, strict=True)):
                space = " " * (width - _cells(cell))
                padded.append(space + cell if self.numeric(column) else cell + space)
            out.append("  ".join(padded).rstrip())
        return "\n".join(out)


_NUMBER = re.compile(rf"([-+<]?\d[\d.,e-]*( %)?( \(.+ to .+\))?|{NOTHING})?")


@dataclass(frozen=True)
class StressRow:
    """What an evaluation found under one condition."""

    condition: str
    group: str
    description: str
    bonafide: int = 0
    """Bona fide trials scored."""
    spoof: int = 0
    """Spoofed trials scored."""
    unscored: int = 0
    """Trials without a score."""
    eer: float | None = None
    """Equal error rate, a fraction; None where it is unknown."""
    interval: Interval | None = None
    """Its bootstrap interval."""
    change: float | None = None
    """EER minus that of the recordings as they are; a fraction."""
    unavailable: str | None = None
    """Why the condition was not run."""


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


def percent(fraction: float | None, limits: Interval | None = None, *, unit: str = " %") -> str:
    """0.0106 -> ``1.06 %``; with limits ``1.06 % (0.95 to 1.18)``; two decimals within 10 % of either end, else one."""
    if fraction is None:
        return NOTHING
    decimals = 2 if 100 * min(fraction, 1 - fraction) < 9.995 else 1
    return f"{100 * fraction:.{decimals}f}{unit}" + _limits(limits, decimals, 100)


def value_text(name: str, value: float | None, limits: Interval | None = None) -> str:
    """A figure of a summary, by its name there, as tables print it."""
    if value is None:
        return NOTHING
    if name in COSTS or name in BITS:
        decimals = 4 if name in COSTS else 3
        return f"{value:.{decimals}f}" + _limits(limits, decimals, 1)
    return percent(value, limits) if name in NAMES else f"{value:.4g}" + _limits(limits, 4, 1)


def headline_table(summary: Summary) -> Table:
    """The pooled figures, a row each; what is not known is left out."""
    pooled, rows = summary.pooled, []
    for name, said in NAMES.items():
        value = getattr(pooled, name)
        if value is not None:
            at = f", threshold {_number(summary.choices.threshold)}" if name in AT_THRESHOLD else ""
            rows.append((said + at, value_text(name, value, pooled.intervals.get(name))))
        if name == "eer":
            means = {column: summary.macro_eer(column) for column in summary.by}
            rows += [(f"mean EER by {column}", percent(mean)) for column, mean in means.items() if mean is not None]
    for rate, share in (pooled.false_acceptance_at_miss or {}).items():
        rows.append((f"spoofs accepted where {100 * float(rate):g} % of bona fide are rejected", percent(share)))
    for rate, share in (pooled.miss_at_false_acceptance or {}).items():
        rows.append((f"bona fide rejected where {100 * float(rate):g} % of spoofs are accepted", percent(share)))
    return Table(("figure", "value" + _level(summary)), tuple(rows))


def breakdown_table(summary: Summary, column: str) -> Table:
    """Figures of each value of a column that the summary is broken down by, then all trials and the mean EER."""
    by, pooled = summary.by[column], summary.pooled
    with_tdcf = any(figures.min_tdcf is not None for figures in by.values())
    headers = [column, "bona fide", "spoofs", "EER, %" + _level(summary)]
    headers += ["min t-DCF" + _level(summary)] * with_tdcf + ["spoofs accepted, %" + _level(summary)]
    rows = [_breakdown_row(name, figures, with_tdcf) for name, figures in by.items()]
    rows.append(_breakdown_row("all trials", pooled, with_tdcf))
    mean = summary.macro_eer(column)
    if mean is not None:
        counted = sum(f.eer is not None and min(f.bonafide, f.spoof) >= FEWEST_TRIALS for f in by.values())
        rows.append((f"mean of {counted}", "", "", percent(mean, unit=""), *[""] * (1 + with_tdcf)))
    return Table(tuple(headers), tuple(rows))


def stress_table(rows: Iterable[StressRow]) -> Table:
    """EER and its change under each condition; a condition that was not run says why."""
    cells = []
    for row in rows:
        about = (row.condition, row.group, row.description)
        if row.unavailable is not None:
            cells.append((*about, NOTHING, NOTHING, NOTHING, NOTHING, NOTHING, f"not run: {row.unavailable}"))
        else:
            change = NOTHING if row.change is None else f"{round(100 * row.change, 2) + 0.0:+.2f}"
            counts = (f"{row.bonafide:,}", f"{row.spoof:,}", f"{row.unscored:,}")
            cells.append((*about, *counts, percent(row.eer, row.interval, unit=""), change, ""))
    headers = (
        "condition",
        "group",
        "what it does",
        "bona fide",
        "spoofs",
        "unscored",
        "EER, % (interval)",
        "change, points",
    )
    noted = any(row[-1] for row in cells)
    return Table((*headers, "note") if noted else headers, tuple(row if noted else row[:-1] for row in cells))


def worst_condition(rows: Iterable[StressRow]) -> str:
    """A sentence that names the condition with the highest EER."""
    known = [(row.eer, row) for row in rows if row.eer is not None and row.unavailable is None]
    if not known:
        return "No condition has an equal error rate."
    rate, worst = max(known, key=lambda pair: pair[0])
    if worst.change is not None and worst.change <= 0:
        return "No condition raises the equal error rate."
    change = (
        "" if worst.change is None else f", {percent(worst.change, unit='')} points above the recordings as they are"
    )
    return f"Worst condition: {worst.condition}, EER {percent(rate, worst.interval)}{change}."


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
        cells = [str(material.ids[row]), _number(scores[row]), *(str(material.columns[name][row]) for name in shown)]
        rows.append((*cells, *([] if material.paths is None else [str(material.paths[row])])))
    return Table(tuple(headers), tuple(rows))


def choices_table(summary: Summary) -> Table:
    """What the figures were made with: threshold, costs, priors, the verification system, the bootstrap."""
    choices = summary.choices
    rows = [("threshold on the score", _number(choices.threshold))]
    rows += [
        (f"detection cost: {f.name.replace('_', ' ')}", f"{getattr(choices.costs, f.name):g}")
        for f in fields(choices.costs)
    ]
    rows.append(("detection cost: Bayes threshold", _number(choices.costs.bayes_threshold)))
    if summary.asv is not None:
        costs, asv = choices.tandem_costs, summary.asv.pooled
        rows += [(f"tandem cost: {f.name.replace('_', ' ')}", f"{getattr(costs, f.name):g}") for f in fields(costs)]
        for name, said in (("miss", "targets rejected"), ("false_acceptance", "non-targets accepted"),
                           ("spoof_false_acceptance", "spoofs accepted")):  # fmt: skip
            rows.append((f"verification system: {said}", percent(getattr(asv, name))))
    rows += [
        ("bootstrap: rounds", f"{choices.rounds:,}"),
        ("bootstrap: level of the intervals", f"{100 * choices.level:g} %"),
    ]
    rows += [("bootstrap: seed", str(choices.seed)), ("bootstrap: resampled", _resampled(summary))]
    return Table(("choice", "value"), tuple(rows))


def comparison_table(name_a: str, name_b: str, differences: Mapping[str, Difference]) -> Table:
    """Figures of two systems on the same trials, and A minus B with its paired interval and p-value."""
    rows = []
    for name, found in differences.items():
        factor, decimals = (
            (1, 4) if name in COSTS else (1, 3) if name in BITS else (100, 2) if name in NAMES else (1, 4)
        )
        difference = f"{round(factor * found.difference, decimals) + 0.0:+.{decimals}f}" + _limits(
            found.interval, decimals, factor
        )
        said = NAMES.get(name, name) + (", %" if factor == 100 else "")
        rows.append(
            (
                said,
                *(f"{factor * value:.{decimals}f}" for value in (found.a, found.b)),
                difference,
                f"{found.p_value:.2g}",
            )
        )
    return Table(("figure", name_a, name_b, "difference (interval)", "p"), tuple(rows))


def comparison_markdown(name_a: str, name_b: str, differences: Mapping[str, Difference]) -> str:
    """The report of a comparison, as Markdown."""
    return (
        f"# {markdown_text(name_a)} against {markdown_text(name_b)}\n\n"
        f"{comparison_table(name_a, name_b, differences).markdown()}\n"
        "The difference is that of the first system minus the second on the same trials, with its paired bootstrap interval; "
        "p is the probability of a difference as large by chance.\n"
    )


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
    require_extra()
    import jinja2
    from markupsafe import Markup

    summary = material.summary
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, Markup) else printable(value),
    )
    template = environment.from_string(
        files("aasist.evaluation").joinpath("report.html.j2").read_text(encoding="utf-8")
    )
    pooled = Tally.of(material.scores[material.labels], material.scores[~material.labels])
    return template.render(
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


def stress_dicts(rows: Iterable[StressRow]) -> list[dict[str, Any]]:
    """Rows for JSON: rates are fractions, what is not known is None."""
    return [asdict(row) for row in rows]


def metrics_dict(material: Material) -> dict[str, Any]:
    """What ``metrics.json`` holds: the summary's object, and ``stress``, ``unscored``, ``model``, ``report``."""
    model = material.model
    return {
        **material.summary.to_dict(),
        "stress": stress_dicts(material.stress),
        "unscored": [{"trial": str(trial), "reason": str(reason)} for trial, reason in material.unscored],
        "model": None if model is None else {name: getattr(model, name) for name in ("name", "sha256", "precision")},
        "report": {name: getattr(material, name) for name in ("title", "subtitle", "version", "date")},
    }


def require_extra() -> None:
    """Raise ``MissingExtra`` where what ``report.html`` is made with is not installed."""
    charts.require_matplotlib()
    try:
        import jinja2  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("report.html", "plots") from error


def require_report(folder: Path) -> None:
    """Raise what `write_report` would raise for want of an extra or of a folder, before the work is done."""
    require_extra()
    real = _folder_of(folder, REPORT_FILES)
    nearest = _nearest(real)
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise _unwritable(folder, f"there is no permission to write to {nearest}")


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
    real = _folder_of(folder, contents)
    try:
        _put(real, contents)
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from error
    return [folder / name for name in contents]


REPORT_FILES = ("metrics.json", "report.md", "report.html")


def _folder_of(folder: Path, names: Iterable[str]) -> Path:
    """Where ``folder`` leads to, a link stays one; ``AasistError`` where files of these names have no place there."""
    real = Path(os.path.realpath(folder))
    nearest = _nearest(real)
    if not nearest.is_dir():
        raise _unwritable(folder, f"{'it' if nearest == real else nearest} is a file, a folder was wanted")
    for name in names:
        if (real / name).is_dir():
            raise _unwritable(folder, f"{name} there is a folder, a file was wanted")
    return real


def _nearest(path: Path) -> Path:
    """The path, or the nearest of its parents that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _unwritable(folder: Path, why: str) -> AasistError:
    return AasistError("output", f"cannot write the report to {folder}: {why}")


def _put(folder: Path, contents: Mapping[str, bytes]) -> None:
    """A new folder takes its name when all is written; in one that is there, file by file takes its name."""
    created = [parent for parent in folder.parents if not parent.exists()]
    is_new = not folder.exists()
    umask = os.umask(0)
    os.umask(umask)
    temporary, done = None, False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Inside a folder that is there: what lies beside it may be another disk, or not be ours to write to.
        temporary = Path(tempfile.mkdtemp(prefix=".report-", dir=folder.parent if is_new else folder))
        for name, content in contents.items():
            (temporary / name).write_bytes(content)
        if is_new:
            temporary.chmod(0o777 & ~umask)
            temporary.rename(folder)
        else:
            _replace(folder, temporary, tuple(contents))
        done = True
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if not done:
            for parent in created:
                with suppress(OSError):  # somebody else's by now
                    parent.rmdir()


def _replace(folder: Path, temporary: Path, names: Sequence[str]) -> None:
    """Move files from ``temporary`` into ``folder``; where one fails, those before it go back to what they were."""
    kept = Path(tempfile.mkdtemp(dir=temporary))
    for name in names:
        if (folder / name).exists():
            shutil.copy2(folder / name, kept / name)
    moved = []
    try:
        for name in names:
            moved.append(name)
            (temporary / name).replace(folder / name)
    except BaseException:
        for name in moved:
            if (kept / name).exists():
                (kept / name).replace(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        raise


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, in a table too."""
    return re.sub(r"([\\`*\[\]<>|~&])|(?<!\w)(_)|(_)(?!\w)", lambda found: "\\" + found[0], printable(text))


def _breakdown_row(name: str, figures: Figures, with_tdcf: bool) -> tuple[str, ...]:
    limits = figures.intervals
    cells = [name, f"{figures.bonafide:,}", f"{figures.spoof:,}", percent(figures.eer, limits.get("eer"), unit="")]
    if with_tdcf:
        cells.append(value_text("min_tdcf", figures.min_tdcf, limits.get("min_tdcf")))
    return (*cells, percent(figures.false_acceptance, limits.get("false_acceptance"), unit=""))


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
        f"{pooled.bonafide:,} bona fide trials and {pooled.spoof:,} spoofs. Resampled for the intervals: {_resampled(material.summary)}."
    )
    return lines


def _lead(summary: Summary) -> str:
    pooled = summary.pooled
    return (
        f"At the threshold {_number(summary.choices.threshold)}, {percent(pooled.miss)} of bona fide trials are rejected and "
        f"{percent(pooled.false_acceptance)} of spoofs accepted; where both errors are equal, they are {percent(pooled.eer)}."
    )


def _resampled(summary: Summary) -> str:
    if not summary.choices.rounds:
        return "nothing"
    return "trials" if summary.speakers is None else f"{summary.speakers:,} speakers with all their trials"


def _level(summary: Summary) -> str:
    return f" ({100 * summary.choices.level:g} % interval)" if summary.choices.rounds else ""


def _limits(limits: Interval | None, decimals: int, factor: int) -> str:
    return "" if limits is None else " ({:.{d}f} to {:.{d}f})".format(*(factor * limit for limit in limits), d=decimals)


def _number(value: float) -> str:
    return f"{value:.4g}"


def _cells(text: str) -> int:
    """Cells that a terminal takes for a text: two for a wide character, none for a combining one."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
