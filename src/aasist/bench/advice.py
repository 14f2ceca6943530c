"""Which of the rows to take."""

from __future__ import annotations

from collections.abc import Sequence

from aasist.bench.contender import Row

CLOSE = 1.05
"""What is slower by less is as fast: rounds differ by as much."""
WORTH = 1.1
"""A precision that moves scores is named where it is faster by as much."""


def recommended(rows: Sequence[Row], model: str) -> Row | None:
    """The row of ``model`` to take: the quickest in fp32 (or in what the file is), which gives the scores that its
    thresholds were chosen for; of those about as quick the one with fewest threads, least memory. None without rows."""
    of_model = [row for row in rows if row.contender.model == model]
    faithful = [row for row in of_model if row.contender.precision == "fp32"] or of_model
    if not faithful:
        return None
    quickest = min(row.p50_ms for row in faithful)
    close = [row for row in faithful if row.p50_ms <= CLOSE * quickest]
    return min(close, key=lambda row: (row.contender.threads, row.peak_memory_mb, row.contender.batch, row.p50_ms))


def quicker(rows: Sequence[Row], than: Row) -> Row | None:
    """The quickest row of the same model in another precision, where it is worth it."""
    others = [
        row
        for row in rows
        if row.contender.model == than.contender.model and row.contender.precision != than.contender.precision
    ]
    best = min(others, key=lambda row: row.p50_ms, default=None)
    return best if best is not None and WORTH * best.p50_ms <= than.p50_ms else None


def advice(rows: Sequence[Row], default: str) -> str:
    """One line: what to run. Of ``default`` where it was timed, else of the model that is quickest; without rows empty."""
    if not rows:
        return ""
    timed = {row.contender.model for row in rows}
    model = default if default in timed else min(rows, key=lambda row: row.p50_ms).contender.model
    best = recommended(rows, model)
    assert best is not None
    line = f"recommended: {_said(best)}"
    other = quicker(rows, best)
    if other is not None:
        line += f"; {_said(other, best)} moves scores: calibrate it before its verdicts are compared"
    return line


def _said(row: Row, known: Row | None = None) -> str:
    """A row in words; beside ``known``, of the same model, what differs."""
    c = row.contender
    threads = "1 thread" if c.threads == 1 else f"{c.threads} threads"
    batch = "" if c.batch == 1 else f", batch {c.batch}"
    head = c.runtime if known is not None else f"{c.model} on {c.runtime}"
    return (
        f"{head} in {c.precision}, {threads}{batch} ({row.p50_ms:.1f} ms a window, {row.times_real_time:,.0f} times real "
        f"time, {row.peak_memory_mb:.0f} MB)"
    )
