"""The comparison of two systems on the same trials, as JSON, a Markdown page and a self-contained HTML page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

from aasist.evaluation import charts, page
from aasist.evaluation.bootstrap import Difference, Resampler, compare
from aasist.evaluation.dcf import AsvRates
from aasist.evaluation.figures import Choices, Labels, comparable
from aasist.evaluation.summary import Columns, drawn_speakers, known_speakers
from aasist.evaluation.tables import NAMES, Table, comparison_table, markdown_text, number, resampled
from aasist.evaluation.tally import Float64, Tally

SCHEMA = 1
"""Version of the keys of ``comparison.json``."""

COMPARISON_FILES = ("comparison.json", "comparison.md", "comparison.html")

HIGHER_IS_BETTER = ("auc", "accuracy", "balanced_accuracy", "f1")
"""Of all other figures the smaller is the better."""

READING = (
    "Difference: the first system minus the second. Each round of the bootstrap draws the same trials for both; where "
    "the interval holds 0, the difference may be chance. p is two-sided, of each figure by itself: of twenty figures, one "
    "below 0.05 is to be expected."
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two systems on the same trials: the files of their scores as given, the scores (N,), higher = more bona fide, the
    key (N,), True = bona fide, and the difference of every figure."""

    file_a: str
    file_b: str
    scores_a: Float64
    scores_b: Float64
    labels: Labels
    figures: Mapping[str, Difference]
    choices: Choices
    asv: AsvRates | None = None
    speakers: int | None = None
    """Speakers that were resampled as a whole; None: trials were resampled one by one."""
    by_speaker: tuple[bool, bool] = (False, False)
    """Whether bona fide trials, and whether spoofs, were resampled by speaker."""

    @property
    def names(self) -> tuple[str, str]:
        """What the systems are called in tables: by the names of their files, or, of files of one name, by the folders in
        which their paths differ."""
        a, b = Path(self.file_a), Path(self.file_b)
        if a.name != b.name:
            return a.name, b.name
        behind = _shared(a.parts[::-1], b.parts[::-1])
        rest = a.parts[:-behind], b.parts[:-behind]
        before = _shared(*rest)
        first, second = (str(Path(*parts[before:])) if parts[before:] else "" for parts in rest)
        return (first, second) if first and second else (f"{a.name} (A)", f"{b.name} (B)")

    @property
    def title(self) -> str:
        """A against B."""
        return " against ".join(self.names)

    @classmethod
    def of(
        cls,
        files: tuple[str, str],
        scores: tuple[Float64, Float64],
        labels: Labels,
        columns: Columns,
        *,
        asv: AsvRates | None,
        choices: Choices,
    ) -> Comparison:
        """Compare ``scores`` of both systems by paired bootstrap; a column ``speaker`` is resampled as in a summary.

        Raises ``ValueError`` where a class is empty or a round is not to be drawn.
        """
        speakers = known_speakers(columns)[0]
        figures = compare(
            comparable(asv, choices),
            *scores,
            labels,
            speakers=speakers,
            rounds=choices.rounds,
            level=choices.level,
            seed=choices.seed,
            threads=choices.threads,
        )
        by_speaker = Resampler(labels, speakers).by_speaker
        count = None if speakers is None else drawn_speakers(speakers, labels, by_speaker)
        return cls(*files, *scores, labels, figures, choices, asv, count, by_speaker)

    def table(self) -> Table:
        """Figures of both, and the differences."""
        return comparison_table(*self.names, self.figures, self.choices.rounds)

    def to_dict(self) -> dict[str, Any]:
        """What ``aasist compare --json`` prints."""
        choices = asdict(self.choices)
        for name in ("threads", "by"):  # the one changes no result, the other has no say here
            choices.pop(name)
        return {
            "schema": SCHEMA,
            "a": self.file_a,
            "b": self.file_b,
            "bonafide": int(self.labels.sum()),
            "spoof": int((~self.labels).sum()),
            "speakers": self.speakers,
            "by_speaker": dict(zip(("bonafide", "spoof"), self.by_speaker, strict=True)),
            "figures": {name: asdict(difference) for name, difference in self.figures.items()},
            "asv": None if self.asv is None else asdict(self.asv),
            "choices": choices,
        }


def comparison_markdown(found: Comparison, *, version: str, date: str) -> str:
    """What ``comparison.md`` holds."""
    parts = [
        f"# {markdown_text(found.title)}",
        *map(markdown_text, _preamble(found)),
        markdown_text(lead(found)),
        found.table().markdown().strip("\n"),
        markdown_text(READING),
        "## Choices",
        _choices(found).markdown().strip("\n"),
        markdown_text(f"aasist {version}, {date}"),
    ]
    return "\n\n".join(parts) + "\n"


def comparison_html(found: Comparison, *, version: str, date: str) -> str:
    """What ``comparison.html`` holds; raises ``MissingExtra`` without the extra ``plots``."""
    curves = {
        name: Tally.of(scores[found.labels], scores[~found.labels])
        for name, scores in zip(found.names, (found.scores_a, found.scores_b), strict=True)
    }
    return page.rendered(
        "comparison.html.j2",
        material={"title": found.title, "subtitle": "", "version": version, "date": date},
        preamble=_preamble(found),
        lead=lead(found),
        reading=READING,
        differences=found.table(),
        curves=[charts.det(curves, found.choices.threshold)],
        choices=_choices(found),
    )


def write_comparison(folder: Path, found: Comparison, *, version: str, date: str) -> list[Path]:
    """Write `COMPARISON_FILES` into ``folder`` -> their paths; all of them or none, as `page.write_pages`."""
    foot = {"version": version, "date": date}
    values = {**found.to_dict(), "report": {"title": found.title, **foot}}
    texts = (
        json.dumps(values, indent=2, allow_nan=False) + "\n",
        comparison_markdown(found, **foot),
        comparison_html(found, **foot),
    )
    encoded = (text.encode("utf-8") for text in texts)
    return page.write_pages(folder, dict(zip(COMPARISON_FILES, encoded, strict=True)))


def _shared(a: Sequence[str], b: Sequence[str]) -> int:
    """How many of the first parts are the same."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def _preamble(found: Comparison) -> list[str]:
    return [
        f"{int(found.labels.sum()):,} bona fide trials and {int((~found.labels).sum()):,} spoofs, scored by both. "
        f"Resampled for the intervals: {resampled(found)}."
    ]


def lead(found: Comparison) -> str:
    """A sentence that says by which figures either is better, of those whose interval leaves 0 out."""
    better: tuple[list[str], list[str]] = ([], [])
    for name, figure in found.figures.items():
        low, high = figure.interval
        if not low <= 0 <= high:
            better[(figure.difference > 0) != (name in HIGHER_IS_BETTER)].append(NAMES.get(name, name).split(",")[0])
    first, second = found.names
    said = [f"{name} is better by {', '.join(by)}" for name, by in zip(found.names, better, strict=True) if by]
    if not said:
        return f"Every interval holds 0: that {first} and {second} differ may be chance."
    return f"With 0 outside the interval, {'; '.join(said)}."


def _choices(found: Comparison) -> Table:
    choices = found.choices
    rows = [
        ("threshold on the score", number(choices.threshold)),
        ("bootstrap: rounds", f"{choices.rounds:,}"),
        ("bootstrap: level of the intervals", f"{100 * choices.level:g} %"),
        ("bootstrap: seed", str(choices.seed)),
    ]
    return Table(("choice", "value"), tuple(rows))
