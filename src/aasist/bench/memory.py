"""Memory of this process: what it holds, and what it held at the most."""

from __future__ import annotations

import sys
from pathlib import Path

STATUS = Path("/proc/self/status")
MEMINFO = Path("/proc/meminfo")


def held_bytes(status: Path = STATUS) -> int:
    """Resident now; where the system has no ``/proc``, the most so far."""
    held = _field(status, "VmRSS")
    return peak_bytes(status) if held is None else held


def peak_bytes(status: Path = STATUS) -> int:
    """Resident at the most since the process began.

    Linux's ``VmHWM``: what ``wait4`` and ``getrusage`` tell of a child there begins with its parent's memory.
    """
    peak = _field(status, "VmHWM")
    if peak is not None:
        return peak
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def available_bytes(meminfo: Path = MEMINFO) -> int | None:
    """What new work may take without pushing anything out; None where the system does not say."""
    return _field(meminfo, "MemAvailable")


def _field(file: Path, name: str) -> int | None:
    """A line such as ``VmHWM:     1234 kB`` in bytes."""
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        key, _, value = line.partition(":")
        if key == name:
            return 1024 * int(value.split()[0])
    return None
