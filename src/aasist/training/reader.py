"""What a worker does: a part of one batch read, coded and cut, from an order that says everything about it."""

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

from aasist.audio.encode import ChannelCodec
from aasist.errors import AasistError
from aasist.session import SAMPLE_RATE
from aasist.training.augment.codec import round_trip
from aasist.training.cache import CacheStatistics, DiskTier, WaveformCache
from aasist.training.recordings import DataError, Integers
from aasist.training.waveforms import Crop, Float64, Int16, as_floats, as_int16, cut, decoded
from aasist.trial import Strings

Coding = Callable[[int], ChannelCodec | None]
"""The key of a trial's draws -> the codec that the worker puts its recording through; None for none."""

WHOLE_SAMPLES = 30 * SAMPLE_RATE
"""A recording as long as this at the most is coded whole, and what comes of it is kept for the next crop; of a longer one
the crop alone is coded, and kept nowhere: it never comes back."""


class Fault(NamedTuple):
    """A trial that could not be read: its row, id and path, and the code and message of the error."""

    row: int
    id: str
    path: str
    code: str
    message: str


class Order(NamedTuple):
    """What a worker is asked for: trials by row, each with its ``slot`` in the batch, where its crop is taken (in [0, 1))
    and the key of its coding; none for scoring: first windows of what is neither trimmed nor coded."""

    slots: Integers
    rows: Integers
    positions: Float64
    keys: Integers | None
    length: int


@dataclass(frozen=True, eq=False)
class Share:
    """What a worker gives back: waveforms (n, T) float32 of the ``slots`` (n,) that could be read, and its faults; or,
    with nothing of it, the code and message of the `DataError` that ends the run: torch would lose what it says."""

    worker: int
    slots: Integers
    waveforms: Tensor
    faults: tuple[Fault, ...]
    statistics: CacheStatistics
    failure: tuple[str, str] | None = None


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
        self._cache: WaveformCache | None = None

    def __getitem__(self, order: Order) -> Share:
        worker = get_worker_info()
        number = 0 if worker is None else worker.id
        try:
            return self._share(order, number)
        except DataError as error:
            failure = error
        except MemoryError:
            failure = lost_for_memory("a process that decodes recordings found no memory left")
        statistics = CacheStatistics() if self._cache is None else replace(self._cache.statistics)
        nothing = torch.empty(0, order.length)
        return Share(number, order.slots[:0], nothing, (), statistics, (failure.code, failure.message))

    def _share(self, order: Order, worker: int) -> Share:
        budget_bytes = int(self._budget[0]) // self._parts
        if self._cache is None:  # made in the worker, and never shared with another by a fork
            self._cache = WaveformCache(budget_bytes)
        self._cache.shrink(budget_bytes)
        waveforms = np.empty((len(order.rows), order.length), np.float32)
        crop = self._crop
        if order.keys is None:  # heard as whoever scores it later will hear it
            longest_seconds = max(crop.longest_seconds, order.length / SAMPLE_RATE)
            crop = replace(crop, trim_db=0.0, longest_seconds=longest_seconds)
        read: list[int] = []
        faults: list[Fault] = []
        for number, row in enumerate(order.rows.tolist()):
            codec = None if self._coding is None or order.keys is None else self._coding(int(order.keys[number]))
            try:
                samples = self._recorded(row, crop, codec)
            except (MemoryError, DataError):
                raise
            except AasistError as error:
                faults.append(self._fault(row, error.code, error.message))
            except Exception as error:  # a library's own: one recording must not end a run of days
                faults.append(self._fault(row, "unreadable", f"{type(error).__name__}: {error}"))
            else:
                clip = cut(samples, order.length, float(order.positions[number]), turn=crop.turn)
                if codec is not None and len(samples) > WHOLE_SAMPLES:
                    clip = as_floats(self._coded(row, as_int16(clip), codec))
                waveforms[len(read)] = clip
                read.append(number)
        statistics = replace(self._cache.statistics, disk_ended=int(self._tier is not None and self._tier.ended))
        return Share(worker, order.slots[read], torch.from_numpy(waveforms[: len(read)]), tuple(faults), statistics)

    def _recorded(self, row: int, crop: Crop, codec: ChannelCodec | None) -> Int16:
        """A recording, as ``codec`` makes it where it is coded whole."""
        path, options = str(self._paths[row]), f"{crop.trim_db}/{crop.longest_seconds}"
        assert self._cache is not None
        coded = "" if codec is None else f"{options}/{codec!r}/{codec.library_version}"
        if codec is not None and (samples := self._held(row, path, coded)) is not None:
            return samples
        samples = self._held(row, path, options)
        if samples is None:
            samples = decoded(path, crop)
            self._cache.statistics.misses += 1
            self._keep(row, path, options, samples)
        if codec is not None and len(samples) <= WHOLE_SAMPLES:
            samples = self._coded(row, samples, codec)
            self._keep(row, path, coded, samples)
        return samples

    def _held(self, row: int, path: str, options: str) -> Int16 | None:
        """What `_keep` kept, from memory or from disk: the same samples."""
        assert self._cache is not None
        samples = self._cache.get((row, options))
        if samples is None and self._tier is not None and (name := self._tier.key(path, options)) is not None:
            samples = self._tier.get(name)
            if samples is not None:
                self._cache.statistics.disk_hits += 1
                self._cache.put((row, options), samples)
        return samples

    def _keep(self, row: int, path: str, options: str, samples: Int16) -> None:
        assert self._cache is not None
        self._cache.put((row, options), samples)
        if self._tier is not None and (name := self._tier.key(path, options)) is not None:
            self._cache.statistics.stored_bytes += self._tier.put(name, samples)

    def _coded(self, row: int, samples: Int16, codec: ChannelCodec) -> Int16:
        """A round trip; `DataError` ``coding``, for what fails at it is no fault of the recording."""
        try:
            return round_trip(samples, codec)
        except MemoryError:
            raise
        except Exception as error:
            raise DataError(
                "coding",
                f"{self._ids[row]} ({self._paths[row]}): {error}; resume, and should it fail again, begin a run "
                "without that format (augment.codec.formats)",
            ) from error

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
        return lost_for_memory(
            "a process that decodes recordings was killed, most likely by the system for want of memory"
        )
    return DataError("worker_lost", f"a process that decodes recordings was killed{why}")


def lost_for_memory(what: str) -> DataError:
    """The error for a worker that came to its end for want of memory."""
    return DataError(
        "worker_lost",
        f"{what}: resume with fewer workers (loading.workers), a smaller cache (loading.cache_mib) or smaller batches",
    )
