"""What a worker does: a part of one batch read, cut and coded, from an order that says everything about it."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from aasist.errors import AasistError
from aasist.session import Float32
from aasist.training.cache import CacheStatistics, DiskTier, WaveformCache
from aasist.training.recordings import DataError, Integers
from aasist.training.waveforms import Crop, Float64, Int16, cut, decoded
from aasist.trial import Strings

Coding = Callable[[Float32, int], Float32]
"""A crop (T,) and the key of its draws -> (T,): what is done to it in the worker, a codec round trip."""


class Fault(NamedTuple):
    """A trial that could not be read: its row, id and path, and the code and message of the error."""

    row: int
    id: str
    path: str
    code: str
    message: str


class Order(NamedTuple):
    """What a worker is asked for: trials by row, each with its ``slot`` in the batch, where its crop is taken (in [0, 1))
    and the key of its coding; none for crops that are first windows."""

    slots: Integers
    rows: Integers
    positions: Float64
    keys: Integers | None
    length: int


@dataclass(frozen=True, eq=False)
class Share:
    """What a worker gives back: waveforms (n, T) float32 of the ``slots`` (n,) that could be read, and its faults."""

    worker: int
    slots: Integers
    waveforms: Tensor
    faults: tuple[Fault, ...]
    statistics: CacheStatistics


class Reader(Dataset[Share]):
    """Answers orders. All it holds is the columns ``ids`` and ``paths`` of the trials and its cache: nothing of an epoch.

    ``budget`` (1,) int64 lies in memory that all workers share: the bytes that their ``parts`` caches may hold together.
    What an order gives does not depend on what is cached: everything is cut from 16-bit samples.
    """

    def __init__(
        self,
        ids: Strings,
        paths: Strings,
        crop: Crop,
        *,
        budget: Tensor,
        parts: int,
        tier: DiskTier | None = None,
        coding: Coding | None = None,
    ) -> None:
        self._ids, self._paths, self._crop = ids, paths, crop
        self._budget, self._parts, self._tier, self._coding = budget, parts, tier, coding
        self._options = f"{crop.trim_db}/{crop.longest_seconds}"
        self._cache: WaveformCache | None = None

    def __getitem__(self, order: Order) -> Share:
        budget_bytes = int(self._budget[0]) // self._parts
        if self._cache is None:  # made in the worker, and never shared with another by a fork
            self._cache = WaveformCache(budget_bytes)
        self._cache.shrink(budget_bytes)
        waveforms = np.empty((len(order.rows), order.length), np.float32)
        read: list[int] = []
        faults: list[Fault] = []
        for number, row in enumerate(order.rows.tolist()):
            try:
                crop = cut(self._waveform(row), order.length, float(order.positions[number]), turn=self._crop.turn)
                if self._coding is not None and order.keys is not None:
                    crop = self._coding(crop, int(order.keys[number]))
                waveforms[len(read)] = crop
            except MemoryError:
                raise
            except AasistError as error:
                faults.append(self._fault(row, error.code, error.message))
            except Exception as error:  # a library's own: one recording must not end a run of days
                faults.append(self._fault(row, "unreadable", f"{type(error).__name__}: {error}"))
            else:
                read.append(number)
        worker = get_worker_info()
        return Share(
            0 if worker is None else worker.id,
            order.slots[read],
            torch.from_numpy(waveforms[: len(read)]),
            tuple(faults),
            replace(self._cache.statistics),
        )

    def _waveform(self, row: int) -> Int16:
        """From memory, from disk, or decoded: the same samples."""
        cache = self._cache
        assert cache is not None
        if (samples := cache.get(row)) is not None:
            return samples
        path, statistics = str(self._paths[row]), cache.statistics
        key = None if self._tier is None else self._tier.key(path, self._options)
        if self._tier is not None and key is not None and (samples := self._tier.get(key)) is not None:
            statistics.disk_hits += 1
        else:
            samples = decoded(path, self._crop)
            statistics.misses += 1
            if self._tier is not None and key is not None:
                statistics.stored_bytes += self._tier.put(key, samples)
        cache.put(row, samples)
        return samples

    def _fault(self, row: int, code: str, message: str) -> Fault:
        return Fault(row, str(self._ids[row]), str(self._paths[row]), code, message)


def begin_worker(worker: int) -> None:
    """A worker leaves signals that stop a run to the main process, which tells it when to end, and is the first to go when memory runs out: the main process
    can still save."""
    gc.freeze()  # what was inherited is never visited, and its pages stay shared
    for number in (signal.SIGINT, signal.SIGTERM):  # they reach the whole process group (torchrun, timeout, Slurm)
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):
        Path(f"/proc/{os.getpid()}/oom_score_adj").write_text("500")


def lost_worker(exit_codes: Iterable[int | None]) -> DataError:
    """What to say when a worker is gone, by the exit codes of all (None: it lives)."""
    signals = {signal.Signals(-code).name for code in exit_codes if code is not None and code < 0}
    signals -= {"SIGKILL", "SIGTERM"}  # the system ends by the one, torch those that are left by the other
    if "SIGBUS" in signals:
        why = (
            " by SIGBUS: there is no room for batches in /dev/shm; give it more (docker run --shm-size), or resume with "
            "loading.prefetch=1 or fewer workers (loading.workers)"
        )
    elif signals:
        why = (
            f" by {', '.join(sorted(signals))}: a library failed on a recording; resume, and should it fail again in the "
            "same place, look at the recordings there with loading.workers=0"
        )
    else:
        why = (
            ", most likely by the system for want of memory: resume with fewer workers (loading.workers), a smaller cache "
            "(loading.cache_mib) or smaller batches"
        )
    return DataError("worker_lost", f"a process that decodes recordings was killed{why}")
