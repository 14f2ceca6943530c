"""What a process that decodes does: it is told to take a file, and gives the windows over its speech, then what was heard; or the error."""

from __future__ import annotations

import os
import resource
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from aasist.audio.listen import Listener
from aasist.audio.read import ReadLimits, open_audio
from aasist.audio.speech import speech_mask
from aasist.errors import AudioError
from aasist.service.decode import frames

MAX_FILES = 64


def decode(sock: socket.socket, memory_bytes: int, *, confined: bool) -> None:
    """Serve until the other side is gone, with so much memory for a recording; ``confined`` is passed on."""
    # Everything that is loaded late is loaded now: it must not count as a recording's memory, nor fall under the limits.
    speech_mask(np.ones(16_000, np.float32) * np.float32(0.1))
    _limit(memory_bytes)
    frames.send(sock, {"kind": "ready", "confined": confined})
    while (request := frames.receive_with_file(sock)) is not None:
        task, descriptor = request
        with os.fdopen(descriptor, "rb") as file:
            if not _heard(sock, task, file):
                return


def _limit(memory_bytes: int) -> None:
    """``memory_bytes`` beyond what is taken by now; no file is written, none dumped."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_FILES, MAX_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _limit_time(seconds: float) -> None:
    """Of the processor, from now on; beyond it the kernel ends this process."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _heard(sock: socket.socket, task: dict[str, Any], file: Any) -> bool:
    """Answer one request; False where this process should not take another."""
    _limit_time(task["seconds"])
    limits = ReadLimits(
        max_bytes=task["max_bytes"], max_seconds=task["max_seconds"], max_decode_seconds=task["seconds"]
    )
    reader = None
    try:
        with open_audio(file, limits=limits) as reader:
            listener = Listener(reader, window_samples=task["window_samples"], hop_samples=task["hop_samples"])
            for window in listener:
                place = {"start": window.start, "length": window.length, "speech_samples": window.speech_samples}
                frames.send(sock, {"kind": "window", **place}, window.samples.tobytes())
        frames.send(sock, {"kind": "heard", **asdict(listener.summary)})
    except AudioError as error:
        told = {"code": error.code, "message": error.message[:2_000]}
        frames.send(sock, {"kind": "error", **told, "decoded_seconds": reader.duration_seconds if reader else 0.0})
    except MemoryError:
        # Native code may have been left half done.
        frames.send(sock, {"kind": "memory"})
        return False
    except OSError:  # the service is gone, or has given this recording up
        return False
    except Exception as error:
        frames.send(sock, {"kind": "failed", "message": type(error).__name__})
        return False
    return True
