"""Batches of an epoch, in order, from workers that decode ahead."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from aasist.keys import key
from aasist.runtime.threads import available_threads
from aasist.training.cache import CacheStatistics, DiskTier
from aasist.training.distributed import ranks_here
from aasist.training.draws import Purpose, row_keys
from aasist.training.memory import available_bytes
from aasist.training.plan import Plan, in_turn
from aasist.training.reader import Coding, Fault, Order, Reader, Share, begin_worker, lost_worker
from aasist.training.recordings import DataError, Integers
from aasist.training.waveforms import Crop, lengths_of, positions_of
from aasist.trial import Booleans, Trials

_MIB = 1 << 20
_MOST_WORKERS = 8


@dataclass(frozen=True)
class Loading:
    """How the data is brought in (a section of a recipe). None of it changes what a batch holds.

    What bounds a machine's memory, disk and processors is said of the machine; the ranks on it have equal parts.
    """

    workers: int | None = key(
        None, "processes of each rank that decode, 0: the rank itself; none: its part of half of the processors, 1 to 8",
        low=0, high=256,
    )  # fmt: skip
    prefetch: int = key(3, "batches that are made ahead", unit="batches", low=1, high=64)
    cache_share: float = key(
        0.4, "share of the memory available at the start that decoded audio may take, all workers and ranks together",
        low=0.0, high=0.9,
    )  # fmt: skip
    cache_mib: int | None = key(None, "the same in MiB, in place of the share", unit="MiB", low=0)
    disk: str | None = key(None, "folder for decoded audio on disk, shared by workers and later runs; none: nowhere")
    disk_mib: int = key(100_000, "what that folder may hold", unit="MiB", low=1)
    memory_mib: int | None = key(
        None, "memory that the run may take, workers included; none: what the machine and its cgroup leave",
        unit="MiB", low=256,
    )  # fmt: skip
    faults: float = key(
        0.01, "share of the trials that may turn out unreadable before the run stops; one always may", low=0.0, high=1.0
    )

    @property
    def worker_count(self) -> int:
        """``workers``, or what stands for it on this machine, of each rank."""
        if self.workers is not None:
            return self.workers
        return max(1, min(_MOST_WORKERS, available_threads() // 2 // ranks_here()))

    @property
    def memory_bytes(self) -> int | None:
        """``memory_mib`` in bytes, of each rank."""
        return None if self.memory_mib is None else self.memory_mib * _MIB // ranks_here()

    def cache_bytes(self) -> int:
        """The budget of all caches of a rank together, from the memory that is available now."""
        if self.cache_mib is not None:
            return self.cache_mib * _MIB // ranks_here()
        return int(self.cache_share * min(available_bytes() // ranks_here(), available_bytes(self.memory_bytes)))


@dataclass(frozen=True, eq=False)
class Batch:
    """One batch of an epoch, or a rank's part of it, without the trials that could not be read.

    ``waveforms`` (B, T) float32 in [-1, 1); ``labels`` (B,) int64, 1 = bona fide; ``rows`` (B,) int64 of the trials;
    ``draws`` (B,) int64, the key of each row's random draws; ``positions`` (B,) int64 in the epoch. ``number`` counts
    the batches of the epoch from 0. B may be 0, when nothing of it could be read. ``statistics`` are those of all
    workers' caches so far, ``waited_seconds`` is how long the batch was waited for.
    """

    waveforms: Tensor
    labels: Tensor
    rows: Integers
    draws: Integers
    positions: Integers
    epoch: int
    number: int
    faults: tuple[Fault, ...]
    statistics: CacheStatistics
    waited_seconds: float

    def __len__(self) -> int:
        return len(self.rows)

    def pairs(self) -> Integers:
        """(P, 2): where in the batch the bona fide trial and the spoof of each whole pair stand (plans of pairs)."""
        first = np.flatnonzero((self.positions[:-1] % 2 == 0) & (np.diff(self.positions) == 1))
        return np.stack([first, first + 1], 1)


class Loader:
    """Batches of trials for training and for scoring, from the same workers and caches; a context manager.

    A batch is a function of the plan, the seed, the epoch and its number alone. Each worker decodes the trials whose row
    is its own modulo the number of workers: caches hold no trial twice, and their budgets add up. The ``rank`` of
    ``world`` takes every ``world``-th unit of a batch, from its own number on.
    """

    def __init__(
        self,
        trials: Trials,
        crop: Crop,
        loading: Loading,
        *,
        batch_rows: int,
        window_samples: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
        coding: Coding | None = None,
        pin: bool = False,
    ) -> None:
        """``trials`` as `gathered` gives them. ``pin``: batches lie in page-locked memory, for CUDA.

        Raises `AasistError` ``cache`` when the folder on disk cannot be used.
        """
        assert trials.bonafide is not None
        self._labels: Booleans = trials.bonafide
        self._crop, self._batch_rows, self._window_samples, self._seed = crop, batch_rows, window_samples, seed
        self._rank, self._world, self._pin = rank, world, pin
        workers = loading.worker_count
        self._parts = max(1, workers)
        self._budget = torch.tensor([loading.cache_bytes()]).share_memory_()  # type: ignore[no-untyped-call]
        self._orders = _Orders()
        self._by_worker: dict[int, CacheStatistics] = {}
        processes = self._parts * ranks_here()
        tier = None if loading.disk is None else DiskTier(loading.disk, loading.disk_mib * _MIB).shared_by(processes)
        reader = Reader(
            trials.ids, trials.columns["path"], crop, budget=self._budget, parts=self._parts, tier=tier, coding=coding
        )
        self._loader: DataLoader[Share] = DataLoader(
            reader,
            batch_size=None,
            sampler=self._orders,
            num_workers=workers,
            prefetch_factor=loading.prefetch if workers else None,
            persistent_workers=workers > 0,
            collate_fn=_as_it_is,  # type: ignore[arg-type]  # without batching it is given one share
            worker_init_fn=begin_worker,
            generator=torch.Generator(),  # else each epoch would draw from the one that seeds dropout
        )
        self._shares: Any = None
        self._told_of_disk = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # torch reports a worker's death wherever the main process happens to be, in the middle of a step as well.
        lost = None if error is None else self._lost(error)
        self.close()
        if lost is not None:
            raise lost from error

    def close(self) -> None:
        """End the workers. Harmless when repeated."""
        shares, self._shares = self._shares, None
        if shares is not None and hasattr(shares, "_shutdown_workers"):
            try:
                shares._shutdown_workers()
            finally:
                for worker in shares._workers:  # still in a recording: the SIGTERM of torch is nothing to it
                    if worker.is_alive():
                        worker.kill()
                        worker.join()

    @property
    def cache_bytes(self) -> int:
        """What all caches may hold together now."""
        return int(self._budget[0])

    def shrink_cache(self, to_bytes: int) -> None:
        """Let all caches together hold no more than this; each worker does so before its next order."""
        self._budget[0] = min(int(self._budget[0]), max(0, to_bytes))

    def disk_news(self) -> str:
        """What to say of the folder on disk: that it takes no more, once; else nothing."""
        if self._told_of_disk or not self.statistics.disk_ended:
            return ""
        self._told_of_disk = True
        return (
            "nothing more is stored on disk: loading.disk holds all that loading.disk_mib allows, or its disk is full or "
            "gone; what is not there is decoded each time that it is not in memory"
        )

    @property
    def held_bytes(self) -> int:
        """What all caches together held when each was heard of last."""
        return self.statistics.held_bytes

    @property
    def statistics(self) -> CacheStatistics:
        """Of all workers' caches, as of what each has given back last."""
        return sum(self._by_worker.values(), CacheStatistics())

    def epoch(self, plan: Plan, epoch: int, *, epochs: int, start: int = 0) -> Iterator[Batch]:
        """The batches of a training epoch from number ``start`` on: random crops, and whole batches alone.

        Those before ``start`` are not read. Raises `DataError` ``too_few`` when there is not one batch, and on the way
        ``worker_lost`` when a worker was killed or found no memory, ``reading`` when the machine failed to read a
        recording twice, and ``coding`` when a codec failed.
        """
        if self._batch_rows % plan.unit or self._batch_rows < plan.unit * self._world:
            raise DataError(
                "too_few",
                f"a batch of {self._batch_rows} trials cannot be shared by {self._world} ranks in units of {plan.unit}: "
                f"it must be a multiple of {plan.unit}, and {plan.unit * self._world} at the least",
            )
        batches = plan.batches(self._batch_rows)
        if not batches:
            raise DataError(
                "too_few",
                f"an epoch of {len(plan)} trials holds not one batch of {self._batch_rows}: take smaller ones",
            )
        lengths = lengths_of(self._crop, self._window_samples, batches, seed=self._seed, epoch=epoch, epochs=epochs)
        return self._batches(plan, epoch, start, batches, lengths)

    def first_windows(self, rows: Integers | None = None) -> Iterator[Batch]:
        """The first window of each trial (of ``rows``, in that order) once, the last batch as long as it is: for scoring,
        as the published code does."""
        plan = in_turn(len(self._labels)) if rows is None else in_turn(len(rows)).at(rows)
        batches = plan.batches(self._batch_rows, whole=False)
        return self._batches(plan, -1, 0, batches, np.full(batches, self._window_samples))

    def _batches(self, plan: Plan, epoch: int, start: int, batches: int, lengths: Integers) -> Iterator[Batch]:
        self._orders.upcoming = self._ordered(plan, epoch, range(start, batches), lengths)
        asked = time.perf_counter()
        try:
            shares = iter(self._loader)  # with workers that live on, always the one iterator, begun anew
            self._shares = shares
            for number in range(start, batches):
                parts = [_sound(next(shares)) for _ in range(self._parts)]
                waited = time.perf_counter() - asked
                yield self._batch(plan, epoch, number, parts, waited)
                asked = time.perf_counter()
        except RuntimeError as error:
            if (lost := self._lost(error)) is not None:
                raise lost from error
            raise

    def _lost(self, error: BaseException) -> DataError | None:
        """What to say when torch tells that a worker is gone; None for every other error."""
        if not isinstance(error, RuntimeError) or not str(error).startswith("DataLoader worker"):
            return None
        return lost_worker(worker.exitcode for worker in getattr(self._shares, "_workers", ()))

    def _mine(self, plan: Plan, number: int) -> Integers:
        """Positions of this rank in batch ``number``."""
        first = number * self._batch_rows
        positions = np.arange(first, min(first + self._batch_rows, len(plan)))
        return np.asarray(positions[(positions - first) // plan.unit % self._world == self._rank])

    def _ordered(self, plan: Plan, epoch: int, numbers: range, lengths: Integers) -> Iterator[Order]:
        """An order for each worker, in turn, for each batch: torch hands them out in this turn."""
        training = epoch >= 0
        for number in numbers:
            positions = self._mine(plan, number)
            rows = plan.rows[positions]
            places = positions_of(self._seed, epoch, plan.places[positions]) if training else np.zeros(len(positions))
            keys = row_keys(self._seed, Purpose.CODEC, epoch, plan.draws[positions]) if training else None
            for worker in range(self._parts):
                at = np.flatnonzero(rows % self._parts == worker)
                yield Order(at, rows[at], places[at], None if keys is None else keys[at], int(lengths[number]))

    def _batch(self, plan: Plan, epoch: int, number: int, parts: list[Share], waited: float) -> Batch:
        for part in parts:
            self._by_worker[part.worker] = part.statistics
        slots = np.concatenate([part.slots for part in parts])
        order = np.argsort(slots)
        if len(parts) == 1 and not self._pin:
            waveforms = parts[0].waveforms
        else:
            length = parts[0].waveforms.shape[1]
            waveforms = torch.empty((len(slots), length), dtype=torch.float32, pin_memory=self._pin)
            place = np.argsort(order)
            done = 0
            for part in parts:
                waveforms[torch.from_numpy(place[done : done + len(part.slots)])] = part.waveforms
                done += len(part.slots)
        positions = self._mine(plan, number)[slots[order]]
        rows = plan.rows[positions]
        return Batch(
            waveforms,
            torch.from_numpy(self._labels[rows].astype(np.int64)),
            rows,
            plan.draws[positions],
            positions,
            epoch,
            number,
            tuple(fault for part in parts for fault in part.faults),
            self.statistics,
            waited,
        )


class _Orders(Sampler[Order]):
    """The orders of the epoch that is about to begin."""

    def __init__(self) -> None:
        self.upcoming: Iterator[Order] = iter(())

    def __iter__(self) -> Iterator[Order]:
        return self.upcoming


def _as_it_is(share: Share) -> Share:
    return share


def _sound(share: Share) -> Share:
    """The share; `DataError` where its worker met what ends the run."""
    if share.failure is not None:
        raise DataError(*share.failure)
    return share
