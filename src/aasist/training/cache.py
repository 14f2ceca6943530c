"""Decoded waveforms kept for the next epoch: in memory within a budget to the byte, and on disk for all workers."""

from __future__ import annotations

import copy
import hashlib
import mmap
import os
import re
import tempfile
import time
import zlib
from collections import OrderedDict
from collections.abc import Hashable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aasist.errors import AasistError
from aasist.training.waveforms import DECODER, Int16

BLOCK_BYTES = mmap.PAGESIZE
"""Memory is taken and given back in pages."""

_BLOCK_SAMPLES = BLOCK_BYTES // 2
_ENTRY = re.compile(r"[0-9a-f]{40}\.pcm")
"""Only files named so are counted and deleted: the folder may hold others."""
_STALE_SECONDS = 3_600.0
_KEPT_SHARE = 0.9


@dataclass
class CacheStatistics:
    """What a cache has done so far; sums over workers are sums of these."""

    hits: int = 0
    """Found in memory."""
    disk_hits: int = 0
    """Found on disk."""
    misses: int = 0
    """Decoded."""
    evictions: int = 0
    held: int = 0
    """Waveforms in memory."""
    held_bytes: int = 0
    budget_bytes: int = 0
    stored_bytes: int = 0
    """Written to disk."""
    disk_ended: int = 0
    """Workers that store nothing more on disk: the folder holds what it may, or the disk is full or gone."""

    @property
    def hit_share(self) -> float:
        """Share of the waveforms asked for that needed no decoding; 0 before the first."""
        asked = self.hits + self.disk_hits + self.misses
        return (self.hits + self.disk_hits) / asked if asked else 0.0

    def __add__(self, other: CacheStatistics) -> CacheStatistics:
        return CacheStatistics(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


class WaveformCache:
    """Waveforms (N,) int16 in memory, the least recently used out first; a key is what tells one from all others.

    All lie in one mapping of ``budget_bytes``, a list of its pages each: none is ever moved, no gap is ever too small,
    and pages given up go back to the system. The mapping takes memory only as it fills. Measured with a budget of 64
    MiB and clips of 1 to 6 s, decoding included: 3 % over the budget at the peak, where arrays on the heap take 11 %,
    which no eviction gives back. For one process and one thread.
    """

    def __init__(self, budget_bytes: int) -> None:
        if budget_bytes < 0:
            raise ValueError(f"a cache needs a budget of 0 bytes or more, got {budget_bytes}")
        self.statistics = CacheStatistics(budget_bytes=budget_bytes)
        blocks = budget_bytes // BLOCK_BYTES
        self._map = mmap.mmap(-1, blocks * BLOCK_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) if blocks else None
        if self._map is not None and hasattr(mmap, "MADV_NOHUGEPAGE"):
            with suppress(OSError):  # a kernel built without them
                self._map.madvise(mmap.MADV_NOHUGEPAGE)  # a huge page would be taken for one waveform's rest
        self._samples = np.frombuffer(self._map or b"", np.int16).reshape(-1, _BLOCK_SAMPLES)
        # The stack of free pages, the first on top: pages are touched from the start on.
        self._free = np.arange(blocks - 1, -1, -1, dtype=np.int64)
        self._free_count = blocks
        self._pages = blocks
        self._entries: OrderedDict[Hashable, tuple[NDArray[np.int64], int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._entries

    @property
    def held_bytes(self) -> int:
        """Whole pages of everything held: what it takes of the machine's memory."""
        return self.statistics.held_bytes

    def get(self, key: Hashable) -> Int16 | None:
        """A copy of the waveform of ``key``, which now counts as just used, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        self.statistics.hits += 1
        pages, count = entry
        return self._samples[pages].reshape(-1)[:count]

    def put(self, key: Hashable, samples: Int16) -> None:
        """Keep ``samples`` (N,) for ``key``; the least recently used make room. What exceeds the budget is not kept."""
        needed = -(-samples.nbytes // BLOCK_BYTES)
        if key in self._entries or not needed or needed > self.statistics.budget_bytes // BLOCK_BYTES:
            return
        while self._free_count < needed or self.held_bytes + needed * BLOCK_BYTES > self.statistics.budget_bytes:
            self._evict()
        pages = self._free[self._free_count - needed : self._free_count].copy()
        self._free_count -= needed
        whole = len(samples) // _BLOCK_SAMPLES
        self._samples[pages[:whole]] = samples[: whole * _BLOCK_SAMPLES].reshape(whole, _BLOCK_SAMPLES)
        if whole < needed:
            rest = samples[whole * _BLOCK_SAMPLES :]
            self._samples[pages[-1], : len(rest)] = rest
        self._entries[key] = pages, len(samples)
        self._count()

    def shrink(self, to_bytes: int) -> None:
        """Hold ``to_bytes`` at the most from now on; what is given up goes back to the system at once."""
        if to_bytes >= self.statistics.budget_bytes:
            return
        self.statistics.budget_bytes = max(0, to_bytes)
        while self.held_bytes > self.statistics.budget_bytes:
            self._evict()
        self._give_back()

    def _evict(self) -> None:
        _, (pages, _) = self._entries.popitem(last=False)
        self._free[self._free_count : self._free_count + len(pages)] = pages
        self._free_count += len(pages)
        self.statistics.evictions += 1
        self._count()

    def _give_back(self) -> None:
        """Tell the system that the free pages are not needed, run by run."""
        if self._map is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        free = np.sort(self._free[: self._free_count])
        for run in np.split(free, np.flatnonzero(np.diff(free) != 1) + 1):
            if len(run):
                self._map.madvise(mmap.MADV_DONTNEED, int(run[0]) * BLOCK_BYTES, len(run) * BLOCK_BYTES)

    def _count(self) -> None:
        self.statistics.held = len(self._entries)
        self.statistics.held_bytes = (self._pages - self._free_count) * BLOCK_BYTES


class DiskTier:
    """Decoded waveforms in ``folder``, a file each, that all workers and later runs read through memory maps.

    The system's page cache keeps what is read often and gives it up when memory is short. A file is taken only while
    the recording has the size and time it was decoded at, and when its checksum holds. ``limit_bytes`` bounds what the
    folder holds; once it does, or the disk is full, nothing more is stored (``ended``) and training goes on: of a corpus
    read in random order, no part is worth more than another. So that a folder does not stay full of what nobody reads any
    more, the longest unread go when it is opened, until a tenth is free. Holds audio of the recordings: the folder is its
    owner's alone.
    """

    def __init__(self, folder: str | os.PathLike[str], limit_bytes: int) -> None:
        """Makes ``folder`` where it is missing; `AasistError` ``cache`` when it cannot be used."""
        self._folder, self.ended = Path(folder), False
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with tempfile.TemporaryFile(dir=self._folder):
                pass
            self._left_bytes = max(0, limit_bytes - self._swept(limit_bytes))
        except OSError as error:
            raise AasistError(
                "cache",
                f"{folder}: decoded waveforms cannot be kept there: {error.strerror or error}; "
                "name another folder, or none to keep them in memory alone",
            ) from error

    def shared_by(self, processes: int) -> Self:
        """The tier as each of ``processes`` may use it: what may be added is divided among them."""
        tier = copy.copy(self)
        tier._left_bytes = self._left_bytes // processes
        return tier

    def _swept(self, limit_bytes: int) -> int:
        """Bytes that are held, once the longest unread and drafts that a process left when it died are deleted."""
        entries: list[tuple[int, int, Path]] = []
        for path in self._folder.glob("??/*"):
            with suppress(OSError):  # another process was faster
                status = path.stat()
                if _ENTRY.fullmatch(path.name):
                    entries.append((status.st_mtime_ns, status.st_size, path))
                elif path.suffix == ".part" and time.time() - status.st_mtime > _STALE_SECONDS:
                    path.unlink()
        held = sum(size for _, size, _ in entries)
        for _, size, path in sorted(entries):
            if held <= _KEPT_SHARE * limit_bytes:
                break
            with suppress(OSError):
                path.unlink(missing_ok=True)
                held -= size
        return held

    def key(self, path: str, options: str) -> str | None:
        """What a waveform of a recording depends on (``options``: how it is made) -> 40 hexadecimal digits; None where
        the recording cannot be seen."""
        try:
            status = Path(path).stat()
        except (OSError, ValueError):
            return None
        text = "\0".join((path, str(status.st_size), str(status.st_mtime_ns), DECODER, options))
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:40]

    def get(self, key: str) -> Int16 | None:
        """The waveform stored under ``key``, or None; what is damaged is deleted."""
        path = self._path(key)
        try:
            mapped = np.memmap(path, np.uint8, "r")
        except (OSError, ValueError):  # not there, or empty
            return None
        body = mapped[_HEAD_BYTES:]
        if len(body) % 2 or bytes(mapped[:_HEAD_BYTES]) != _head(body):
            with suppress(OSError):
                path.unlink()
            return None
        with suppress(OSError):
            os.utime(path)  # read just now: what is not goes first
        return np.array(body.view(np.int16))  # a copy: the map is closed here

    def put(self, key: str, samples: Int16) -> int:
        """Store ``samples`` under ``key``, whole or not at all; bytes written, 0 when there is no room."""
        size = samples.nbytes + _HEAD_BYTES
        if size > self._left_bytes:
            self.ended = True
            return 0
        path = self._path(key)
        draft = path.with_name(f".{path.name}.{os.getpid()}.part")
        body = np.ascontiguousarray(samples).view(np.uint8)
        try:
            path.parent.mkdir(exist_ok=True, mode=0o700)
            with open(draft, "wb") as file:
                file.write(_head(body))
                file.write(body.data)
            draft.replace(path)
        except OSError:
            with suppress(OSError):
                draft.unlink()
            self._left_bytes, self.ended = 0, True  # full, or gone: it will not get better in this run
            return 0
        self._left_bytes -= size
        return size

    def _path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.pcm"


_MAGIC = b"aasist16"
_HEAD_BYTES = len(_MAGIC) + 8


def _head(body: NDArray[Any]) -> bytes:
    """Magic number, samples and CRC-32 of what follows."""
    return _MAGIC + (len(body) // 2).to_bytes(4, "little") + zlib.crc32(body.data).to_bytes(4, "little")
