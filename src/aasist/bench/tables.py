"""Rows as tables: of times, and of layers against the roofline."""

from __future__ import annotations

from collections.abc import Sequence

from aasist.bench.contender import Contender, Row
from aasist.bench.roofline import Layer
from aasist.evaluation.tables import NOTHING, Table


def times_table(rows: Sequence[Row], failures: Sequence[Contender] = ()) -> Table:
    """A line each, those that have no row behind them with nothing in it; columns without any figure are left out."""
    columns = (
        "model", "runtime", "precision", "threads", "batch", "ms a window: p50", "p95", "p99", "times real time",
        "peak MB", "load, s", "J a window", "times the published one",
    )  # fmt: skip
    lines = [_line(row) for row in rows]
    lines += [(*_who(contender), *[NOTHING] * (len(columns) - 5)) for contender in failures]
    told = [i for i in range(len(columns)) if i < 5 or any(line[i] != NOTHING for line in lines)]
    return Table(tuple(columns[i] for i in told), tuple(tuple(line[i] for i in told) for line in lines))


def _who(contender: Contender) -> tuple[str, ...]:
    return (
        contender.model,
        contender.runtime,
        contender.precision,
        str(contender.threads),
        str(contender.batch),
    )


def _line(row: Row) -> tuple[str, ...]:
    ratio = row.ratio_to_reference
    return (
        *_who(row.contender),
        *(milliseconds(row.percentile(percent)) for percent in (50, 95, 99)),
        f"{row.times_real_time:,.0f}",
        f"{row.peak_memory_mb:,.0f}",
        f"{row.load_seconds:.2f}",
        NOTHING if row.joules is None else f"{row.joules:.3f}",
        NOTHING if ratio is None else f"{ratio:.1f}",
    )


def milliseconds(value: float) -> str:
    """Three digits at the least: 4.13, 41.3, 413."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def layers_table(layers: Sequence[Layer]) -> Table:
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
