"""Training as it goes, on stderr: a bar with speed, waiting, memory and cache on a terminal, and a line for each epoch."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from aasist.cli.progress import Bar
from aasist.cli.rows import clock

SECONDS_BETWEEN_LINES = 60.0
"""Where no terminal shows a bar, a line says how far an epoch is."""


class Progress(Bar):
    """Hears of steps and epochs (`aasist.training.journal.Listener`) and shows them."""

    def __init__(self) -> None:
        super().__init__("training")
        self._said = time.monotonic()

    def stepped(self, line: Mapping[str, Any], steps: int) -> None:
        """Move the bar, or say now and then what it would show."""
        loss = "" if line["loss"] is None else f"loss {line['loss']:.4f}, "
        said = f"{loss}{speed(line['machine'])}"
        if not self.moved(line["step"], steps, said) and time.monotonic() - self._said >= SECONDS_BETWEEN_LINES:
            self.say(f"step {line['step']:,} of {steps:,}: {said}")

    def ended_epoch(self, line: Mapping[str, Any], epochs: int) -> None:
        """One line."""
        loss = "" if line["loss"] is None else f"loss {line['loss']:.4f}, "
        within = "" if line["dev_within_source"] is None else f" ({line['dev_within_source']:.2%} within a source)"
        best = ", kept as the best so far" if line["best"] else ""
        lost = f", {line['faults']} unreadable" if line["faults"] else ""
        self.say(
            f"epoch {line['epoch'] + 1}/{epochs}, step {line['step']:,}: {loss}dev EER {line['dev_eer']:.2%}{within}{best}"
            f"; {speed(line['machine'])}{lost}, {clock(line['machine']['seconds'])}"
        )

    def say(self, text: str) -> None:
        """A sentence, above the bar."""
        self._said = time.monotonic()
        super().say(text)


def speed(machine: Mapping[str, Any]) -> str:
    """What the machine did since the last line; of its speed nothing where no step was taken since."""
    if not machine["windows_per_second"]:
        return f"{machine['memory_bytes'] / 1e9:.2f} GB"
    return (
        f"{machine['windows_per_second']:.1f} windows/s, {machine['waiting_share']:.0%} waiting for data, "
        f"cache hits {machine['cache_hit_share']:.0%}, {machine['memory_bytes'] / 1e9:.2f} GB"
    )
