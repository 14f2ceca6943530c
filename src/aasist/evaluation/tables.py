"""Tables of an evaluation: cells of text that Markdown, a page and a terminal each print their own way.

Rates are fractions until they are printed; tables print per cent. Text from outside (names of trials, attacks, files)
is escaped for each form it is printed in.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

from aasist.evaluation.bootstrap import Difference, Interval
from aasist.evaluation.charts import printable
from aasist.evaluation.figures import Choices, Figures
from aasist.evaluation.summary import Summary

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
WIDE = 1e4
"""Numbers from here on are printed as 1.235e+06."""


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


_NUMBER = re.compile(rf"([-+<]?\d[\d.,e+-]*( %)?( \(.+ to .+\))?|{NOTHING})?")


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
    paired: int | None = None
    """Trials scored both under the condition and as they are; None where the latter were not scored."""
    change: float | None = None
    """EER of those under the condition minus their EER as they are; a fraction."""
    change_interval: Interval | None = None
    """Its paired bootstrap interval; None for the recordings as they are, whose change is 0."""
    unavailable: str | None = None
    """Why the condition was not run."""


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
        return fixed(value, decimals) + _limits(limits, decimals, 1)
    return percent(value, limits) if name in NAMES else f"{value:.4g}" + _limits(limits, 4, 1)


def headline_table(summary: Summary) -> Table:
    """The pooled figures, a row each; what is not known is left out."""
    pooled, rows = summary.pooled, []
    for name, said in NAMES.items():
        value = getattr(pooled, name)
        if value is not None:
            at = f", threshold {number(summary.choices.threshold)}" if name in AT_THRESHOLD else ""
            rows.append((said + at, value_text(name, value, pooled.intervals.get(name))))
        if name == "eer":
            means = {column: summary.macro_eer(column) for column in summary.by}
            rows += [
                (f"mean EER by {column}", percent(mean, summary.macro_intervals.get(column)))
                for column, mean in means.items()
                if mean is not None
            ]
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
    headers += ["min t-DCF" + _level(summary)] * with_tdcf + ["accuracy, %", "spoofs accepted, %" + _level(summary)]
    rows = [_breakdown_row(name, figures, with_tdcf) for name, figures in by.items()]
    rows.append(_breakdown_row("all trials", pooled, with_tdcf))
    mean = summary.macro_eer(column)
    if mean is not None:
        said = percent(mean, summary.macro_intervals.get(column), unit="")
        rows.append((f"mean of {len(summary.counted(column))}", "", "", said, *[""] * (2 + with_tdcf)))
    return Table(tuple(headers), tuple(rows))


def stress_table(rows: Iterable[StressRow]) -> Table:
    """EER and its change under each condition; a condition that was not run says why."""
    cells = []
    for row in rows:
        about = (row.condition, row.group, row.description)
        if row.unavailable is not None:
            cells.append((*about, *[NOTHING] * 6, f"not run: {row.unavailable}"))
        else:
            paired = NOTHING if row.paired is None else f"{row.paired:,}"
            counts = (f"{row.bonafide:,}", f"{row.spoof:,}", f"{row.unscored:,}", paired)
            cells.append((*about, *counts, percent(row.eer, row.interval, unit=""), change_text(row), ""))
    headers = (
        "condition",
        "group",
        "what it does",
        "bona fide",
        "spoofs",
        "unscored",
        "paired",
        "EER, % (interval)",
        "change, points (interval)",
    )
    noted = any(row[-1] for row in cells)
    return Table((*headers, "note") if noted else headers, tuple(row if noted else row[:-1] for row in cells))


def worst_row(rows: Iterable[StressRow]) -> StressRow | None:
    """The condition that raises the EER most, on the trials scored in both cases; where no change is known, the one with
    the highest EER. None where no condition raises it or none has an EER."""
    known = [row for row in rows if row.eer is not None and row.unavailable is None]
    changed = [(row.change, row) for row in known if row.change is not None]
    if changed:
        change, worst = max(changed, key=lambda pair: pair[0])
        return worst if change > 0 else None
    return max(known, key=lambda row: row.eer or 0.0, default=None)


def worst_condition(rows: Iterable[StressRow]) -> str:
    """A sentence that names `worst_row`."""
    rows = list(rows)
    worst = worst_row(rows)
    if worst is None:
        if all(row.eer is None or row.unavailable is not None for row in rows):
            return "No condition has an equal error rate."
        return "No condition raises the equal error rate."
    change = "" if worst.change is None else f"; {change_text(worst, ' points')} against the recordings as they are"
    return f"Worst condition: {worst.condition}, EER {percent(worst.eer, worst.interval)}{change}."


def choices_table(summary: Summary) -> Table:
    """What the figures were made with: threshold, costs, priors, the verification system, the bootstrap."""
    choices = summary.choices
    rows = [("threshold on the score", number(choices.threshold))]
    rows += [
        (f"detection cost: {f.name.replace('_', ' ')}", f"{getattr(choices.costs, f.name):g}")
        for f in fields(choices.costs)
    ]
    rows.append(("detection cost: Bayes threshold", number(choices.costs.bayes_threshold)))
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
    rows += [("bootstrap: seed", str(choices.seed)), ("bootstrap: resampled", resampled(summary))]
    return Table(("choice", "value"), tuple(rows))


def comparison_table(name_a: str, name_b: str, differences: Mapping[str, Difference], rounds: int) -> Table:
    """Figures of two systems on the same trials, and A minus B with its paired interval and p-value, of which ``rounds``
    of the bootstrap can tell no smaller one than 2 / (rounds + 1)."""
    rows = []
    for name, found in differences.items():
        factor, decimals = (
            (1, 4) if name in COSTS else (1, 3) if name in BITS else (100, 2) if name in NAMES else (1, 4)
        )
        difference = fixed(round(factor * found.difference, decimals) + 0.0, decimals, sign="+") + _limits(
            found.interval, decimals, factor
        )
        said = NAMES.get(name, name) + (", %" if factor == 100 else "")
        rows.append(
            (
                said,
                *(fixed(factor * value, decimals) for value in (found.a, found.b)),
                difference,
                f"{'<' if found.p_value <= 2 / (rounds + 1) else ''}{found.p_value:.2g}",
            )
        )
    return Table(("figure", name_a, name_b, "difference (interval)", "p"), tuple(rows))


def stress_dicts(rows: Iterable[StressRow]) -> list[dict[str, Any]]:
    """Rows for JSON: rates are fractions, what is not known is None."""
    return [asdict(row) for row in rows]


def stress_values(rows: Iterable[StressRow]) -> dict[str, Any]:
    """What JSON says of a stressed evaluation: ``stress``, a row a condition, and ``worst_condition``, its name or None."""
    rows = list(rows)
    worst = worst_row(rows)
    return {"stress": stress_dicts(rows), "worst_condition": None if worst is None else worst.condition}


class Resampled(Protocol):
    """What has intervals: a summary, a comparison."""

    @property
    def choices(self) -> Choices: ...
    @property
    def speakers(self) -> int | None: ...
    @property
    def by_speaker(self) -> tuple[bool, bool]: ...


def resampled(summary: Resampled) -> str:
    """What the bootstrap drew: speakers of both classes, of one, or of none."""
    if not summary.choices.rounds:
        return "nothing"
    if summary.speakers is None:
        return "trials"
    speakers = f"{summary.speakers:,} speakers"
    bonafide, spoof = summary.by_speaker
    if bonafide and spoof:
        return speakers
    own, other = ("bona fide trials", "spoofs") if bonafide else ("spoofs", "bona fide trials")
    return f"{speakers} of {own}, and {other} one by one"


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is, in a table too."""
    return re.sub(r"([\\`*\[\]<>|~&])|(?<!\w)(_)|(_)(?!\w)", lambda found: "\\" + found[0], printable(text))


