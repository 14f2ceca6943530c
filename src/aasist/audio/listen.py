"""From an open recording to the windows a model scores, and what was heard on the way."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Protocol

from aasist.audio.quality import Finding, Quality, QualityMeter, judge
from aasist.audio.read import AudioReader
from aasist.audio.silero import CHUNK_SAMPLES
from aasist.audio.speech import Mask, SpeechStream
from aasist.audio.windows import Window, WindowPlacer
from aasist.session import SAMPLE_RATE, Float32


@dataclass(frozen=True)
class Heard:
    """What a whole recording held. ``sample_rate`` (Hz) and ``channels`` are the source's; seconds are counted from
    decoded samples. With any ``undecided_reasons`` the recording cannot be judged, ``warnings`` only qualify it."""

    duration_seconds: float
    speech_seconds: float
    sample_rate: int
    channels: int
    quality: Quality
    warnings: tuple[Finding, ...]
    undecided_reasons: tuple[Finding, ...]


class Listening(Protocol):
    """One recording as a model takes it: its windows in order, once; then what was heard. A `Listener`, or what stands for
    one that listens in another process."""

    def __iter__(self) -> Iterator[Window]: ...

    @property
    def summary(self) -> Heard:
        """What was heard; only once every window was taken."""
        ...


class Listen(Protocol):
    """Listens to one recording from its beginning, each time that it is called."""

    def __call__(self, window_samples: int, hop_samples: int) -> AbstractContextManager[Listening]:
        """With windows of so many samples at 16 kHz, so far apart."""
        ...


class Listener:
    """Iterates over the windows of one recording, in order and once; ``summary`` is there when it is exhausted.

    Holds about 5.5 minutes of audio at a time, however long the recording. A recording without speech gives no window.
    """

    def __init__(self, reader: AudioReader, *, window_samples: int, hop_samples: int, threads: int = 1) -> None:
        """``window_samples`` and ``hop_samples`` at 16 kHz; ``threads`` for speech activity. Iterating raises the
        `AudioError` of `AudioReader.blocks`."""
        self._reader = reader
        self._speech = SpeechStream(threads=threads)
        self._meter = QualityMeter()
        self._placer = WindowPlacer(window_samples, hop_samples)
        self._speech_samples = 0
        self._summary: Heard | None = None

    def __iter__(self) -> Iterator[Window]:
        for window in self._windows():
            yield replace(window, start=round(self._reader.lead_seconds * SAMPLE_RATE) + window.start)
        self._summary = self._heard()

    def _windows(self) -> Iterator[Window]:
        for block in self._reader.blocks(without_outer_silence=True):
            for samples, speech in self._speech.push(block):
                yield from self._take(samples, speech)
        for samples, speech in self._speech.finish():
            yield from self._take(samples, speech)
        yield from self._placer.finish()

    def _take(self, samples: Float32, speech: Mask) -> Iterator[Window]:
        self._meter.push(samples, speech)
        self._speech_samples += int(speech.sum()) * CHUNK_SAMPLES
        if len(speech) and speech[-1]:
            self._speech_samples -= -len(samples) % CHUNK_SAMPLES  # the last chunk of a recording may be a short one
        yield from self._placer.push(samples, speech)

    def _heard(self) -> Heard:
        speech_seconds = self._speech_samples / SAMPLE_RATE
        quality = self._meter.quality(self._reader.quality, self._reader.duration_seconds)
        warnings, undecided_reasons = judge(quality, speech_seconds)
        return Heard(
            duration_seconds=self._reader.duration_seconds,
            speech_seconds=speech_seconds,
            sample_rate=self._reader.sample_rate,
            channels=self._reader.channels,
            quality=quality,
            warnings=warnings,
            undecided_reasons=undecided_reasons,
        )

    @property
    def summary(self) -> Heard:
        """What was heard; only once every window was taken."""
        if self._summary is None:
            raise RuntimeError("the summary of a recording is there once all its windows were taken")
        return self._summary
