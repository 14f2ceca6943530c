"""The course of one call or recording at 16 kHz: every half second it is searched for speech and scored, in constant memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from aasist.audio.causal import CausalSpeech
from aasist.audio.levels import SourceLevels
from aasist.audio.listen import Heard
from aasist.audio.quality import MIN_SPEECH_SECONDS, QualityMeter, judge
from aasist.audio.silero import CHUNK_SAMPLES
from aasist.audio.speech import Mask
from aasist.audio.windows import Window, WindowPlacer
from aasist.runtime.changes import ChangeDetector
from aasist.runtime.detector import Detector
from aasist.runtime.events import Change, Event, Final, Provisional, RunningScore, WindowScored
from aasist.runtime.hysteresis import MARGIN_LLR, Segmenter, Side
from aasist.runtime.pooling import Pool
from aasist.runtime.verdict import Label, Span, score_of
from aasist.session import SAMPLE_RATE, Float32

HOP_SAMPLES = SAMPLE_RATE // 2
"""The grid: what comes is looked at every half second, and windows start as far apart while speech lasts."""

RECENT_CHUNKS = 3_750
"""Levels and noise are those of the last two minutes."""

MOST_SEGMENTS, MOST_CHANGES = 256, 64
"""Kept for the verdict: the last ones."""


class Incoming(Protocol):
    """What is known of the audio before it was mixed and resampled: an `AudioReader`, or an `Intake`."""

    sample_rate: int
    channels: int

    @property
    def duration_seconds(self) -> float: ...

    @property
    def quality(self) -> SourceLevels: ...


class Course:
    """Takes mono audio at 16 kHz in pieces of any size; the events do not depend on the pieces, to the bit."""

    def __init__(self, detector: Detector, incoming: Incoming) -> None:
        self._detector, self._incoming = detector, incoming
        notes = detector.notes
        self._waiting: list[Float32] = []
        self._waiting_samples = 0
        self._samples = 0
        self._speech = CausalSpeech()
        self._speech_samples = 0
        self._meter = QualityMeter(recent_chunks=RECENT_CHUNKS)
        self._placer = WindowPlacer(notes.window_samples, min(HOP_SAMPLES, notes.window_samples))
        self._pool = Pool()
        self._changes = ChangeDetector()
        self._found: deque[Change] = deque(maxlen=MOST_CHANGES)
        self._side = Side(detector.threshold, MARGIN_LLR)
        self._segmenter = Segmenter(detector.threshold, margin=MARGIN_LLR, most=MOST_SEGMENTS)

    def push(self, samples: Float32) -> Iterator[Event]:
        """Take samples (n,); the events that they complete, to be exhausted before the next push."""
        if len(samples):
            self._waiting.append(samples)
            self._waiting_samples += len(samples)
        if self._waiting_samples < HOP_SAMPLES:
            return
        joined = np.concatenate(self._waiting)
        whole = len(joined) - len(joined) % HOP_SAMPLES
        self._waiting, self._waiting_samples = [joined[whole:].copy()], len(joined) - whole
        for first in range(0, whole, HOP_SAMPLES):
            self._samples += HOP_SAMPLES
            heard, speech = self._speech.push(joined[first : first + HOP_SAMPLES])
            yield from self._advance(heard, speech)

    def finish(self) -> Iterator[Event]:
        """The events that the end completes, but for the last, `final`; once, and nothing may be pushed behind it."""
        rest = np.concatenate([np.zeros(0, np.float32), *self._waiting])
        self._samples += len(rest)
        for heard, speech in (self._speech.push(rest), self._speech.finish()):
            if len(heard):
                self._take(heard, speech)
                yield from self._all_scored(self._placer.push(heard, speech))
        yield from self._all_scored(self._placer.finish())

    def final(self, path: str, closing: tuple[Event, ...] = ()) -> Final:
        """The verdict on all of it, under the name ``path``; ``closing`` are the events of `finish`."""
        segments = self._segmenter.segments()
        verdict = self._detector.verdict(path, self._heard(), self._pool.mean, segments=segments)
        return Final(verdict, tuple(self._found), closing)

    def _advance(self, heard: Float32, speech: Mask) -> Iterator[Event]:
        """One step of the grid."""
        self._take(heard, speech)
        yield from self._all_scored(self._placer.push(heard, speech))
        if self._pool.count:
            return
        window = self._placer.unfinished()
        if window is not None and window.speech_samples >= MIN_SPEECH_SECONDS * SAMPLE_RATE:
            yield self._provisional(window)

    def _take(self, heard: Float32, speech: Mask) -> None:
        self._meter.push(heard, speech)
        self._speech_samples += int(speech.sum()) * CHUNK_SAMPLES
        if len(speech) and speech[-1]:
            self._speech_samples -= -len(heard) % CHUNK_SAMPLES  # the last chunk of a recording may be a short one

    def _provisional(self, window: Window) -> Provisional:
        llr = float(self._detector.llrs_of(window.samples[None])[0])
        undecided = bool(self._heard().undecided_reasons)
        label: Label = "undecided" if undecided else "bonafide" if llr >= self._detector.threshold else "spoof"
        return Provisional(self._time, score_of(llr), llr, label, self._speech_seconds)

    def _all_scored(self, windows: Iterator[Window]) -> Iterator[Event]:
        """Each window, what changed with it, and behind the last of them where the stream stands."""
        count = self._pool.count
        for window in windows:
            # One by one: in a batch, the last bits depend on its size.
            yield from self._scored(window, float(self._detector.llrs_of(window.samples[None])[0]))
        if self._pool.count > count:
            yield self._running()

    def _scored(self, window: Window, llr: float) -> Iterator[Event]:
        start, end = (round(at / SAMPLE_RATE, 3) for at in (window.start, window.start + window.length))
        self._pool.push(llr)
        self._segmenter.push(Span(start, end, score_of(llr), llr))
        yield WindowScored(start, end, score_of(llr), llr)
        change = self._changes.push(end, llr)
        if change is not None:
            self._pool.forget(change.after)
            self._found.append(Change(self._time, change.since, change.toward, change.before, change.after))
            yield self._found[-1]

    def _running(self) -> RunningScore:
        llr = self._pool.running
        assert llr is not None
        heard = self._heard()
        bonafide = self._side.push(llr)
        label: Label = "undecided" if heard.undecided_reasons else "bonafide" if bonafide else "spoof"
        codes = tuple(finding.code for finding in (*heard.undecided_reasons, *heard.warnings))
        return RunningScore(self._time, score_of(llr), llr, label, self._speech_seconds, codes)

    @property
    def _time(self) -> float:
        return round(self._samples / SAMPLE_RATE, 3)

    @property
    def _speech_seconds(self) -> float:
        return round(self._speech_samples / SAMPLE_RATE, 3)

    def _heard(self) -> Heard:
        speech_seconds = self._speech_samples / SAMPLE_RATE
        duration_seconds = self._incoming.duration_seconds
        quality = self._meter.quality(self._incoming.quality, duration_seconds)
        warnings, undecided_reasons = judge(quality, speech_seconds)
        return Heard(
            duration_seconds=duration_seconds,
            speech_seconds=speech_seconds,
            sample_rate=self._incoming.sample_rate,
            channels=self._incoming.channels,
            quality=quality,
            warnings=warnings,
            undecided_reasons=undecided_reasons,
        )
