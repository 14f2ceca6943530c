"""Explanation of one recording: which spans and which bands decided, found by occlusion through the runtime."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aasist.audio.listen import Listener
from aasist.audio.read import Source, open_audio
from aasist.audio.windows import Window
from aasist.recipe import Architecture
from aasist.runtime.detector import Detector
from aasist.runtime.verdict import Verdict
from aasist.session import SAMPLE_RATE, mel_edges_hz
from aasist.trials.occlusion import filled, noise_like, span_masks, without_bands, without_spans

SPAN_SECONDS = 0.25
BAND_GROUPS = 14
"""Groups that the sinc bands are occluded in: five of the published 70 each, 140 Hz wide at the bottom and 1.3 kHz at
the top."""
MOST_WINDOWS = 10
"""Windows explained at most: each is scored once for every span and band, some thirty times."""
WINDOWS_AT_ONCE = 16
"""Windows read before they are scored together."""
SHORTEST_SPAN_SECONDS = 0.02

Float64 = NDArray[np.float64]
Ints = NDArray[np.int64]


class SpanChange(NamedTuple):
    """A stretch of the recording, in seconds, and what the llr loses without it."""

    start: float
    end: float
    llr_change: float


class BandChange(NamedTuple):
    """A band, in Hz, and what the llr loses without it."""

    low_hz: float
    high_hz: float
    llr_change: float


@dataclass(frozen=True)
class Explanation:
    """What decided. ``llr_change`` = llr(whole) - llr(occluded): positive = that part speaks for bona fide.

    The llr that changes is the mean over the explained windows that hold the part: for a band all of them, for a span
    those that cover it. In a recording of one window that is the llr of the recording. Changes need not add up to the
    llr: the model is not linear, and two parts that say the same cover for each other.
    """

    llr: float | None
    """Of the recording: the mean over all its windows; None where there was nothing to score."""
    windows: int
    """That the recording has."""
    explained_windows: int
    """Those of them whose llr lies farthest from the threshold, for they moved the mean most."""
    spans: tuple[SpanChange, ...]
    """In order, without overlap; where no explained window lies there is none."""
    bands: tuple[BandChange, ...]
    """From 0 Hz up, side by side; empty where there was nothing to score."""

    @property
    def coverage(self) -> float:
        """Share of the recording's windows that is explained, in [0, 1]."""
        return self.explained_windows / self.windows if self.windows else 0.0

    def in_words(self) -> str:
        """The span and the band that speak most for either side, in one line; empty where nothing decided."""
        said = []
        for name, sign in (("real", 1.0), ("fake", -1.0)):
            parts = []
            span = max(self.spans, key=lambda one: sign * one.llr_change, default=None)
            if span is not None and sign * span.llr_change > 0:
                parts.append(f"{span.start:.2f} to {span.end:.2f} s ({span.llr_change:+.2f})")
            band = max(self.bands, key=lambda one: sign * one.llr_change, default=None)
            if band is not None and sign * band.llr_change > 0:
                parts.append(f"{band.low_hz:,.0f} to {band.high_hz:,.0f} Hz ({band.llr_change:+.2f})")
            if parts:
                said.append(f"most for {name}: {', '.join(parts)}")
        return "; ".join(said)

    def to_dict(self) -> dict[str, Any]:
        """For JSON: finite numbers, lists and None only."""
        return {
            "llr": self.llr,
            "windows": self.windows,
            "explained_windows": self.explained_windows,
            "coverage": self.coverage,
            "spans": [span._asdict() for span in self.spans],
            "bands": [band._asdict() for band in self.bands],
        }


@dataclass(frozen=True)
class ExplainedVerdict(Verdict):
    """A verdict whose JSON also holds ``explanation``: null where the recording could not be judged or explained."""

    explanation: Explanation | None = None

    @classmethod
    def of(cls, verdict: Verdict, explanation: Explanation | None) -> ExplainedVerdict:
        """The same verdict, explained."""
        values = {field.name: getattr(verdict, field.name) for field in fields(Verdict)}
        return cls(**values, explanation=explanation)

    def to_dict(self, *, timeline: bool = False) -> dict[str, Any]:
        """The JSON object of a verdict, and ``explanation``."""
        values = super().to_dict(timeline=timeline)
        return {**values, "explanation": None if self.explanation is None else self.explanation.to_dict()}


@dataclass(frozen=True, eq=False)
class Decisive:
    """The windows that moved the llr of a recording most, in order, and the llr of each."""

    windows: tuple[Window, ...]
    llrs: tuple[float, ...]
    llr: float | None
    """Of the recording."""
    total: int
    """Windows that the recording has."""


