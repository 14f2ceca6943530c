"""One queue of windows before the models, for all requests: their runs stay busy, and may score windows of several at once."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np

from aasist.service.problems import busy
from aasist.session import Float32, Session

JOBS_TURN = 4
"""Every fourth run is for a job's windows where both wait: long recordings get on however busy the service is."""


@dataclass(eq=False)
class _Waiting:
    session: Session
    windows: Float32
    logits: Future[Float32] = field(default_factory=Future)


class Batcher:
    """Threads that run sessions on what waits for them.

    ``lanes`` runs go side by side. A run takes up to ``most`` windows; with more than one it waits up to ``wait_seconds`` for
    them, but takes no more than its share of what waits, so that no lane idles beside a full one. On a CPU one is best:
    measured, a window takes as much time in batches of 2 and 4 (docs/log.md).
    """

    def __init__(
        self,
        *,
        lanes: int,
        most: int = 1,
        wait_seconds: float = 0.0,
        on_run: Callable[[int, float], None] = lambda windows, seconds: None,
    ) -> None:
        self._lanes, self._most, self._wait = lanes, most, wait_seconds
        self._on_run = on_run
        self._now: deque[_Waiting] = deque()
        self._later: deque[_Waiting] = deque()
        self._change = threading.Condition()
        self._closed = False
        self._turn = 0
        self._threads = [threading.Thread(target=self._run, name=f"lane-{lane}", daemon=True) for lane in range(lanes)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Runs that wait."""
        return len(self._now) + len(self._later)

    def session(self, session: Session, *, later: bool = False) -> SharedSession:
        """What a detector takes in the place of its session; with ``later`` its windows stand behind those of others."""
        return SharedSession(self, session, later=later)

    def logits(self, session: Session, windows: Float32, *, later: bool) -> Float32:
        """Windows (B, T) -> logits (B, 2) by a session, once their turn has come; raises what the model raises."""
        waiting = _Waiting(session, windows)
        with self._change:
            if self._closed:
                raise busy("the service is stopping", retry_after=5, code="stopping")
            (self._later if later else self._now).append(waiting)
            self._change.notify()
        return waiting.logits.result()

    def close(self) -> None:
        """Score what waits, and end."""
        with self._change:
            self._closed = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while batch := self._taken():
            begun = time.monotonic()
            try:
                self._score(batch)
            except Exception as error:
                if len(batch) == 1:
                    batch[0].logits.set_exception(error)
                else:  # one request's windows must not fail another's
                    for one in batch:
                        self._alone(one)
            self._on_run(sum(len(one.windows) for one in batch), time.monotonic() - begun)

    def _alone(self, one: _Waiting) -> None:
        try:
            self._score([one])
        except Exception as error:
            one.logits.set_exception(error)

    def _score(self, batch: list[_Waiting]) -> None:
        joined = batch[0].windows if len(batch) == 1 else np.concatenate([one.windows for one in batch])
        logits = batch[0].session.run(joined)
        first = 0
        for one in batch:
            one.logits.set_result(logits[first : first + len(one.windows)])
            first += len(one.windows)

    def _taken(self) -> list[_Waiting]:
        """What one run is to score; empty at the end."""
        with self._change:
            while not self.waiting:
                if self._closed:
                    return []
                self._change.wait()
            if self._most > 1 and self.waiting < self._most * self._lanes and not self._closed:
                self._change.wait(self._wait)
            share = max(1, min(self._most, -(-self.waiting // self._lanes)))
            batch: list[_Waiting] = []
            count = 0
            while (queue := self._next_queue()) and (not batch or count + len(queue[0].windows) <= share):
                if batch and not _together(queue[0], batch[0]):
                    break
                batch.append(queue.popleft())
                count += len(batch[-1].windows)
            self._turn += 1
            # Another lane may have taken everything while this one waited for more.
            return batch or self._taken()

    def _next_queue(self) -> deque[_Waiting]:
        first, second = (
            (self._later, self._now) if self._turn % JOBS_TURN == JOBS_TURN - 1 else (self._now, self._later)
        )
        return first or second


def _together(one: _Waiting, other: _Waiting) -> bool:
    return one.session is other.session and one.windows.shape[1:] == other.windows.shape[1:]


class SharedSession:
    """A `Session` that stands in the batcher's queue."""

    def __init__(self, batcher: Batcher, session: Session, *, later: bool) -> None:
        self.precision = session.precision
        self._batcher, self._session, self._later = batcher, session, later

    def run(self, windows: Float32) -> Float32:
        """Windows (B, T) -> logits (B, 2)."""
        return self._batcher.logits(self._session, windows, later=self._later)
