"""The roofline: what a model asks of the machine against what the machine could do at best, layer by layer.

Williams, Waterman and Patterson, "Roofline: an insightful visual performance model", CACM 2009: work takes at the least
its multiplications over the peak of those, or its bytes over the peak of those, whichever is longer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aasist.bench.layers import name_of
from aasist.bench.nodes import Node
from aasist.bench.peaks import Peaks


@dataclass(frozen=True)
class LayerReached:
    """Of one window of 64,600 samples."""

    name: str
    gflop: float
    """Computed: of the folded sinc layer half of what it is defined as."""
    megabytes: float
    """Read and written by the nodes of ONNX Runtime's optimised graph, weights included."""
    share_of_time: float
    """Of the whole run, under the profiler."""
    milliseconds: float
    """That share of what the whole took without a profiler."""
    least_ms: float | None
    """What the machine's peaks would allow; None where none was measured in this precision."""

    @property
    def reached(self) -> float | None:
        """Share of the roofline, 1 at the best; above where caches spare memory the bytes that are counted."""
        return None if self.least_ms is None or not self.milliseconds else self.least_ms / self.milliseconds


def layers_reached(
    nodes: Sequence[Node], work: Sequence[Node], peaks: Peaks, *, precision: str, whole_ms: float, scale: float = 1.0
) -> list[LayerReached]:
    """A layer each, in the order of the model, and last the whole.

    ``nodes`` tell the times, of whatever runtime; ``work`` what is to be computed; ``whole_ms`` is the median without a
    profiler. ``scale`` takes the work of a window to that of 64,600 samples.
    """
    total = sum(node.milliseconds for node in nodes) or 1.0
    found = []
    for place in sorted({node.place for node in (*nodes, *work)}):
        share = sum(node.milliseconds for node in nodes if node.place == place) / total
        gflop = scale * sum(node.gflop for node in work if node.place == place)
        megabytes = scale * sum(node.megabytes for node in work if node.place == place)
        # Node by node: none can be computed while another waits for memory.
        bounds = [
            peaks.at_most(precision, scale * node.gflop, scale * node.megabytes) for node in work if node.place == place
        ]
        least = None if any(bound is None for bound in bounds) else sum(bound for bound in bounds if bound is not None)
        found.append(LayerReached(name_of(place), gflop, megabytes, share, share * whole_ms, least))
    least = None
    if all(layer.least_ms is not None for layer in found):
        least = sum(layer.least_ms or 0.0 for layer in found)
    whole = LayerReached("all", sum(o.gflop for o in found), sum(o.megabytes for o in found), 1.0, whole_ms, least)
    return [*found, whole]