def explain(
    detector: Detector,
    source: Source,
    *,
    span_seconds: float = SPAN_SECONDS,
    bands: int | None = None,
    most_windows: int = MOST_WINDOWS,
    progress: Callable[[float], None] | None = None,
) -> Explanation:
    """Occlude every span and every band of a recording in turn, and see what the llr loses.

    Neighbouring windows are cut into equal spans of about ``span_seconds``; ``bands`` is the number of groups that the
    model's sinc bands are put into, None `BAND_GROUPS` or as many as the model has. Of a long recording the
    ``most_windows`` that matter most are explained.
    ``progress`` is called with the seconds of audio explained so far. Raises what ``Detector.detect`` raises, and
    ``ValueError`` for a span shorter than a fade or more bands than the model has.
    """
    if not (math.isfinite(span_seconds) and span_seconds >= SHORTEST_SPAN_SECONDS):
        raise ValueError(f"a span must be {SHORTEST_SPAN_SECONDS} s or longer, got {span_seconds}")
    sinc_bands = Architecture.from_json(detector.notes.variant).bands
    bands = min(BAND_GROUPS, sinc_bands) if bands is None else bands
    if not 1 <= bands <= sinc_bands:
        raise ValueError(f"bands must be 1 to {sinc_bands}, as many as the model has, got {bands}")
    edges_hz = mel_edges_hz(sinc_bands)
    group_edges_hz = edges_hz[np.linspace(0, sinc_bands, bands + 1).round().astype(int)]

    decisive = decisive_windows(detector, source, most=most_windows)
    span_samples = round(span_seconds * SAMPLE_RATE)
    spans: list[SpanChange] = []
    by_band: list[Float64] = []
    explained_seconds = 0.0
    for run in _runs(decisive):
        edges, uses = _cells([window for window, _ in run], span_samples)
        changes = np.zeros(uses.shape)
        for row, (window, llr) in enumerate(run):
            real = window.samples[: window.length]
            noise = noise_like(real)
            inside = np.clip(edges - window.start, 0, window.length)
            time_masks = span_masks(inside[:-1][uses[row]], inside[1:][uses[row]], window.length)
            occluded = np.concatenate(
                [
                    without_spans(real, noise, time_masks),
                    without_bands(real, group_edges_hz, edges_hz),
                ]
            )
            lost = llr - detector.llrs_of(filled(occluded, len(window.samples)))
            changes[row, uses[row]] = lost[: len(time_masks)]
            by_band.append(lost[len(time_masks) :])
            explained_seconds += window.length / SAMPLE_RATE
            if progress is not None:
                progress(explained_seconds)
        means = changes.sum(axis=0) / uses.sum(axis=0)
        seconds = [round(edge / SAMPLE_RATE, 3) for edge in edges.tolist()]
        spans += map(SpanChange, seconds[:-1], seconds[1:], means.tolist())
    found = np.mean(by_band, axis=0).tolist() if by_band else []
    hertz = [round(edge, 1) for edge in group_edges_hz.tolist()]
    return Explanation(
        llr=decisive.llr,
        windows=decisive.total,
        explained_windows=len(decisive.windows),
        spans=tuple(spans),
        bands=tuple(map(BandChange, hertz[:-1], hertz[1:], found)),
    )


def decisive_windows(detector: Detector, source: Source, *, most: int = MOST_WINDOWS) -> Decisive:
    """Score every window of a recording as the detector does, and keep the ``most`` whose llr lies farthest from the
    threshold; of equals the earlier. Raises what ``Detector.detect`` raises."""
    if most < 1:
        raise ValueError(f"most must be 1 window or more, got {most}")
    best: list[tuple[float, int, Window, float]] = []
    total, llr_sum = 0, 0.0
    with open_audio(source, channel=detector.channel, limits=detector.limits) as reader:
        notes = detector.notes
        listener = Listener(
            reader, window_samples=notes.window_samples, hop_samples=notes.hop_samples, threads=detector.threads
        )
        for windows in _batches(listener, WINDOWS_AT_ONCE):
            llrs = detector.llrs_of(np.stack([window.samples for window in windows]))
            for window, llr in zip(windows, llrs.tolist(), strict=True):
                total, llr_sum = total + 1, llr_sum + llr
                heapq.heappush(best, (abs(llr - detector.threshold), -total, window, llr))
                if len(best) > most:
                    heapq.heappop(best)
    best.sort(key=lambda one: -one[1])
    return Decisive(
        windows=tuple(window for *_, window, _ in best),
        llrs=tuple(llr for *_, llr in best),
        llr=llr_sum / total if total else None,
        total=total,
    )


def _batches(windows: Listener, count: int) -> Iterator[list[Window]]:
    remaining = iter(windows)
    while batch := list(islice(remaining, count)):
        yield batch


def _runs(decisive: Decisive) -> Iterator[list[tuple[Window, float]]]:
    """The windows with their llr, those that overlap or touch together."""
    run: list[tuple[Window, float]] = []
    for window, llr in zip(decisive.windows, decisive.llrs, strict=True):
        if run and window.start > run[-1][0].start + run[-1][0].length:
            yield run
            run = []
        run.append((window, llr))
    if run:
        yield run


def _cells(run: Sequence[Window], span_samples: int) -> tuple[Ints, NDArray[np.bool_]]:
    """Edges (K + 1,) in samples that cut a run of windows into equal spans, and which window tells of which (W, K).

    A window that holds only the rim of a span says little of it: where another holds more, that one tells alone.
    """
    starts = np.array([window.start for window in run])
    ends = np.array([window.start + window.length for window in run])
    count = max(1, round(int(ends[-1] - starts[0]) / span_samples))
    edges = np.linspace(starts[0], ends[-1], count + 1).round().astype(np.int64)
    held = np.minimum(edges[1:], ends[:, None]) - np.maximum(edges[:-1], starts[:, None])
    return edges, held == held.max(axis=0)
