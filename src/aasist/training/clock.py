"""Times of a training: speed from line to line, and when the last save was."""

from __future__ import annotations

import time
from dataclasses import dataclass

from aasist.training.batches import Batch


@dataclass(frozen=True)
class Speed:
    """Windows a second of this rank, and the share of the time that it waited for data."""

    windows_per_second: float
    waiting_share: float


class Meter:
    """Measures speed from one reading to the next."""

    def __init__(self) -> None:
        self._since, self._windows, self._waited = time.monotonic(), 0, 0.0

    def add(self, windows: int, waited_seconds: float) -> None:
        """So many windows came, and were waited for so long."""
        self._windows += windows
        self._waited += waited_seconds

    def read(self) -> Speed:
        """Since the last reading, which is now."""
        seconds = max(time.monotonic() - self._since, 1e-9)
        speed = Speed(self._windows / seconds, min(self._waited / seconds, 1.0))
        self._since, self._windows, self._waited = time.monotonic(), 0, 0.0
        return speed


class Clock:
    """Times of one epoch: speed by the line and by the epoch, and how long ago the last save was."""

    def __init__(self) -> None:
        self._saved = time.monotonic()
        self.line, self.epoch = Meter(), Meter()

    def took(self, group: list[Batch]) -> None:
        """Some batches came."""
        for meter in (self.line, self.epoch):
            meter.add(sum(map(len, group)), sum(batch.waited_seconds for batch in group))

    def lap(self) -> float:
        """Seconds since the last save, which is now."""
        seconds = self.since_save()
        self._saved += seconds
        return seconds

    def since_save(self) -> float:
        """Seconds since the last save."""
        return time.monotonic() - self._saved
