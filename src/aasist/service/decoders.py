"""The processes that decode, as the service sees them: lent one recording at a time, replaced when they fail."""

from __future__ import annotations

import math
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np

from aasist.audio.listen import Heard
from aasist.audio.quality import Finding, Quality
from aasist.audio.windows import Window
from aasist.errors import AudioError
from aasist.service import frames
from aasist.service.problems import Problem, busy

BOOT_SECONDS = 120.0
"""For a new process to be ready; a machine that is short of everything takes long."""

LOOK_SECONDS = 0.2
"""Between two looks at whether a recording is still wanted."""

PASSED_ON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "HOME", "VIRTUAL_ENV")
"""Of the environment; never what holds a secret."""

Stop = Callable[[], bool]
"""Tells whether a recording is no longer wanted."""


class Given(Exception):
    """A recording was given up, since nobody wants it any more."""


class DecodeProcess:
    """One process. All methods are called by one thread at a time."""

    def __init__(self, memory_bytes: int) -> None:
        ours, theirs = socket.socketpair()
        self._sock, self._ready = ours, False
        self._sock.settimeout(LOOK_SECONDS)
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)  # noqa: PTH100
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        command = [sys.executable, "-P", "-m", "aasist.service.decode_worker", str(theirs.fileno()), str(memory_bytes)]
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**environment, "PYTHONPATH": paths},
                start_new_session=True,  # Ctrl-C is for the service, which lets recordings be finished
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, file: BinaryIO, task: dict[str, Any], stop: Stop) -> None:
        """Hand a recording over. Raises `frames.Broken` or ``OSError`` where the process is gone."""
        if not self._ready:
            header, _ = self._frame(_Patience(BOOT_SECONDS, stop), 0)
            self._ready = header.get("kind") == "ready"
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        frames.send(self._sock, task, file=file.fileno())

    def next(self, patience: _Patience, max_payload: int) -> tuple[dict[str, Any], bytes]:
        """What it says next."""
        return self._frame(patience, max_payload)

    def end(self) -> None:
        """Kill it; harmless when repeated."""
        with suppress(OSError):
            self._sock.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _frame(self, patience: _Patience, max_payload: int) -> tuple[dict[str, Any], bytes]:
        return frames.receive(self._sock, max_payload=max_payload, read=patience.read)


class _Patience:
    """Waits for bytes; the time it waits in all is bounded, that in between, which others take, is not."""

    def __init__(self, seconds: float, stop: Stop) -> None:
        self._left, self._stop = seconds, stop

    def read(self, sock: socket.socket, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            if self._stop():
                raise Given
            begun = time.monotonic()
            try:
                part = sock.recv(min(count - len(parts), 1 << 20))
            except TimeoutError:
                part = None
            finally:
                self._left -= time.monotonic() - begun
            if part is None:
                if self._left <= 0:
                    raise AudioError("timeout", "decoding took too long; shorten the recording or convert it to WAV")
                continue
            if not part:
                raise frames.Broken("the process ended")
            parts += part
        return bytes(parts)


class Decoders:
    """So many processes, lent in turns; a lent one comes back ready, or a new one in its place."""

    def __init__(self, count: int, *, memory_bytes: int) -> None:
        self._memory_bytes = memory_bytes
        self._idle: queue.LifoQueue[DecodeProcess] = queue.LifoQueue()
        self._all: set[DecodeProcess] = set()
        self._lock = threading.Lock()
        self._closed = False
        self.replaced = 0
        for _ in range(count):
            self._idle.put(self._new())

    def hear(self, file: BinaryIO, task: dict[str, Any], stop: Stop) -> RemoteListener:
        """A recording, listened to in the next free process. Waits for one; raises `Given` where it is stopped meanwhile."""
        while True:
            try:
                process = self._idle.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if stop():
                    raise Given from None
                continue
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
        """A new one, which is not lent yet, for one that failed."""
        process.end()
        with self._lock:
            self._all.discard(process)
            self.replaced += 1
        return self._new()

    def close(self) -> None:
        """End all of them."""
        self._closed = True
        with self._lock:
            for process in self._all:
                process.end()

    def _new(self) -> DecodeProcess:
        if self._closed:
            raise busy("the service is stopping", retry_after=5, code="stopping")
        process = DecodeProcess(self._memory_bytes)
        with self._lock:
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
                    self._process = self._decoders.replace(self._process)
            patience = _Patience(self._task["seconds"], self._stop)
            samples = self._task["window_samples"]
            while True:
                header, payload = self._process.next(patience, 4 * samples)
                kind = header.get("kind")
                if kind == "window":
                    yield _window(header, payload, samples)
                    continue
                if kind == "heard":
                    self._summary = _heard(header)
                    self.decoded_seconds = self._summary.duration_seconds
                    sound = True
                elif kind == "error":
                    sound = True
                    told = float(header["decoded_seconds"])
                    self.decoded_seconds = told if 0.0 <= told < math.inf else 0.0
                    raise AudioError(str(header["code"])[:40], str(header["message"])[:2_000])
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


def _window(header: dict[str, Any], payload: bytes, samples: int) -> Window:
    start, length, speech = (int(header[name]) for name in ("start", "length", "speech_samples"))
    window = np.frombuffer(payload, np.float32)
    if len(window) != samples or start < 0 or not 0 < length <= samples or not np.isfinite(window).all():
        raise ValueError("not a window")
    return Window(start, window, length, speech)


def _heard(header: dict[str, Any]) -> Heard:
    """Checked piece by piece: the other side may have been taken over."""
    quality = Quality(**header["quality"])
    duration, speech = (float(header[name]) for name in ("duration_seconds", "speech_seconds"))
    if not (math.isfinite(duration) and math.isfinite(speech)):
        raise ValueError("not a duration")
    return Heard(
        duration_seconds=duration,
        speech_seconds=speech,
        sample_rate=int(header["sample_rate"]),
        channels=int(header["channels"]),
        quality=quality,
        warnings=tuple(Finding(str(one["code"]), str(one["message"])) for one in header["warnings"]),
        undecided_reasons=tuple(Finding(str(one["code"]), str(one["message"])) for one in header["undecided_reasons"]),
    )
