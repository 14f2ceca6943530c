"""Rows against the roofline of the machine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aasist.bench.child import asked
from aasist.bench.contender import Contender, Row
from aasist.bench.contest import ALONE_SECONDS, Moved
from aasist.bench.entries import Entry
from aasist.bench.nodes import PROFILED, Node
from aasist.bench.peaks import Peaks, peaks
from aasist.bench.roofline import LayerReached, layers_reached
from aasist.errors import AasistError
from aasist.runtime import irfile

WORK = "onnxruntime"
"""Whose profiler tells what there is to compute: it is there in every install."""


@dataclass
class Survey:
    """What was found."""

    peaks: dict[int, Peaks] = field(default_factory=dict)
    """By threads."""
    layers: dict[Contender, list[LayerReached]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    """Sentences about what could not be told."""


def profiled(rows: Iterable[Row]) -> list[Row]:
    """Those whose runtime tells the times of its nodes; of each model, runtime and precision the row with fewest threads
    and, of those, the smallest batch, since a profile is of one window."""
    least: dict[tuple[str, str, str], Row] = {}
    for row in sorted(rows, key=lambda row: (row.contender.threads, row.contender.batch)):
        c = row.contender
        if c.runtime in PROFILED and not c.path.endswith(irfile.SUFFIX):
            least.setdefault((c.path, c.runtime, c.precision), row)
    return list(least.values())


def survey(rows: Sequence[Row], entries: Sequence[Entry], moved: Moved) -> Survey:
    """The peaks of the machine, and the layers of every row that can be profiled. Nothing raises: what fails is a sentence."""
    found = Survey()
    chosen = profiled(rows)
    files = {entry.file: entry for entry in entries}
    precisions = sorted({row.contender.precision for row in chosen})
    runtimes = sorted({row.contender.runtime for row in rows})
    total = len(chosen)
    for threads in sorted({row.contender.threads for row in chosen}):
        moved("roofline", 0, total, f"peaks of the machine, {threads} threads")
        try:
            found.peaks[threads] = peaks(threads, precisions, runtimes)
        except AasistError as error:
            found.failures.append(f"the peaks of the machine on {threads} threads: {error.message}")
    work: dict[str, list[Node]] = {}
    for done, row in enumerate(chosen):
        contender = row.contender
        moved("roofline", done, total, f"profiling {contender}")
        if contender.threads not in found.peaks or contender.path not in files:
            continue
        try:
            nodes = _nodes(contender, contender.runtime, contender.precision)
            if contender.path not in work:
                known = contender.runtime == WORK
                work[contender.path] = nodes if known else _nodes(contender, WORK, files[contender.path].precision)
        except AasistError as error:
            found.failures.append(f"{contender}: no profile: {error.message}")
            continue
        found.layers[contender] = layers_reached(
            nodes,
            work[contender.path],
            found.peaks[contender.threads],
            precision=contender.precision,
            whole_ms=row.p50_ms,
            scale=contender.of_window(1.0) * contender.batch,
        )
    return found


def _nodes(contender: Contender, runtime: str, precision: str) -> list[Node]:
    arguments: dict[str, Any] = {
        "path": contender.path,
        "runtime": runtime,
        "precision": precision,
        "threads": contender.threads,
    }
    told = asked("aasist.bench.nodes:measure", arguments, silence_seconds=ALONE_SECONDS)
    return [Node(int(place), *values) for place, *values in told]
