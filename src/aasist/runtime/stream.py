"""A live stream to events: push samples as they come, and be told every half second."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from aasist.audio.intake import Intake
from aasist.audio.read import Source, open_audio
from aasist.runtime.course import Course
from aasist.runtime.detector import Detector, name_of
from aasist.runtime.events import Event, Final
from aasist.runtime.verdict import Note
from aasist.session import SAMPLE_RATE, Float32

STREAM_MODEL = "small"
"""Half the work of ``efficient``, and a stream scores six windows where a file scores one. Bands that overlapping windows share
would save a fifth of it (docs/log.md), and cost a second graph of every model: not kept."""


class StreamDetector:
    """Watches one stream; many may share a detector, each of them is for one thread at a time.

    ``detector`` is a `Detector`, or the model for one with a single thread. ``sample_rate`` in Hz is that of what is pushed, and
    ``channel`` (from 0) picks one channel instead of the mean of all; None is the detector's. ``name`` stands as ``path`` in the
    verdict. Memory does not grow with the stream. Raises `AudioError` ``sample_rate``, and ``ModelError`` as `Detector` does.
    """

    def __init__(
        self,
        detector: Detector | str | Path = STREAM_MODEL,
        *,
        sample_rate: int = SAMPLE_RATE,
        channel: int | None = None,
        name: str = "<stream>",
    ) -> None:
        self._sample_rate = sample_rate
        self._name = name
        Intake(sample_rate)  # refuses a rate before a model is opened
        self.detector = detector if isinstance(detector, Detector) else Detector(detector, threads=1)
        self._channel = self.detector.channel if channel is None else channel
        self.reset()

    def reset(self) -> None:
        """Forget all that was pushed and begin anew, at time 0."""
        self._intake = Intake(self._sample_rate, channel=self._channel)
        self._course = Course(self.detector, self._intake)
        self._open = True

    def push(self, samples: NDArray[Any]) -> list[Event]:
        """Take the next samples (n,) or (n, C), n from 0: float (full scale 1), int16, int32 or uint8; the events that they
        complete, in order.

        How the stream is cut into pieces changes none of them. Raises `AudioError` ``unreadable``, ``channels``, ``channel`` or
        ``not_finite`` for a piece that is refused: nothing of it was taken, the next may come. After a ``ModelError`` the stream
        must be reset. RuntimeError behind `finish`.
        """
        return self._events(self._opened().push(samples))

    def skip(self, seconds: float) -> list[Event]:
        """Say that ``seconds`` (0 to 3,600) of audio were lost: silence stands for them, so that times stay right, and the
        verdict has a warning ``gaps``. Raises `AudioError` ``gap``."""
        return self._events(self._opened().skip(seconds))

    def finish(self) -> Final:
        """The stream has ended: the verdict on all of it. RuntimeError where it has ended before."""
        rest = self._opened().finish()
        self._open = False
        closing = (*self._course.push(rest), *self._course.finish())
        final = self._course.final(self._name, closing)
        if not self._intake.gap_seconds:
            return final
        lost = f"{self._intake.gap_seconds:.1f} s of the stream were lost; silence stands for them"
        return replace(final, verdict=replace(final.verdict, warnings=(*final.verdict.warnings, Note("gaps", lost))))

    def _opened(self) -> Intake:
        if not self._open:
            raise RuntimeError("the stream is finished: reset() begins another")
        return self._intake

    def _events(self, mono: Float32) -> list[Event]:
        return list(self._course.push(mono))


def walk(source: Source, detector: Detector) -> Iterator[Event]:
    """A recording as if it were a stream: the same windows, speech activity and pooling, so the same events, `Final` the last.

    Raises ``AudioError`` and ``ModelError`` as `Detector.detect` does, after the events of what could be read.
    """
    with open_audio(source, channel=detector.channel, limits=detector.limits) as reader:
        course = Course(detector, reader)
        for block in reader.blocks():
            yield from course.push(block)
        closing = tuple(course.finish())
    yield from closing
    yield course.final(name_of(source), closing)
