"""What listens to live streams: one model and a few threads for all of them, each stream with its own course."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

from aasist.audio.pcm import PcmDecoder
from aasist.runtime.detector import Detector
from aasist.runtime.events import Event, Final, WindowScored
from aasist.runtime.stream import StreamDetector
from aasist.runtime.threads import available_threads
from aasist.runtime.verdict import Note
from aasist.service.entry.likeness import COMPARED_WINDOWS, Comparing, Likeness
from aasist.service.settings import Settings
from aasist.service.stream.dialects import Audio, Opening
from aasist.session import Float32, Session

T = TypeVar("T")
OnRun = Callable[[int, float], None]


class Streams:
    """Of one process. The threads take the streams in turns, a piece of one at a time, off the event loop."""

    def __init__(self, settings: Settings, *, on_run: OnRun = lambda windows, seconds: None) -> None:
        """Opens the model; raises `ModelError`."""
        threads = settings.stream_threads or max(1, (settings.threads or available_threads()) // settings.workers)
        self.detector = Detector(
            settings.stream_model, threshold=settings.threshold, threads=threads, runtime=settings.runtime
        )
        self._on_run = on_run
        self._pool = ThreadPoolExecutor(threads, "stream")

    async def open(self, opening: Opening) -> LiveStream:
        """A stream at its start; raises `AudioError` for what cannot be taken."""
        return await self.run(lambda: LiveStream(self.detector, opening, on_run=self._on_run))

    async def run(self, work: Callable[[], T]) -> T:
        """``work``, by one of the threads. A caller that is cancelled leaves it to end by itself, within a piece's time."""
        return await asyncio.shield(asyncio.wrap_future(self._pool.submit(work)))

    def close(self) -> None:
        """Let what is being judged be finished, and end the threads."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class LiveStream:
    """One stream; for one thread at a time."""

    def __init__(self, detector: Detector, opening: Opening, *, on_run: OnRun) -> None:
        self._session = _Overheard(detector.session, on_run)
        self._detector = StreamDetector(
            detector.sharing(lambda session: self._session), sample_rate=opening.sample_rate
        )
        self._decoder = PcmDecoder(opening.encoding)
        self._sample_rate = opening.sample_rate
        self.seconds = 0.0
        """Of audio that was pushed, and of what was lost."""
        self._comparing: Comparing | None = Comparing(COMPARED_WINDOWS)

    def push(self, pieces: Sequence[Audio]) -> list[Event]:
        """Take what came; the events that it completes. Raises `AudioError` for samples that are none, `ModelError`."""
        events: list[Event] = []
        for piece in pieces:
            if piece.lost_seconds:
                events += self._detector.skip(piece.lost_seconds)
                self.seconds += piece.lost_seconds
            samples = self._decoder.push(piece.data)
            events += self._detector.push(samples)
            self.seconds += len(samples) / self._sample_rate
        self._note(events)
        return events

    def finish(self) -> tuple[list[Event], Final]:
        """The events that the end completes, and the last one."""
        final = self._detector.finish()
        self._note(list(final.closing))
        if not self.seconds:  # it was not silent: there was nothing
            final = replace(final, verdict=replace(final.verdict, warnings=(Note("empty", "no samples came"),)))
        return list(final.closing), final

    def likeness(self, *, ended: bool) -> Likeness | None:
        """How its first windows sound, once: as soon as there are as many as are compared, or when it has ended."""
        if self._comparing is None or not (ended or self._comparing.full):
            return None
        found, self._comparing, self._session.windows = self._comparing.likeness, None, None
        return found

    def _note(self, events: list[Event]) -> None:
        """Whole windows are compared; before them, provisional ones were scored, which are parts of the same."""
        if self._comparing is None or self._session.windows is None:
            return
        whole = sum(isinstance(event, WindowScored) for event in events)
        for window in self._session.windows[len(self._session.windows) - whole :]:
            self._comparing.take(window)
        self._session.windows.clear()


class _Overheard:
    """A `Session` that counts its runs, and keeps the windows of the last piece while somebody looks at them."""

    def __init__(self, session: Session, on_run: OnRun) -> None:
        self.precision = session.precision
        self._session, self._on_run = session, on_run
        self.windows: list[Float32] | None = []

    def run(self, windows: Float32) -> Float32:
        """Windows (B, T) -> logits (B, 2)."""
        if self.windows is not None:
            self.windows.extend(windows)
        begun = time.monotonic()
        logits = self._session.run(windows)
        self._on_run(len(windows), time.monotonic() - begun)
        return logits
