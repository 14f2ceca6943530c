"""The processes that decode: lent one recording at a time, replaced when they fail."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

from aasist.audio.listen import Heard
from aasist.audio.windows import Window
from aasist.errors import AudioError, one_line
from aasist.service.decode import frames
from aasist.service.decode.process import LOOK_SECONDS, DecodeProcess, Given, Patience, Stop
from aasist.service.decode.said import error_of, heard_of, window_of
from aasist.service.logs import LOG
from aasist.service.problems import Problem, busy

RETRY_SECONDS = 1.0
"""Between two attempts to start a process where the machine had no room for one."""


class Decoders:
    """So many processes, lent in turns; a lent one comes back ready, or a new one in its place.

    Where a new one cannot be started, its place stays empty, and whoever waits for a process tries again.
    """

    def __init__(self, count: int, *, memory_bytes: int) -> None:
        """Raises `Problem` 503 where there is no room for so many."""
        self._memory_bytes = memory_bytes
        self._idle: queue.LifoQueue[DecodeProcess] = queue.LifoQueue()
        self._all: set[DecodeProcess] = set()
        self._lock = threading.Lock()
        self._closed = False
        # They end with the thread that started them (`lifeline`): one that lives as long as they do.
        self._starter = ThreadPoolExecutor(1, "decoder")
        self._empty, self._tried = 0, 0.0
        self.replaced = 0
        try:
            for _ in range(count):
                self._idle.put(self._new())
        except Problem:
            self.close()
            raise

    def hear(
        self, file: BinaryIO, task: dict[str, Any], stop: Stop, *, wait_seconds: float | None = None
    ) -> RemoteListener:
        """A recording, listened to in the next free process. Waits for one; raises `Given` where it is stopped meanwhile, and
        `Problem` 503 where there was none for ``wait_seconds`` (None: it waits as long as it takes)."""
        begun = time.monotonic()
        while True:
            try:
                process = self._idle.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if stop():
                    raise Given from None
                refilled = self._refill()
                if refilled is None:
                    if wait_seconds is not None and time.monotonic() - begun > wait_seconds:
                        raise busy("no process to decode with was free in time", retry_after=wait_seconds) from None
                    continue
                process = refilled
            return RemoteListener(self, process, file, task, stop)

    def pids(self) -> list[int]:
        """Of the processes there are."""
        with self._lock:
            return [process.pid for process in self._all]

    def give_back(self, process: DecodeProcess, *, sound: bool) -> None:
        """After a recording; one that is not sound is ended and replaced."""
        if not sound:
            try:
                process = self.replace(process)
            except Problem:
                return
        if self._closed:
            process.end()
        self._idle.put(process)

    def replace(self, process: DecodeProcess) -> DecodeProcess:
        """A new one, which is not lent yet, for one that failed. `Problem` 503 where there is no room for one now; the place
        is filled later, and nothing is to be given back."""
        process.end()
        with self._lock:
            self._all.discard(process)
            self.replaced += 1
        try:
            return self._new()
        except Problem:
            with self._lock:
                self._empty += 1
                self._tried = time.monotonic()
            raise

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            self._closed = True
            for process in self._all:
                process.end()
        self._starter.shutdown(wait=True)

    def _refill(self) -> DecodeProcess | None:
        """A new one in an empty place, if there is one and room for it."""
        with self._lock:
            if self._closed or not self._empty or time.monotonic() - self._tried < RETRY_SECONDS:
                return None
            self._empty -= 1
            self._tried = time.monotonic()
        try:
            return self._new()
        except Problem:
            with self._lock:
                self._empty += 1
            return None

    def _new(self) -> DecodeProcess:
        stopping = busy("the service is stopping", retry_after=5, code="stopping")
        try:
            process = self._starter.submit(DecodeProcess, self._memory_bytes).result()
        except OSError as error:
            LOG.error("no decoder could be started", extra={"reason": one_line(error)})
            raise busy("no process to decode with could be started", retry_after=5) from None
        except RuntimeError:  # closed
            raise stopping from None
        with self._lock:
            if self._closed:
                process.end()
                raise stopping
            self._all.add(process)
        return process


class RemoteListener:
    """A `Listening` in another process. Raises what `Listener` raises, and `AudioError` ``decoder`` where it died of it."""

    def __init__(
        self, decoders: Decoders, process: DecodeProcess, file: BinaryIO, task: dict[str, Any], stop: Stop
    ) -> None:
        self._decoders, self._process = decoders, process
        self._file, self._task, self._stop = file, task, stop
        self._summary: Heard | None = None
        self.decoded_seconds = 0.0
        """Of the recording, once the other side has told it: at the end, also where that is an error."""
        self._held = True

    def close(self) -> None:
        """Give the process back, if it was not; it is ended, since it is somewhere in the middle."""
        self._give_back(sound=False)

    def _give_back(self, *, sound: bool) -> None:
        if self._held:
            self._held = False
            self._decoders.give_back(self._process, sound=sound)

    def __iter__(self) -> Iterator[Window]:
        sound = False
        try:
            # A process may have died while it was idle: the recording is not to blame.
            for attempt in (1, 2):
                try:
                    self._process.begin(self._file, self._task, self._stop)
                    break
                except (frames.Broken, OSError):
                    if attempt == 2:
                        raise busy("no process to decode with could be started", retry_after=5) from None
                    self._held = False  # where there is no other, there is none to give back
                    self._process = self._decoders.replace(self._process)
                    self._held = True
            patience = Patience(self._task["seconds"], self._stop)
            samples = self._task["window_samples"]
            while True:
                header, payload = self._process.next(patience, 4 * samples)
                kind = header.get("kind")
                if kind == "window":
                    yield window_of(header, payload, samples)
                    continue
                if kind == "heard":
                    self._summary = heard_of(header)
                    self.decoded_seconds = self._summary.duration_seconds
                    sound = True
                elif kind == "error":
                    sound = True
                    told = float(header["decoded_seconds"])
                    self.decoded_seconds = told if 0.0 <= told < math.inf else 0.0
                    raise error_of(header)
                elif kind == "memory":
                    raise AudioError("memory", "the recording takes more memory to decode than it may")
                else:
                    raise AudioError("decoder", "the recording could not be decoded: its decoder failed on it")
                return
        except (frames.Broken, OSError, KeyError, TypeError, ValueError):
            raise AudioError("decoder", "the recording could not be decoded: its decoder ended on it") from None
        finally:
            self._give_back(sound=sound)

    @property
    def summary(self) -> Heard:
        """What was heard; only once every window was taken."""
        if self._summary is None:
            raise RuntimeError("the summary of a recording is there once all its windows were taken")
        return self._summary
