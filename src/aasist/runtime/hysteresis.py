"""Windows to segments, as they come: cells of the recording joined while they stay on one side of a threshold."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from aasist.runtime.verdict import Span, score_of

MARGIN_LLR = 0.5
"""How far an llr must lie beyond the threshold to change sides: a window that starts 0.7 ms later scores by as much otherwise in
one case of twenty (docs/log.md), so less is no finding."""


class Side:
    """On which side of a threshold a sequence of llrs lies; it changes where one is ``margin`` or more beyond."""

    def __init__(self, threshold: float, margin: float = 0.0) -> None:
        """``threshold`` and ``margin`` on llr, the margin 0 or more."""
        self._threshold, self._margin = threshold, margin
        self._bonafide: bool | None = None

    def push(self, llr: float) -> bool:
        """Whether ``llr`` lies on the side of bona fide; the first one is on the side that it falls on."""
        if self._bonafide is None:
            self._bonafide = llr >= self._threshold
        elif self._bonafide:
            self._bonafide = llr >= self._threshold - self._margin
        else:
            self._bonafide = llr >= self._threshold + self._margin
        return self._bonafide


class Segmenter:
    """Joins overlapping windows that come in order of their starts.

    Their edges cut the recording into cells; a cell's llr is the mean over the windows that cover it. Neighbouring cells on one
    side (`Side`) become one segment, whose llr is their mean weighted by length; where no window lies (no speech) there is none,
    and the next begins afresh. No more is held than the windows that may still cover what comes, and the segments.
    """

    def __init__(self, threshold: float, *, margin: float = 0.0, most: int | None = None) -> None:
        """``most``: keep the last so many segments alone; None keeps all."""
        self._threshold, self._margin = threshold, margin
        self._covering: list[tuple[float, float, float]] = []
        self._done = 0.0
        self._side = Side(threshold, margin)
        self._segments: deque[tuple[float, float, float, bool]] = deque(maxlen=most)

    def push(self, window: Span) -> None:
        """Take the next window, which starts where the one before did or later."""
        start = window.start
        if self._covering:
            assert start >= self._done
            self._join_until(start)
        self._done = start
        self._covering.append((start, window.end, window.llr))

    def segments(self) -> tuple[Span, ...]:
        """All so far, in order, as if no window were to come; to be asked once, when all were pushed."""
        if self._covering:
            self._join_until(max(end for _, end, _ in self._covering))
        return tuple(Span(start, end, score_of(llr), llr) for start, end, llr, _ in self._segments)

    def _join_until(self, until: float) -> None:
        """Make cells of what lies before ``until``, which no window to come can reach."""
        inside = {edge for start, end, _ in self._covering for edge in (start, end) if self._done < edge < until}
        for start, end in pairwise(sorted({self._done, until, *inside})):
            llrs = [llr for first, last, llr in self._covering if first <= start and last >= end]
            if llrs:
                self._join(start, end, _mean(llrs, [1.0] * len(llrs)))
        self._covering = [window for window in self._covering if window[1] > until]

    def _join(self, start: float, end: float, llr: float) -> None:
        last = self._segments[-1] if self._segments else None
        if last is None or last[1] != start:
            self._side = Side(self._threshold, self._margin)
        bonafide = self._side.push(llr)
        if last is not None and last[1] == start and last[3] == bonafide:
            self._segments[-1] = (last[0], end, _mean((last[2], llr), (start - last[0], end - start)), bonafide)
        else:
            self._segments.append((start, end, llr, bonafide))


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    mean = sum(value * weight for value, weight in zip(values, weights, strict=True)) / sum(weights)
    # Rounding must not carry a mean out of its values, and so across a threshold that all of them reach.
    return max(min(values), min(mean, max(values)))


def merged(windows: Sequence[Span], threshold: float, *, margin: float = 0.0) -> tuple[Span, ...]:
    """Overlapping windows in any order -> segments that do not overlap, in order (`Segmenter`)."""
    segmenter = Segmenter(threshold, margin=margin)
    for window in sorted(windows, key=lambda window: window.start):
        segmenter.push(window)
    return segmenter.segments()
