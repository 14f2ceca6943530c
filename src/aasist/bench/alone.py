"""One contender in a process of its own: does it run at all, how long does it take to load, how much memory does it take."""

from __future__ import annotations

import time
from typing import Any

from aasist.bench import memory
from aasist.bench.child import Say
from aasist.bench.contender import Contender
from aasist.bench.opening import noise, opened

RUNS = 3
"""A runtime that plans its memory by the first run has its full size with the second."""


def measure(say: Say, *, contender: dict[str, Any]) -> dict[str, float]:
    """``load_seconds``, ``peak_memory_mb`` above what Python and NumPy took before, and ``run_seconds`` of the quickest run."""
    entrant = Contender(**contender)
    windows = noise(entrant.batch, entrant.window_samples)
    before = memory.held_bytes()
    start = time.perf_counter()
    session = opened(entrant)
    load_seconds = time.perf_counter() - start
    taken: list[float] = []
    for _ in range(RUNS):
        say({"run": len(taken)})
        start = time.perf_counter()
        session.run(windows)
        taken.append(time.perf_counter() - start)
    peak = max(0, memory.peak_bytes() - before) / 1e6
    return {"load_seconds": load_seconds, "peak_memory_mb": peak, "run_seconds": min(taken)}
