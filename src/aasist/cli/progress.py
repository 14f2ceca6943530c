"""A bar on stderr while many things are done one after the other."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from aasist.cli.rows import printable

if TYPE_CHECKING:
    from rich.progress import Progress


@contextmanager
def counting(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yields what to call with the number done so far; nothing is shown where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    with bars_of() as bars:
        task = bars.add_task(what, total=total, said="")
        yield lambda done: bars.update(task, completed=done)


class Bar:
    """A bar with a sentence beside it, and sentences above it; where stderr is no terminal, sentences alone."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._bars: Progress | None = bars_of() if sys.stderr is not None and sys.stderr.isatty() else None
        self._task: Any = None

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to be seen moving."""
        return self._bars is None

    def moved(self, done: int, total: int, said: str) -> bool:
        """Move the bar; False where there is none."""
        if self._bars is None:
            return False
        if self._task is None:
            self._task = self._bars.add_task(self._what, total=total, said="")
        self._bars.update(self._task, completed=done, said=said)
        return True

    def say(self, text: str) -> None:
        """A sentence, above the bar."""
        text = printable(text)
        if self._bars is None:
            click.echo(text, err=True)
        else:
            self._bars.console.print(text, markup=False, soft_wrap=True, highlight=False)


def bars_of() -> Progress:
    """Bars that vanish when they are stopped."""
    # rich takes a tenth of a second to load: only where its bars are seen.
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
