"""The last line of a table: when, by which script, on what machine and with which versions it was measured."""

from __future__ import annotations

import platform
import time
from importlib import metadata
from pathlib import Path

import psutil


def footer(script: str, *packages: str) -> str:
    """``Measured 2026-11-24 by `python benchmarks/graph.py` on 2 cores of ...; Python 3.11.2, torch 2.13.0.``"""
    facts = Path("/proc/cpuinfo").read_text().splitlines()
    processor = next((line.split(":", 1)[1].strip() for line in facts if "model name" in line), platform.processor())
    versions = [f"Python {platform.python_version()}", *(f"{name} {metadata.version(name)}" for name in packages)]
    return (
        f"Measured {time.strftime('%Y-%m-%d')} by `python benchmarks/{script}` on {psutil.cpu_count()} cores of "
        f"{processor}; {', '.join(versions)}."
    )
