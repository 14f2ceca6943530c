"""Verdicts as people read them: a row each, with the segments as a bar along time."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Self

import click

from aasist.runtime.verdict import Verdict

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress
    from rich.text import Text

BAR_CELLS = 24
SPOOF_CELL, BONAFIDE_CELL, UNTOLD_CELL, EMPTY_CELL = "█", "─", "·", " "
"""A cell of the bar: mostly spoof, mostly bona fide, speech of which a service tells no score, no speech. Told apart without colour."""
_BEFORE_PATH = 9 + 1 + 5 + 1 + 8 + 2 + BAR_CELLS + 2 + 2
"""Cells of a row before the path: label, score, length, bar, and what is between them."""
STYLES = {"bonafide": "blue", "spoof": "bold red", "undecided": "yellow", None: "dim"}


class Rows:
    """Prints verdicts as they come: rows for people, or JSON lines; progress, complaints and the sum go to stderr."""

    def __init__(self, *, as_json: bool, timeline: bool) -> None:
        self.as_json, self.timeline = as_json, timeline
        self.counts: Counter[str | None] = Counter()
        self._later: list[str] = []
        # rich takes a tenth of a second to load: only where its colours or bars are seen.
        self.bars = _bars() if sys.stderr is not None and sys.stderr.isatty() else None
        if not as_json:
            self.out = _console()

    def __enter__(self) -> Self:
        if self.bars is not None:
            self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bars is not None:
            self.bars.stop()
        for line in self._later:
            click.echo(printable(line), err=True)
        if not self.as_json and self.counts.total() > 1 and kind is None:
            names = {"bonafide": "bona fide", "spoof": "spoof", "undecided": "undecided", None: "not judged"}
            parts = ", ".join(f"{self.counts[label]} {name}" for label, name in names.items() if self.counts[label])
            self.complain(f"{self.counts.total()} recordings: {parts}")

    @contextmanager
    def progress(self, name: str) -> Iterator[Callable[[float], None] | None]:
        """A bar on stderr while one recording is judged; yields what to call with the seconds judged so far."""
        if self.bars is None:
            yield None
            return
        bars, task = self.bars, self.bars.add_task(name, total=None, judged="")
        try:
            yield lambda seconds: bars.update(task, judged=f"{clock(seconds)} judged")
        finally:
            bars.remove_task(task)

    def complain(self, line: str) -> None:
        """One line on stderr, above the bar if there is one."""
        line = printable(line)
        if self.bars is None:
            click.echo(line, err=True)
        else:
            self.bars.console.print(line, markup=False, soft_wrap=True, highlight=False)

    def later(self, line: str) -> None:
        """One line on stderr below the table, however it ends."""
        self._later.append(line)

    def show(self, verdict: Verdict) -> None:
        """Print one verdict."""
        if self.as_json:
            # Not through rich, which would wrap or colour it.
            sys.stdout.write(verdict.to_json(timeline=self.timeline) + "\n")
            sys.stdout.flush()
            return
        if not self.counts:
            self.out.print(
                f"{'verdict':<9} {'score':>5} {'length':>8}  {f'{SPOOF_CELL} fake {BONAFIDE_CELL} real, along time':<{BAR_CELLS + 2}}  recording"
            )
        self.counts[verdict.label] += 1
        self.out.print(row(verdict))
        for note in verdict.warnings:
            self.out.print(f"{'':9} {note.code}: {note.message}", style="yellow", markup=False)


def _console() -> Console:
    from rich.console import Console

    class Table(Console):
        """rich would end the program with exit code 1 when the reader of the table has seen enough."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Table(soft_wrap=True, highlight=False, emoji=False)


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(pulse_style="blue"),
        TextColumn("{task.fields[judged]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def row(verdict: Verdict) -> Text:
    """One line: label, score, length, bar, path; of a recording that was not judged the code of its error, and path."""
    from rich.text import Text

    style = STYLES[verdict.label]
    if verdict.error is not None:
        line = Text(f"{f'error: {verdict.error.code}':<{_BEFORE_PATH}}", style=style)
        line.append(printable(verdict.path), style="default")
        return line
    score = "" if verdict.score is None else f"{verdict.score:.2f}"
    length = "" if verdict.duration_seconds is None else clock(verdict.duration_seconds)
    line = Text(f"{verdict.label:<9} {score:>5} ", style=style)
    line.append(f"{length:>8}  ", style="default")
    line.append(f"[{bar(verdict)}]", style=style)
    line.append(f"  {printable(verdict.path)}", style="default")
    return line


def printable(text: str) -> str:
    """Text on one line that a terminal shows and never obeys: control characters, and bytes of a file name that are
    no UTF-8, as escapes."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode("ascii") for sign in text)


def bar(verdict: Verdict, cells: int = BAR_CELLS) -> str:
    """The segments along time, ``cells`` characters: what covers most of each cell's speech, if any."""
    duration = verdict.duration_seconds or 0.0
    out = []
    for cell in range(cells):
        start, end = cell * duration / cells, (cell + 1) * duration / cells
        covered = dict.fromkeys((SPOOF_CELL, BONAFIDE_CELL, UNTOLD_CELL), 0.0)
        for segment in verdict.segments:
            covered[cell_of(segment.llr, verdict.threshold)] += max(
                0.0, min(end, segment.end) - max(start, segment.start)
            )
        most = max(covered, key=lambda kind: covered[kind])
        out.append(most if covered[most] > 0 else EMPTY_CELL)
    return "".join(out)


def cell_of(llr: float | None, threshold: float) -> str:
    """How a segment is drawn; its llr is None where a service tells labels only."""
    if llr is None:
        return UNTOLD_CELL
    return SPOOF_CELL if llr < threshold else BONAFIDE_CELL


def clock(seconds: float) -> str:
    """Seconds as 4.0 s, 1:05 or 2:03:04."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
