"""The llr of many windows in constant memory: of all of them, and of the latest."""

from __future__ import annotations

HALF_LIFE_WINDOWS = 16
"""Windows, one each half second of speech, after which one weighs half: the running score is of the last ten seconds or so."""

_DECAY = 0.5 ** (1 / HALF_LIFE_WINDOWS)


class Pool:
    """Mean of all llrs, and the mean in which each weighs less with every later one."""

    def __init__(self) -> None:
        self._total, self.count = 0.0, 0
        self._recent, self._weight = 0.0, 0.0

    def push(self, llr: float) -> None:
        """Take the next window's llr."""
        self._total += llr
        self.count += 1
        self._recent = self._recent * _DECAY + llr
        self._weight = self._weight * _DECAY + 1.0

    def forget(self, llr: float) -> None:
        """Let the running mean be ``llr`` for now, with the weight of one window: what was before a change is no guide."""
        self._recent, self._weight = llr, 1.0

    @property
    def mean(self) -> float | None:
        """Of all; None before the first."""
        return self._total / self.count if self.count else None

    @property
    def running(self) -> float | None:
        """Of the latest; None before the first."""
        return self._recent / self._weight if self._weight else None
