"""The machine and the versions that figures were measured with."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from aasist.runtime.threads import available_threads

CPUINFO = Path("/proc/cpuinfo")


def processor(cpuinfo: Path = CPUINFO) -> str:
    """The processor's name as the system tells it."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def cores() -> str:
    """``4 cores``, or ``2 of 64 cores`` where affinity or a quota keeps the process from the others."""
    count, usable = os.cpu_count() or 1, available_threads()
    of = f"{count} core" if count == 1 else f"{count} cores"
    return of if usable >= count else f"{usable} of {of}"


def versions(packages: Sequence[str]) -> str:
    """``Python 3.11.2, onnxruntime 1.20.0``: Python and those of ``packages`` that are installed."""
    parts = [f"Python {platform.python_version()}"]
    for package in packages:
        try:
            parts.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return ", ".join(parts)


def measured_by(command: str, packages: Sequence[str]) -> str:
    """The last line of a table: when, by which command, on what machine and with which versions it was measured."""
    return f"Measured {time.strftime('%Y-%m-%d')} by `{command}` on {cores()} of {processor()}; {versions(packages)}."
