"""How many threads this process may really use."""

import os
from dataclasses import dataclass
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


BATCH_WINDOWS = 1
"""Windows that a run scores at once: measured, a window takes as much processor time in batches of 2 and 4 (docs/log.md), while
a file of two windows would keep but one of two threads busy, and each batch takes the memory of all its windows."""

ACTIVATION_BYTES = 192 << 20
"""What all windows being scored may take at a time: 12 windows of the shipped model, on however many cores."""

SERIAL_SHARE = 0.32
"""Share of a run that a second thread does not shorten: measured on two cores, 25 ms a window against 38."""


@dataclass(frozen=True)
class Division:
    """How threads are used: ``runs`` of the model side by side, each of ``batch_windows`` windows on ``threads_each``."""

    runs: int = 1
    batch_windows: int = BATCH_WINDOWS
    threads_each: int = 1

    @property
    def speed(self) -> float:
        """How many times as fast as one run on one thread it should be: by Amdahl's law within a run."""
        return self.runs / (SERIAL_SHARE + (1 - SERIAL_SHARE) / self.threads_each)


def divided(threads: int, window_bytes: int | None) -> Division:
    """The fastest use of ``threads`` that keeps within `ACTIVATION_BYTES`, given what one window takes (None: unknown).

    A thread to each run is best, not all threads to one: measured on two cores 19 ms a window against 25. Each run takes
    the memory of a window, though: so threads share runs where no more windows fit, and where that is faster than leaving
    some idle.
    """
    if window_bytes is None:
        return Division(threads_each=threads)
    windows = max(1, ACTIVATION_BYTES // window_bytes)
    divisions = (Division(runs=runs, threads_each=threads // runs) for runs in range(1, min(threads, windows) + 1))
    # Of equals the first, which takes the least memory.
    return max(divisions, key=lambda division: division.speed)


def available_threads(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> int:
    """Cores in the process's affinity, or fewer if its cgroup's quota allows fewer; at least 1.

    ONNX Runtime counts the host's cores and ignores both, and is slower for it in a container.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(cgroup, membership)
    return max(1, min(cores, int(quota) if quota is not None else cores))


def cgroup_quota(cgroup: Path = CGROUP, membership: Path = MEMBERSHIP) -> float | None:
    """Processors that the quota comes to, the smallest of the process's cgroup and those above it; None: no limit.

    In a container the cgroup is the root of what can be seen; under systemd or a batch system it lies deeper, and
    ``membership`` says where.
    """
    quotas = [_quota(folder / "cpu.max") for folder in _folders(cgroup, membership)]
    known = [quota for quota in quotas if quota is not None]
    return min(known) if known else _quota_of_version_1(cgroup / "cpu")


def _folders(cgroup: Path, membership: Path) -> list[Path]:
    """The process's own cgroup and all above it, up to the root that can be seen."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        lines = []
    own = next((line[3:].strip("/") for line in lines if line.startswith("0::")), "")
    below = Path(own)
    return [cgroup / part for part in (below, *below.parents)]


def _quota(file: Path) -> float | None:
    """Version 2: ``cpu.max`` holds quota and period, or ``max``."""
    try:
        quota, period = file.read_text().split()
        return float(quota) / float(period) if float(quota) > 0 and float(period) > 0 else None
    except (OSError, ValueError):
        return None


def _quota_of_version_1(folder: Path) -> float | None:
    """Version 1: -1 is no limit."""
    try:
        quota = float((folder / "cpu.cfs_quota_us").read_text())
        period = float((folder / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None
