"""The last line of a table: when, by which script, on what machine and with which versions it was measured."""

from __future__ import annotations

from aasist.bench.machine import measured_by


def footer(script: str, *packages: str) -> str:
    """``Measured 2026-11-24 by `python benchmarks/graph.py` on 2 cores of ...; Python 3.11.2, torch 2.13.0.``"""
    return measured_by(f"python benchmarks/{script}", packages)
