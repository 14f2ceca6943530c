"""Explanation of one recording: which spans and which bands decided, found by occlusion through the runtime."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from aasist.audio.listen import Listener
from aasist.audio.read import Source, open_audio
from aasist.audio.windows import Window
from aasist.errors import ModelError
from aasist.recipe import Architecture
from aasist.runtime.detector import Detector
from aasist.runtime.threads import BATCH_WINDOWS
from aasist.runtime.verdict import Verdict
from aasist.session import BONAFIDE, SAMPLE_RATE, SPOOF, Float32, mel_edges_hz

SPAN_SECONDS = 0.25
BAND_GROUPS = 14
"""Groups that the sinc bands are occluded in: five of the published 70 each, 140 Hz wide at the bottom and 1.3 kHz at
the top."""
MOST_WINDOWS = 10
"""Windows explained at most: each is scored once for every span and band, some thirty times."""
MOST_RUNS = 4
"""Runs of the model side by side at most, however many threads there are: each takes the memory of its windows."""

FADE_SAMPLES = 80
"""5 ms at 16 kHz: raised-cosine cross-fade, centred on either edge of a span."""
SHORTEST_SPAN_SECONDS = 0.02
PAD_SAMPLES = 1_600
"""0.1 s mirrored at both ends before filtering: wrapped round, a window has a step that rings in every band."""
QUIET_FRAME_SAMPLES = 512
QUIET_FRACTION = 0.1
"""Of the frames of a window: the quietest, which are taken for its noise."""

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
    with _pool(detector) as pool:
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
                lost = llr - _llrs(detector, pool, filled(occluded, len(window.samples)))
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
    with (
        open_audio(source, channel=detector.channel, limits=detector.limits) as reader,
        _pool(detector) as pool,
    ):
        notes = detector.notes
        listener = Listener(
            reader, window_samples=notes.window_samples, hop_samples=notes.hop_samples, threads=detector.threads
        )
        for windows in _batches(listener, BATCH_WINDOWS * min(detector.threads, MOST_RUNS)):
            llrs = _llrs(detector, pool, np.stack([window.samples for window in windows]))
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


def _pool(detector: Detector) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(min(detector.threads, MOST_RUNS), "aasist-explaining")


def _llrs(detector: Detector, pool: Executor, windows: Float32) -> Float64:
    """Windows (N, T) -> llr (N,), a few windows to a thread at a time."""
    batches = [windows[start : start + BATCH_WINDOWS] for start in range(0, len(windows), BATCH_WINDOWS)]
    logits = np.concatenate(list(pool.map(detector.session.run, batches))).astype(np.float64)
    llrs = logits[:, BONAFIDE] - logits[:, SPOOF]
    if (calibration := detector.notes.calibration) is not None:
        llrs = calibration.slope * llrs + calibration.offset
    if not np.isfinite(llrs).all():
        raise ModelError("model", f"the model {detector.model.name!r} gave a score that is not a finite number")
    return llrs


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


def noise_like(samples: Float32, seed: int = 0) -> Float32:
    """Noise (L,) with the spectrum and level of the quietest frames of ``samples`` (L,); the same for a seed."""
    size = min(QUIET_FRAME_SAMPLES, len(samples))
    frames = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    quietest = np.argsort(np.square(frames).mean(axis=1), kind="stable")[: max(1, int(QUIET_FRACTION * len(frames)))]
    taper = np.hanning(size + 2)[1:-1]
    power = (np.abs(np.fft.rfft(frames[quietest] * taper)) ** 2).mean(axis=0) / np.square(taper).sum()
    white = np.fft.rfft(np.random.default_rng(seed).standard_normal(len(samples)))
    shape = np.interp(np.linspace(0, 1, len(white)), np.linspace(0, 1, len(power)), np.sqrt(power))
    return np.fft.irfft(white * shape, len(samples)).astype(np.float32)


def span_masks(firsts: Ints, lasts: Ints, length: int) -> Float32:
    """1 within each span [first, last) of a window of ``length`` samples, 0 without, faded at the edges -> (K, length).

    Spans side by side sum to 1 everywhere; at the ends of the window nothing fades.
    """
    return (_ramps(firsts, length) - _ramps(lasts, length)).astype(np.float32)


def _ramps(edges: Ints, length: int) -> Float64:
    """Edges (K,) -> (K, length): from 0 to 1 across each edge; all 1 for an edge at 0, all 0 for one at the end."""
    rising = raised_cosine((np.arange(length) + 0.5 - edges[:, None]) / FADE_SAMPLES)
    return np.where(edges[:, None] <= 0, 1.0, np.where(edges[:, None] >= length, 0.0, rising))


def raised_cosine(position: Float64) -> Float64:
    """0 up to -1/2, 1 from 1/2, half a cosine between."""
    return 0.5 + 0.5 * np.sin(np.pi * np.clip(position, -0.5, 0.5))


def band_masks(group_edges_hz: Float64, edges_hz: Float64, bins: int) -> Float64:
    """1 within each group of bands over ``bins`` frequencies of 0 to 8 kHz, 0 without -> (groups, bins).

    The groups cross over within one sinc band, in mel, and sum to 1 everywhere. ``edges_hz`` are the sinc bands' own.
    """
    place = np.interp(np.linspace(0.0, edges_hz[-1], bins), edges_hz, np.arange(len(edges_hz)))
    inner = np.searchsorted(edges_hz, group_edges_hz[1:-1])
    rising = raised_cosine(place - inner[:, None])
    return -np.diff(np.concatenate([np.ones((1, bins)), rising, np.zeros((1, bins))]), axis=0)


def without_spans(samples: Float32, noise: Float32, masks: Float32) -> Float32:
    """``samples`` (L,) with ``noise`` (L,) in place of each masked span (K, L) -> (K, L).

    Why noise, and faded: over 28 clips of the demo-page corpus (dev), hard edges moved the llr by themselves (mean
    change -0.15 over all spans, their deviation being 0.3: clicks read as bona fide), fades of 5 ms did not (-0.02). Of
    zeros, white noise and noise of the recording's own spectrum the last gave the least scatter (0.27, 0.25, 0.25) and
    told best which spans matter: removing the four that speak most for either side parted the llr by 1.71, 1.73, 1.77.
    """
    return samples + masks * (noise - samples)


def without_bands(samples: Float32, group_edges_hz: Float64, edges_hz: Float64) -> Float32:
    """``samples`` (L,) without each group of bands -> (groups, L).

    A multiplication of the spectrum with real gains: linear phase without delay, so nothing else moves in time. Nothing
    takes a band's place: measured as above, noise at the recording's floor raised the llr by itself (mean change over
    all bands -0.11, against 0.01), though it parted the llr a little more (by 1.86 for three bands a side, against
    1.71).
    """
    pad = min(PAD_SAMPLES, len(samples) - 1)
    size = len(samples) + 2 * pad
    spectrum = np.fft.rfft(np.pad(samples.astype(np.float64), pad, mode="reflect"))
    kept = np.fft.irfft(spectrum * (1.0 - band_masks(group_edges_hz, edges_hz, len(spectrum))), size, axis=1)
    return kept[:, pad : pad + len(samples)].astype(np.float32)


def filled(samples: Float32, window_samples: int) -> Float32:
    """(N, L) -> (N, window_samples): repeated where shorter, as the windows of a short recording are."""
    repeats = -(-window_samples // samples.shape[1])
    return np.tile(samples, (1, repeats))[:, :window_samples] if repeats > 1 else samples