def _breakdown_row(name: str, figures: Figures, with_tdcf: bool) -> tuple[str, ...]:
    limits = figures.intervals
    cells = [name, f"{figures.bonafide:,}", f"{figures.spoof:,}", percent(figures.eer, limits.get("eer"), unit="")]
    if with_tdcf:
        cells.append(value_text("min_tdcf", figures.min_tdcf, limits.get("min_tdcf")))
    cells.append(percent(figures.accuracy, unit=""))
    return (*cells, percent(figures.false_acceptance, limits.get("false_acceptance"), unit=""))


def change_text(row: StressRow, unit: str = "") -> str:
    """The change of an EER in points, with its interval where there is one."""
    if row.change is None:
        return NOTHING
    return f"{round(100 * row.change, 2) + 0.0:+.2f}{unit}" + _limits(row.change_interval, 2, 100)


def _level(summary: Summary) -> str:
    return f" ({100 * summary.choices.level:g} % interval)" if summary.choices.rounds else ""


def _limits(limits: Interval | None, decimals: int, factor: int) -> str:
    return "" if limits is None else f" ({' to '.join(fixed(factor * limit, decimals) for limit in limits)})"


def number(value: float) -> str:
    return f"{value:.4g}"


def fixed(value: float, decimals: int, *, sign: str = "-") -> str:
    """A number with so many decimals, from `WIDE` on with four digits: costs of scores that are no llr know no bound."""
    return f"{value:{sign}.{decimals}f}" if abs(value) < WIDE else f"{value:{sign}.4g}"


def _cells(text: str) -> int:
    """Cells that a terminal takes for a text: two for a wide character, none for a combining one."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
