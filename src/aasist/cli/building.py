"""A build as it goes, on stderr: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time

from aasist.cli.progress import Bar
from aasist.cli.rows import clock

LINE_SECONDS = 30.0
"""Between two lines where there is no terminal."""


class Progress(Bar):
    """Hears of recordings that are done (`aasist.corpus.build.Listener`) and shows them."""

    def __init__(self) -> None:
        super().__init__("building")
        self._began = self._said = time.monotonic()
        self._before: int | None = None
        self.reached: tuple[int, int] | None = None
        """Recordings done and recordings in all; None before there is a plan."""

    def went(self, done: int, total: int, takes: int) -> None:
        """Move the bar, or say a line when it is time."""
        self.reached = done, total
        if self._before is None:
            self._before = done
        now = time.monotonic()
        rate = takes / max(now - self._began, 1e-3)
        speed = f"{rate:.1f} files/s"
        if not self.moved(done, total, speed) and now - self._said >= LINE_SECONDS:
            self._said = now
            left = (total - done) * (now - self._began) / max(1, done - self._before)
            self.say(f"{done:,} of {total:,} recordings, {speed}, {clock(left)} left")
