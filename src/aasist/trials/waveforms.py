"""Degraded waveforms on disk, for those who ask for it: a bounded folder, least recently used out first."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from aasist.errors import AasistError
from aasist.session import Float32

_ENTRY = re.compile(r"[0-9a-f]{64}\.npy")
_UNFINISHED = re.compile(r"[0-9a-f]{64}\.[A-Za-z0-9_]+\.part")
"""Only files named like these are counted and deleted: the folder may hold others."""

_STALE_SECONDS = 3_600.0
"""An unfinished file this old was left by a process that died."""

_KEPT_FRACTION = 0.9
"""Of the limit that is left after an eviction, so that not every file stored brings the next one."""


class WaveformCache:
    """Waveforms (N,) float32 in ``folder``, one .npy each: bit for bit what was stored, which FLAC would not give.

    Threads, and processes on one folder, may share it: files appear whole or not at all. A damaged file counts as
    missing and is deleted. Holds audio derived from recordings: the folder is made readable by its owner alone.
    """

    def __init__(self, folder: str | os.PathLike[str], *, limit_bytes: int = 8 * 2**30) -> None:
        """Makes ``folder`` where it is missing. Raises `AasistError` ``cache`` when it cannot be used."""
        if limit_bytes < 1:
            raise ValueError(f"a cache needs a limit of 1 byte or more, got {limit_bytes}")
        self._folder = Path(folder)
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._held_bytes = self._evict()
        except OSError as error:
            raise self._failure("used", error) from error

    @staticmethod
    def key(samples: Float32, condition: str, version: str, seed: int, trial_id: str) -> str:
        """What a degraded waveform depends on -> 64 hexadecimal digits (SHA-256)."""
        digest = hashlib.sha256()
        for part in (
            np.ascontiguousarray(samples, np.float32).tobytes(),
            *(text.encode() for text in (condition, version, str(seed), trial_id)),
        ):
            digest.update(len(part).to_bytes(8, "little"))  # else "a" + "bc" would be "ab" + "c"
            digest.update(part)
        return digest.hexdigest()

    def get(self, key: str) -> Float32 | None:
        """The waveform stored under ``key``, which now counts as just used, or None."""
        path = self._folder / f"{key}.npy"
        try:
            samples = np.load(path, allow_pickle=False)
            if samples.dtype != np.float32 or samples.ndim != 1 or not len(samples) or not np.isfinite(samples).all():
                raise ValueError("not a waveform")
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError):
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        return np.asarray(samples)

    def put(self, key: str, samples: Float32) -> None:
        """Store ``samples`` (N,) under ``key``; older entries make room, and what is larger than the limit is not kept.

        Raises `AasistError` ``cache`` when the disk refuses.
        """
        if samples.nbytes + 1_024 > self._limit_bytes:
            return
        try:
            handle, unfinished = tempfile.mkstemp(prefix=f"{key}.", suffix=".part", dir=self._folder)
            try:
                with os.fdopen(handle, "wb") as file:
                    np.save(file, samples.astype(np.float32, copy=False), allow_pickle=False)
                    size_bytes = file.tell()
                Path(unfinished).replace(self._folder / f"{key}.npy")
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(unfinished).unlink()
                raise
            with self._lock:
                self._held_bytes += size_bytes
                if self._held_bytes > self._limit_bytes:
                    self._held_bytes = self._evict()
        except OSError as error:
            raise self._failure("written", error) from error

    def _evict(self) -> int:
        """Delete the least recently used beyond the limit; bytes that are left. Counts anew: others may share it."""
        entries = []
        for path in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):  # another process was faster
                if _ENTRY.fullmatch(path.name):
                    status = path.stat()
                    entries.append((status.st_mtime_ns, path, status.st_size))
                elif _UNFINISHED.fullmatch(path.name) and time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()
        held = sum(size for _, _, size in entries)
        if held <= self._limit_bytes:
            return held
        for _, path, size in sorted(entries):
            if held <= self._limit_bytes * _KEPT_FRACTION:
                break
            path.unlink(missing_ok=True)
            held -= size
        return held

    def _failure(self, what: str, error: OSError) -> AasistError:
        reason = error.strerror or error
        return AasistError(
            "cache",
            f"{self._folder}: the cache of degraded audio cannot be {what}: {reason}; "
            "name another folder, or none to work without a cache",
        )
