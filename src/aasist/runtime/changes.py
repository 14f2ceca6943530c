"""Change point of a stream: where its windows begin to score otherwise than before (Page's cumulative sum, both ways)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DRIFT_LLR = 1.0
"""Half of the least change that is looked for. Less is taken for the voice's own wandering."""

THRESHOLD_LLR = 12.0
"""Sum of what the windows lie beyond the drift at which a change is sure."""

MIN_BEFORE = 4
"""Windows that must have been scored before a change can be one."""


@dataclass(frozen=True)
class Found:
    """A change: ``since`` (s) it began, and the mean llr ``before`` it and ``after``."""

    since: float
    before: float
    after: float

    @property
    def toward(self) -> Literal["bonafide", "spoof"]:
        """The class that the windows came nearer to."""
        return "spoof" if self.after < self.before else "bonafide"


@dataclass
class _Mean:
    total: float = 0.0
    count: int = 0

    def add(self, total: float, count: int = 1) -> None:
        self.total += total
        self.count += count

    @property
    def value(self) -> float:
        return self.total / self.count


class ChangeDetector:
    """Takes the llrs of windows in order, in constant memory.

    For each way: the sum of how far windows lie beyond the mean of those before, less the drift for each; back at 0 the windows
    it was summed over belong to those before. Above the threshold it is a change, and they are the new "before".
    """

    def __init__(self, *, drift: float = DRIFT_LLR, threshold: float = THRESHOLD_LLR) -> None:
        """Both on llr, above 0."""
        self._drift, self._threshold = drift, threshold
        self._ways = (_Way(-1.0), _Way(1.0))

    def push(self, time: float, llr: float) -> Found | None:
        """Take the llr of the window that ends at ``time`` (s); give the change that is sure by now."""
        for way in self._ways:
            before = way.before.value if way.before.count else llr
            if way.push(time, llr, self._drift) > self._threshold:
                after = way.since_then
                for each in self._ways:
                    each.restart(after)
                return Found(way.since, before, after.value)
        return None


class _Way:
    """The sum in one direction: -1 falls, +1 rises."""

    def __init__(self, sign: float) -> None:
        self._sign = sign
        self._sum = 0.0
        self._last_time = 0.0
        self.before, self.since_then, self.since = _Mean(), _Mean(), 0.0

    def push(self, time: float, llr: float, drift: float) -> float:
        """The sum with this window."""
        previous, self._last_time = self._last_time, time
        if self.before.count < MIN_BEFORE:
            self.before.add(llr)
            return 0.0
        self._sum += self._sign * (llr - self.before.value) - drift
        if self._sum <= 0.0:
            self._sum = 0.0
            self.before.add(self.since_then.total + llr, self.since_then.count + 1)
            self.since_then = _Mean()
        else:
            if not self.since_then.count:
                self.since = previous
            self.since_then.add(llr)
        return self._sum

    def restart(self, before: _Mean) -> None:
        """Begin anew, with ``before`` as what was scored before."""
        self._sum = 0.0
        self.before, self.since_then = _Mean(before.total, before.count), _Mean()
