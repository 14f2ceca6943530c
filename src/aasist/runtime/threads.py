"""How many threads this process may really use."""

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_threads(cgroup: Path = CGROUP) -> int:
    """Cores in the process's affinity, or fewer if its cgroup's quota allows fewer; at least 1.

    ONNX Runtime counts the host's cores and ignores both, and is slower for it in a container.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cgroup_quota(cgroup)
    return max(1, min(cores, int(quota) if quota is not None else cores))


def cgroup_quota(cgroup: Path = CGROUP) -> float | None:
    """Processors that the cgroup's quota comes to (version 2, else version 1), or None where there is no limit."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        return float(quota) / float(period) if float(quota) > 0 and float(period) > 0 else None
    except ValueError:  # "max": no limit
        return None
