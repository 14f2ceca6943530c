"""The span of a recording that takes are made of: where it speaks, cut out without the whole ever being held."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from aasist.audio.read import open_audio
from aasist.corpus.match import active_rms, sounding
from aasist.corpus.recipe import Span
from aasist.errors import AasistError
from aasist.session import SAMPLE_RATE, Float32

CONTEXT = SAMPLE_RATE // 4
"""Of what lies around the span a copier hears so much, so that its warm-up does not mark the ends of every copy."""

TRIES = 12
"""Places that are tried for a span; the first that speaks half of the time is taken, else the most speaking."""

HELD_SAMPLES = 600 * SAMPLE_RATE
"""Longer recordings (38 MB) are read twice, first for their length, and of them no more than the places tried is held."""


@dataclass(frozen=True)
class Cut:
    """A span with what lies around it: the span (N,) begins at ``first`` of ``samples`` (M,), at 16 kHz, M up to N + 8,000.

    ``source_rate`` in Hz and ``source_format`` are what the recording came as.
    """

    samples: Float32
    first: int
    count: int
    source_rate: str
    source_format: str

    @property
    def span(self) -> Float32:
        """The span itself (N,)."""
        return self.samples[self.first : self.first + self.count]


def cut(path: str, span: Span, random: np.random.Generator) -> Cut:
    """The span of a recording, its place drawn from ``random``.

    Raises `AasistError` for a recording that cannot be read, or is too short, quiet or clipped.
    """
    with open_audio(path) as reader:
        held: list[Float32] = []
        total = 0
        for block in reader.blocks():
            total += len(block)
            if total <= HELD_SAMPLES:
                held.append(block)
            else:
                held.clear()
        levels = reader.quality
        facts = (str(reader.sample_rate), reader.container)
    _require_usable(total, levels.clipped_samples / max(1, levels.samples), span)
    count = min(total, round(span.longest_seconds * SAMPLE_RATE))
    firsts = [int(random.integers(total - count + 1)) for _ in range(TRIES if count < total else 1)]
    places = [(max(0, first - CONTEXT), min(total, first + count + CONTEXT)) for first in firsts]
    parts = _parts(held, places)
    if total > HELD_SAMPLES:
        with open_audio(path) as reader:
            parts = _parts(reader.blocks(), places)
    best: Cut | None = None
    most = -1.0
    for samples, first, (begin, end) in zip(parts, firsts, places, strict=True):
        if len(samples) < end - begin:
            raise AasistError("unreadable", "it became shorter while it was read")
        tried = Cut(samples, first - begin, count, *facts)
        speaking = float(sounding(tried.span).mean())
        if speaking > most:
            best, most = tried, speaking
        if speaking >= 0.5:
            break
    assert best is not None
    _require_loud(best.span, span)
    return best


def _parts(blocks: Iterable[Float32], places: Sequence[tuple[int, int]]) -> list[Float32]:
    """The samples of each place (begin, end) of a recording that comes in blocks; fewer where it ends before."""
    pieces: list[list[Float32]] = [[np.zeros(0, np.float32)] for _ in places]
    last = max(end for _, end in places)
    at = 0
    for block in blocks:
        for (begin, end), of_it in zip(places, pieces, strict=True):
            if begin < at + len(block) and end > at:
                # A copy: a view would keep the block.
                of_it.append(block[max(0, begin - at) : end - at].copy())
        at += len(block)
        if at >= last:
            break
    return [np.concatenate(of_it) for of_it in pieces]


def _require_usable(count: int, clipped: float, span: Span) -> None:
    """`AasistError` for a recording of ``count`` samples that is too short, or of which a share of ``clipped`` is."""
    seconds = count / SAMPLE_RATE
    if seconds < span.shortest_seconds:
        raise AasistError("too_short", f"{seconds:.2f} s, {span.shortest_seconds:g} s is needed")
    if clipped > span.most_clipped:
        raise AasistError("clipped", f"{clipped:.1%} of it is clipped, {span.most_clipped:.1%} may be")


def _require_loud(samples: Float32, span: Span) -> None:
    level_dbfs = 20 * np.log10(max(active_rms(samples), 1e-9))
    if level_dbfs < span.quietest_dbfs:
        what = "silent" if level_dbfs <= -120 else f"too quiet: {level_dbfs:.0f} dBFS"
        raise AasistError("quiet", f"{what}, {span.quietest_dbfs:g} dBFS is needed")
