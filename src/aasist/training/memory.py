"""Memory watched while training runs: what is left under every limit, and what gives way before it is gone."""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import psutil
import torch

CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
STATUS = Path("/proc/self/status")

RESERVE_SHARE, RESERVE_BYTES = 0.10, 4 << 30
"""What is kept free: a tenth of the limit, never more than 4 GiB. Below it, caches shrink."""

STOP_SHARE, STOP_BYTES = 0.02, 512 << 20
"""What is left when a run must end to be there tomorrow."""

CHECK_SECONDS = 1.0


class Shrinkable(Protocol):
    """Something that holds memory it can do without."""

    @property
    def cache_bytes(self) -> int:
        """What it may hold now."""
        ...

    @property
    def held_bytes(self) -> int:
        """What it was last known to hold."""
        ...

    def shrink_cache(self, to_bytes: int) -> None:
        """Hold no more than this from now on."""
        ...


def available_bytes(limit_bytes: int | None = None, *, cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """What this process and its workers may still take, in bytes: the least of what the machine has left, what every
    cgroup above leaves (its page cache counts as free: it gives way), and ``limit_bytes`` less what they hold."""
    left = [int(psutil.virtual_memory().available)]
    left += [limit - used for limit, used in _cgroups(cgroup, membership)]
    if limit_bytes is not None:
        left.append(limit_bytes - resident_bytes())
    return max(0, min(left))


def total_bytes(limit_bytes: int | None = None, *, cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """The least of all limits: the machine's memory, its cgroups', ``limit_bytes``."""
    limits = [int(psutil.virtual_memory().total), *(limit for limit, _ in _cgroups(cgroup, membership))]
    return min([*limits, *([] if limit_bytes is None else [limit_bytes])])


def resident_bytes() -> int:
    """What this process and all below it hold in memory; pages that they share count once, where the system tells."""
    own = psutil.Process()
    total = 0
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.Error):  # ended meanwhile, or not ours to ask
            memory = process.memory_full_info()
            total += int(getattr(memory, "pss", memory.rss))
    return total


class MemoryGuard:
    """Looks at the memory between two steps; caches give way first, and the run ends cleanly before it would be killed.

    ``peak`` is what a step took beyond what is held between two steps, since ``forget`` was called: the most so far will
    be needed again. ``must_stop``: not even an empty cache leaves enough, and the loop should save and end.
    """

    def __init__(
        self,
        limit_bytes: int | None = None,
        *,
        available: Callable[[], int] | None = None,
        total: int | None = None,
        peak: Callable[[], int] | None = None,
        forget: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        total = total_bytes(limit_bytes) if total is None else total
        self.reserve_bytes = int(min(RESERVE_SHARE * total, RESERVE_BYTES))
        self.stop_bytes = int(min(STOP_SHARE * total, STOP_BYTES))
        self.must_stop = False
        self.shrinks = 0
        self._available = available or (lambda: available_bytes(limit_bytes))
        self._peak, self._forget = peak or step_peak_bytes, forget or forget_peak
        self._most_bytes = 0
        self._has_shrunk = False
        self._clock = clock
        self._next = clock()
        self._forget()

    def check(self, cache: Shrinkable) -> None:
        """Look, at most once a second, and act. Call it between two steps: nothing else is a moment to collect at."""
        if self._clock() < self._next:
            return
        left = self._available() - self._step_peak()
        if left < self.reserve_bytes:
            if cache.cache_bytes:
                # A budget that is not used up is nothing that could be given back.
                held = min(cache.cache_bytes, cache.held_bytes)
                cache.shrink_cache(0 if left < self.stop_bytes else max(0, held - 2 * (self.reserve_bytes - left)))
                self.shrinks += 1
                self._has_shrunk = True
            else:  # what caches were told a step ago, they have done by now
                self.must_stop |= left < self.stop_bytes
            relieve()
        self._next = self._clock() + CHECK_SECONDS

    def _step_peak(self) -> int:
        """The most that a step took so far. What the cache of this very process has given back meanwhile would look like a
        step's, as much as was gained: after a shrink the measuring begins anew."""
        if self._has_shrunk:
            self._forget()
            self._has_shrunk = False
        else:
            self._most_bytes = max(self._most_bytes, self._peak())
        return self._most_bytes

    @property
    def warning(self) -> str:
        """What to tell a user when the run had to stop."""
        return (
            "memory ran short, and the run was saved and stopped before the system would have killed it: "
            "take smaller batches, fewer workers or a smaller cache, or give it more memory, and resume"
        )


def relieve() -> None:
    """Collect garbage and empty the CUDA cache: at the end of an epoch, and when memory is short; never in a step."""
    gc.collect()
    torch.cuda.empty_cache()  # nothing where CUDA is not in use


def forget_peak() -> None:
    """Let the peak of this process be what it holds now, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def step_peak_bytes(status: Path = STATUS) -> int:
    """The most that this process has held since `forget_peak`, less what it holds now; 0 where the system is silent."""
    kibibytes = {}
    with suppress(OSError, ValueError):
        for line in status.read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("VmHWM", "VmRSS"):
                kibibytes[name] = int(value.split()[0])
    return 1024 * max(0, kibibytes.get("VmHWM", 0) - kibibytes.get("VmRSS", sys.maxsize))


def _cgroups(cgroup: Path, membership: Path) -> Iterator[tuple[int, int]]:
    """Limit and use, in bytes, of the process's cgroup and of those above it, where there is a limit."""
    try:
        lines = [line.split(":", 2) for line in membership.read_text().splitlines()]
    except OSError:
        lines = []
    # (version 2) and (version 1): folder, limit, use, and the page cache in memory.stat, in which 1 names sums apart.
    for controller, root, limit, use, prefix in (
        ("", cgroup, "memory.max", "memory.current", ""),
        ("memory", cgroup / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"),
    ):
        own = next((line[2].strip("/") for line in lines if len(line) == 3 and controller in line[1].split(",")), "")
        for folder in (Path(own), *Path(own).parents):
            with suppress(OSError, ValueError):  # not there, or "max"
                most, used = (int((root / folder / name).read_text()) for name in (limit, use))
                if most < 1 << 60:  # version 1 writes a huge number for none
                    yield most, used - _page_cache_bytes(root / folder / "memory.stat", prefix)


def _page_cache_bytes(file: Path, prefix: str) -> int:
    names = {f"{prefix}inactive_file", f"{prefix}active_file"}
    with suppress(OSError, ValueError):
        lines = (line.split() for line in file.read_text().splitlines())
        return sum(int(value) for name, value in lines if name in names)
    return 0
