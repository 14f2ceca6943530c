"""Training as it goes, on stderr: a bar with speed, waiting, memory and cache on a terminal, and a line for each epoch."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import click

from aasist.cli.rows import clock, printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bars


SECONDS_BETWEEN_LINES = 60.0
"""Where no terminal shows a bar, a line says how far an epoch is."""


class Progress:
    """Hears of steps and epochs (`aasist.training.journal.Listener`) and shows them."""

    def __init__(self) -> None:
        self._bars: Bars | None = _bars() if sys.stderr is not None and sys.stderr.isatty() else None
        self._task: Any = None
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        if self._bars is not None:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    def stepped(self, line: Mapping[str, Any], steps: int) -> None:
        """Move the bar, or say now and then what it would show."""
        loss = "" if line["loss"] is None else f"loss {line['loss']:.4f}, "
        if self._bars is None:
            if time.monotonic() - self._said >= SECONDS_BETWEEN_LINES:
                self.say(f"step {line['step']:,} of {steps:,}: {loss}{speed(line['machine'])}")
            return
        if self._task is None:
            self._task = self._bars.add_task("training", total=steps, said="")
        self._bars.update(self._task, completed=line["step"], said=f"{loss}{speed(line['machine'])}")

    def ended_epoch(self, line: Mapping[str, Any], epochs: int) -> None:
        """One line."""
        loss = "" if line["loss"] is None else f"loss {line['loss']:.4f}, "
        within = "" if line["dev_within_source"] is None else f" ({line['dev_within_source']:.2%} within a source)"
        best = ", best so far" if line["best"] else ""
        lost = f", {line['faults']} unreadable" if line["faults"] else ""
        self.say(
            f"epoch {line['epoch'] + 1}/{epochs}, step {line['step']:,}: {loss}dev EER {line['dev_eer']:.2%}{within}{best}"
            f"; {speed(line['machine'])}{lost}, {clock(line['machine']['seconds'])}"
        )

    def say(self, text: str) -> None:
        """A sentence, above the bar."""
        text, self._said = printable(text), time.monotonic()
        if self._bars is None:
            click.echo(text, err=True)
        else:
            self._bars.console.print(text, markup=False, soft_wrap=True, highlight=False)


def speed(machine: Mapping[str, Any]) -> str:
    """What the machine did since the last line."""
    return (
        f"{machine['windows_per_second']:.1f} windows/s, {machine['waiting_share']:.0%} waiting for data, "
        f"cache {machine['cache_hit_share']:.0%}, {machine['memory_bytes'] / 1e9:.2f} GB"
    )


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
