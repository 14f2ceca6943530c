"""One process that decodes, as the service sees it: started with nothing it need not know, heard with patience, ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, ClassVar

from aasist.errors import AudioError
from aasist.service.decode import frames
from aasist.service.logs import LOG

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

    _said: ClassVar[bool] = False
    """Whether the log has it that they are not confined."""

    def __init__(self, memory_bytes: int) -> None:
        """Raises ``OSError`` where the machine has no room for another process or file."""
        ours, theirs = socket.socketpair()
        self._sock, self._ready = ours, False
        self._sock.settimeout(LOOK_SECONDS)
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path if path)  # noqa: PTH100
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        numbers = map(str, (theirs.fileno(), memory_bytes, os.getpid()))
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-P", "-m", "aasist.service.decode.worker", *numbers],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env={**environment, "PYTHONPATH": paths},
                    start_new_session=True,  # Ctrl-C is for the service, which lets recordings be finished
                )
        except OSError:
            ours.close()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self, file: BinaryIO, task: dict[str, Any], stop: Stop) -> None:
        """Hand a recording over. Raises `frames.Broken` or ``OSError`` where the process is gone."""
        if not self._ready:
            header, _ = self._frame(Patience(BOOT_SECONDS, stop), 0)
            self._ready = header.get("kind") == "ready"
            self._say_once(confined=header.get("confined") is True)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        frames.send(self._sock, task, file=file.fileno())

    @classmethod
    def _say_once(cls, *, confined: bool) -> None:
        if not confined and not cls._said:
            cls._said = True
            reason = (
                "this kernel has no Landlock, or does not let it be used; docs/security.md says what that leaves open"
            )
            LOG.warning("decoders are limited, but not confined", extra={"reason": reason})

    def next(self, patience: Patience, max_payload: int) -> tuple[dict[str, Any], bytes]:
        """What it says next."""
        return self._frame(patience, max_payload)

    def end(self) -> None:
        """Kill it; harmless when repeated."""
        with suppress(OSError):
            self._sock.close()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()

    def _frame(self, patience: Patience, max_payload: int) -> tuple[dict[str, Any], bytes]:
        return frames.receive(self._sock, max_payload=max_payload, read=patience.read)


class Patience:
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
