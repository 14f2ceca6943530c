"""Rows as tables: of times, and of layers against the roofline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aasist.bench.contender import Contender, Row
from aasist.bench.roofline import LayerReached
from aasist.evaluation.tables import NOTHING, Table


def milliseconds(value: float) -> str:
    """Three digits at the least: 4.13, 41.3, 413."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "model": ("model", str),
    "runtime": ("runtime", str),
    "precision": ("precision", str),
    "threads": ("threads", str),
    "batch": ("batch", str),
    "p50_ms": ("ms a window: p50", milliseconds),
    "p95_ms": ("p95", milliseconds),
    "p99_ms": ("p99", milliseconds),
    "times_real_time": ("times real time", "{:,.0f}".format),
    "peak_memory_mb": ("peak MB", "{:,.0f}".format),
    "load_seconds": ("load, s", "{:.2f}".format),
    "joules": ("J a window", "{:.3f}".format),
    "ratio_to_reference": ("times the published one", "{:,.1f}".format),
}
"""Key of a row -> what the table calls it, and how it is written."""


def facts(row: Row) -> dict[str, Any]:
    """All that is known of a row: the object of ``--json``, load time and energy with it."""
    return {**row.to_dict(), "load_seconds": row.load_seconds, "joules": row.joules}


def unmeasured(contender: Contender) -> dict[str, Any]:
    """A row of who could not be timed."""
    return {name: getattr(contender, name) for name in ("model", "runtime", "precision", "threads", "batch")}


def times_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line each, from `facts`; a column of which nothing is known is left out."""
    told = {key: column for key, column in COLUMNS.items() if any(row.get(key) is not None for row in rows)}
    lines = tuple(
        tuple(NOTHING if row.get(key) is None else written(row[key]) for key, (_, written) in told.items())
        for row in rows
    )
    return Table(tuple(title for title, _ in told.values()), lines)


def layers_table(layers: Sequence[LayerReached]) -> Table:
    """Of one contender: what each layer asks of the machine, what it took, and the share of the roofline reached."""
    columns = ("layer", "GFLOP", "MB", "share of time", "ms", "GFLOP/s", "ms at the roofline", "reached")
    lines = [
        (
            layer.name,
            f"{layer.gflop:.3f}",
            f"{layer.megabytes:.1f}",
            f"{100 * layer.share_of_time:.0f} %",
            milliseconds(layer.milliseconds),
            f"{1000 * layer.gflop / layer.milliseconds:.1f}" if layer.milliseconds else NOTHING,
            NOTHING if layer.least_ms is None else milliseconds(layer.least_ms),
            NOTHING if layer.reached is None else f"{100 * layer.reached:.0f} %",
        )
        for layer in layers
    ]
    return Table(columns, tuple(lines))
