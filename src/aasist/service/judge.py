"""From an upload to its verdict: decoded and searched for speech in another process, scored here, in one queue with others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO

from aasist.audio.listen import Heard, Listening
from aasist.audio.windows import Window
from aasist.runtime.pipeline import Pipeline, judge_of
from aasist.runtime.threads import available_threads
from aasist.runtime.verdict import Verdict
from aasist.service.batcher import Batcher
from aasist.service.decode.decoders import Decoders, RemoteListener
from aasist.service.decode.process import Given
from aasist.service.entry.likeness import Comparing, Likeness
from aasist.service.problems import busy
from aasist.service.settings import Settings
from aasist.session import SAMPLE_RATE

__all__ = ["Bounds", "Given", "Judge", "Judged"]


@dataclass(frozen=True)
class Bounds:
    """What one recording may take; ``patient`` ones (jobs) wait as long as it takes, and stand behind those that do not."""

    max_bytes: int
    max_seconds: float
    decode_seconds: float
    patient: bool = False

    @classmethod
    def of_detect(cls, settings: Settings) -> Bounds:
        return cls(settings.max_bytes, settings.max_seconds, settings.decode_seconds)

    @classmethod
    def of_job(cls, settings: Settings) -> Bounds:
        return cls(settings.job_max_bytes, settings.job_max_seconds, 30 * settings.decode_seconds, patient=True)


@dataclass(frozen=True)
class Judged:
    """A verdict, and how the recording sounds; None where it has no speech."""

    verdict: Verdict
    likeness: Likeness | None


class Judge:
    """Holds the models, their queue, and the processes that decode."""

    def __init__(
        self, settings: Settings, *, on_run: Callable[[int, float], None] = lambda windows, seconds: None
    ) -> None:
        threads = max(1, (settings.threads or available_threads()) // settings.workers)
        self.detector = judge_of(
            settings.model,
            threshold=settings.threshold,
            threads=threads,
            runtime=settings.runtime,
            precision=settings.precision,
        )
        self.stages = self.detector.detectors if isinstance(self.detector, Pipeline) else (self.detector,)
        """The detectors that judge, one after the other."""
        self._queue_seconds = settings.queue_seconds
        lanes = self.detector.division.runs
        self.batcher = Batcher(
            lanes=lanes,
            most=settings.batch_windows,
            wait_seconds=settings.batch_wait_ms / 1000,
            on_run=on_run,
        )
        self._now = self.detector.sharing(self.batcher.session)
        self._later = self.detector.sharing(partial(self.batcher.session, later=True))
        decoders = settings.decoders or threads
        memory = settings.decode_memory_bytes
        self.decoders = Decoders(decoders, memory_bytes=memory)
        # Jobs have their own: a long recording must not keep short ones from being decoded.
        self.job_decoders = Decoders(settings.job_runners, memory_bytes=memory)
        # While some wait for their windows to be scored, others keep the decoders busy.
        self._threads = ThreadPoolExecutor(decoders + 2 * lanes, "judge")
        self._job_threads = ThreadPoolExecutor(max(1, settings.job_runners), "job")

    async def judge(
        self,
        file: BinaryIO,
        name: str | None,
        bounds: Bounds,
        *,
        stop: threading.Event,
        charge: Callable[[float], None],
        progress: Callable[[float], None] | None = None,
    ) -> Judged:
        """Judge an open file. Raises `AudioError`, `ModelError`, `Problem` 503 where its turn comes too late, and `Given`
        where ``stop`` was set. ``stop`` is set when the caller is cancelled; the work then ends soon after.

        ``charge`` is told of the seconds that were heard, whatever came of them, by another thread and before this ends."""
        pool = self._job_threads if bounds.patient else self._threads
        asked = time.monotonic()
        begun = pool.submit(self._judge, file, name, bounds, stop, asked, progress or (lambda seconds: None), charge)
        work = asyncio.wrap_future(begun)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            stop.set()
            if not begun.cancel():
                # The file is closed by whoever opened it: not before nobody reads it.
                await asyncio.wait([work])
                if not work.cancelled():
                    work.exception()
            raise

    def _judge(
        self,
        file: BinaryIO,
        name: str | None,
        bounds: Bounds,
        stop: threading.Event,
        asked: float,
        progress: Callable[[float], None],
        charge: Callable[[float], None],
    ) -> Judged:
        if stop.is_set():
            raise Given
        if not bounds.patient and time.monotonic() - asked > self._queue_seconds:
            raise busy("the queue is too long to be served in time", retry_after=self._queue_seconds)
        detector, decoders = (self._later, self.job_decoders) if bounds.patient else (self._now, self.decoders)
        # A cascade may listen twice; what it heard last is whole.
        listened: list[_Compared] = []

        @contextmanager
        def listen(window_samples: int, hop_samples: int) -> Iterator[Listening]:
            task = {
                "window_samples": window_samples,
                "hop_samples": hop_samples,
                "max_bytes": bounds.max_bytes,
                "max_seconds": bounds.max_seconds,
                "seconds": bounds.decode_seconds,
            }
            wait = None if bounds.patient else self._queue_seconds
            with closing(decoders.hear(file, task, stop.is_set, wait_seconds=wait)) as listener:
                listened.append(_Compared(listener))
                yield listened[-1]

        def on_progress(seconds: float) -> None:
            if stop.is_set():
                raise Given
            progress(seconds)

        try:
            verdict = detector.judge(listen, name or "", progress=on_progress)
        finally:
            charge(max((one.seconds for one in listened), default=0.0))
        return Judged(verdict, listened[-1].comparing.likeness)

    def close(self) -> None:
        """Let what is being judged be finished, and end the processes."""
        for pool in (self._threads, self._job_threads):
            pool.shutdown(wait=True, cancel_futures=True)
        self.batcher.close()
        for decoders in (self.decoders, self.job_decoders):
            decoders.close()


class _Compared:
    """A `Listening` that notes on the way how the windows sound."""

    def __init__(self, listener: RemoteListener) -> None:
        self.listener, self.comparing = listener, Comparing()
        self._seconds = 0.0

    def __iter__(self) -> Iterator[Window]:
        for window in self.listener:
            self.comparing.take(window.samples)
            self._seconds = (window.start + window.length) / SAMPLE_RATE
            yield window

    @property
    def seconds(self) -> float:
        """Of the recording, as far as it is known to have been decoded."""
        return max(self._seconds, self.listener.decoded_seconds)

    @property
    def summary(self) -> Heard:
        return self.listener.summary
