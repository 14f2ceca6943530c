"""A build as it goes, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from aasist.cli.rows import clock, printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

LINE_SECONDS = 30.0
"""Between two lines where there is no terminal."""


class Progress:
    """Hears of recordings that are done (`aasist.corpus.build.Listener`) and shows them."""

    def __init__(self) -> None:
        self._bars: Bars | None = _bars() if sys.stderr is not None and sys.stderr.isatty() else None
        self._task: Any = None
        self._began = self._said = time.monotonic()
        self._before: int | None = None

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def went(self, done: int, total: int, takes: int) -> None:
        """Move the bar, or say a line when it is time."""
        if self._before is None:
            self._before = done - 1
        now = time.monotonic()
        rate = takes / max(now - self._began, 1e-3)
        if self._bars is not None:
            if self._task is None:
                self._task = self._bars.add_task("building", total=total, said="")
            self._bars.update(self._task, completed=done, said=f"{rate:.1f} files/s")
        elif now - self._said >= LINE_SECONDS:
            self._said = now
            left = (total - done) * (now - self._began) / max(1, done - self._before)
            self.say(f"{done:,} of {total:,} recordings, {rate:.1f} files/s, {clock(left)} left")

    def say(self, text: str) -> None:
        """A sentence, above the bar."""
        text = printable(text)
        if self._bars is None:
            click.echo(text, err=True)
        else:
            self._bars.console.print(text, markup=False, soft_wrap=True, highlight=False)


def _bars() -> Bars:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}", markup=False),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
