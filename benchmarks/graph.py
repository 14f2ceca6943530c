"""Times graph attention alone: ours, a loop over graphs, a loop over nodes, the published form; writes docs/graph-table.md.

    python benchmarks/graph.py [--rounds 5] [--quick]

A point is one homogeneous layer (64 -> 64) and one heterogeneous layer (64 -> 32, half of the nodes of either kind),
forward and backward, on so many graphs of so many nodes. All forms hold the same weights and are seen to give the same
before they are timed, in turns. Peak memory is what a point adds to a fresh process of its own. Needs torch.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor
from torch.nn import functional

from aasist.model.graph import GraphAttention, HeterogeneousAttention, node_norm
from footer import footer
from published import heterogeneous, homogeneous

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "graph-table.md"
DIM, OUT = 64, 32
BATCHES, NODES = (1, 8, 64, 256), (16, 32, 64, 256, 512)
MOST_BYTES = 6 << 30
MOST_SECONDS = 20.0
"""Of a loop over nodes or graphs at one point, as far as can be told beforehand."""
LONG_SECONDS = 4.0
"""A turn of all forms that takes longer is taken once more only."""

Forward = Callable[[Tensor, Tensor, Tensor, Tensor], list[Tensor]]


class Layers:
    """Both layers; each method maps nodes (B, N, D), temporal, spectral and master (B, 1, D) to what the layers give."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.same = GraphAttention(DIM, DIM, 2.0, 0.0).train()
        self.mixed = HeterogeneousAttention(DIM, OUT, 100.0, 0.0).train()

    def ours(self, nodes: Tensor, temporal: Tensor, spectral: Tensor, master: Tensor) -> list[Tensor]:
        return [self.same(nodes), *self.mixed(temporal, spectral, master)]

    def published(self, nodes: Tensor, temporal: Tensor, spectral: Tensor, master: Tensor) -> list[Tensor]:
        return [homogeneous(self.same, nodes), *heterogeneous(self.mixed, temporal, spectral, master)]

    def by_graph(self, nodes: Tensor, temporal: Tensor, spectral: Tensor, master: Tensor) -> list[Tensor]:
        """Everything but the batch norms one graph at a time, in the published formulation."""
        return self._looped(nodes, temporal, spectral, master, by_node=False)

    def by_node(self, nodes: Tensor, temporal: Tensor, spectral: Tensor, master: Tensor) -> list[Tensor]:
        """The same one node at a time."""
        return self._looped(nodes, temporal, spectral, master, by_node=True)

    def _looped(
        self, nodes: Tensor, temporal: Tensor, spectral: Tensor, master: Tensor, *, by_node: bool
    ) -> list[Tensor]:
        same, mixed, count = self.same, self.mixed, temporal.shape[1]
        gather = _of_nodes if by_node else _of_graph
        homogeneous_sums, heterogeneous_sums, masters = [], [], []
        for graph in range(len(nodes)):
            one = nodes[graph]
            weights = same.pair_weight.expand(-1, 3)
            homogeneous_sums.append(same.attended(gather(one, len(one), same, weights)) + same.own(one))
            parts = mixed.temporal_projection(temporal[graph]), mixed.spectral_projection(spectral[graph])
            both, top = torch.cat(parts), master[graph]
            weights = torch.cat([mixed.temporal_weight, mixed.cross_weight, mixed.spectral_weight], dim=1)
            heterogeneous_sums.append(mixed.attended(gather(both, count, mixed, weights)) + mixed.own(both))
            to_master = torch.tanh(mixed.master_projection(both * top)) @ mixed.master_weight
            share = functional.softmax(to_master / mixed.temperature, dim=0)
            masters.append(mixed.master_attended(share.T @ both) + mixed.master_own(top))
        first = functional.selu(node_norm(same.norm, torch.stack(homogeneous_sums)))
        second = functional.selu(node_norm(mixed.norm, torch.stack(heterogeneous_sums)))
        return [first, second[:, :count], second[:, count:], torch.stack(masters)]


def _of_graph(nodes: Tensor, count: int, layer: GraphAttention | HeterogeneousAttention, weights: Tensor) -> Tensor:
    """Nodes (N, D) of a graph, the first ``count`` temporal -> what each gathers (N, D)."""
    pairs = torch.tanh(layer.pair_projection(nodes.unsqueeze(0) * nodes.unsqueeze(1))) @ weights
    upper = torch.cat([pairs[:count, :count, 0], pairs[:count, count:, 1]], dim=1)
    lower = torch.cat([pairs[count:, :count, 1], pairs[count:, count:, 2]], dim=1)
    return functional.softmax(torch.cat([upper, lower]) / layer.temperature, dim=-1) @ nodes


def _of_nodes(nodes: Tensor, count: int, layer: GraphAttention | HeterogeneousAttention, weights: Tensor) -> Tensor:
    """The same, a node at a time."""
    gathered = []
    for index, node in enumerate(nodes):
        pairs = torch.tanh(layer.pair_projection(node * nodes)) @ weights
        kind = 0 if index < count else 1
        scores = torch.cat([pairs[:count, kind], pairs[count:, kind + 1]])
        gathered.append(functional.softmax(scores / layer.temperature, dim=0) @ nodes)
    return torch.stack(gathered)


FORMS = {"ours": Layers.ours, "published": Layers.published, "graphs": Layers.by_graph, "nodes": Layers.by_node}


def inputs(batch: int, count: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(1)
    half = count // 2
    shapes = (batch, count, DIM), (batch, half, DIM), (batch, count - half, DIM), (batch, 1, DIM)
    return [torch.randn(shape, generator=random).requires_grad_() for shape in shapes]


def run(form: str, layers: Layers, given: list[Tensor]) -> list[Tensor]:
    """One pass forward and backward -> outputs and gradients of the inputs."""
    for tensor in given:
        tensor.grad = None
    out = FORMS[form](layers, *given)
    torch.autograd.backward(out, [torch.ones_like(part) for part in out])
    return [*(part.detach() for part in out), *(tensor.grad for tensor in given if tensor.grad is not None)]


def check() -> None:
    """All four forms give the same, and the same gradients."""
    layers, given = Layers(), inputs(3, 21)
    expected = run("published", layers, given)
    for form in FORMS:
        for got, wanted in zip(run(form, layers, given), expected, strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-4)


def seconds(forms: list[str], batch: int, count: int, rounds: int) -> dict[str, float]:
    """Median time of each form, in turns."""
    layers, given = Layers(), inputs(batch, count)
    times: dict[str, list[float]] = {form: [] for form in forms}
    turns = rounds + 1
    turn = 0
    while turn < turns:
        for form in forms:
            start = time.perf_counter()
            run(form, layers, given)
            times[form].append(time.perf_counter() - start)
        if turn == 0 and sum(map(sum, times.values())) > LONG_SECONDS:
            turns = 2
        turn += 1
    return {form: float(np.median(measured[1:])) for form, measured in times.items()}  # the first warms up


def peak_bytes(form: str, batch: int, count: int) -> int:
    """What one pass adds to a fresh process's peak memory, over its inputs."""
    words = [sys.executable, __file__, "--child", form, str(batch), str(count)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout))


def child(form: str, batch: int, count: int) -> None:
    torch.set_num_threads(2)
    layers = Layers()
    run(form, layers, inputs(1, 4))  # what PyTorch itself takes at first
    given = inputs(batch, count)
    before = psutil.Process().memory_info().rss
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    run(form, layers, given)
    status = Path("/proc/self/status").read_text()
    peak = 1024 * int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
    print(max(peak - before, 0))


def published_bytes(batch: int, count: int) -> int:
    """What the published form takes at the least: products and tanh of all pairs, and their gradients."""
    return 4 * batch * count * count * 4 * DIM


def table(rounds: int, points: list[tuple[int, int]]) -> list[str]:
    lines = [
        "| graphs | nodes | ours, ms | a loop over nodes | a loop over graphs | published form "
        "| ours, peak MiB | published, peak MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for batch, count in points:
        forms = ["ours"]
        fits = published_bytes(batch, count) <= MOST_BYTES
        # A loop's turn takes some 0.6 ms a node, and a graph no less than its share of the published form's time.
        guess = {"graphs": batch * (2e-3 + 5e-8 * count * count * DIM), "nodes": batch * count * 1e-3}
        forms += ["published"] if fits else []
        forms += [form for form, expected in guess.items() if fits and expected < MOST_SECONDS]
        found = seconds(forms, batch, count, rounds)
        cells = [f"{batch}", f"{count}", f"{1000 * found['ours']:.1f}"]
        for form in ("nodes", "graphs", "published"):
            reason = "over 6 GB" if not fits else "too long"
            cells.append(f"{found[form] / found['ours']:.1f} x" if form in found else reason)
        cells.append(f"{peak_bytes('ours', batch, count) / 2**20:.0f}")
        cells.append(f"{peak_bytes('published', batch, count) / 2**20:.0f}" if fits else "over 6 GB")
        lines.append(f"| {' | '.join(cells)} |")
        print(lines[-1], file=sys.stderr, flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="the points that the targets name alone; writes nothing")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        form, batch, count = arguments.child
        child(form, int(batch), int(count))
        return
    torch.set_num_threads(min(2, psutil.cpu_count() or 1))
    check()
    points = [(64, 32), (8, 256)] if arguments.quick else [(batch, count) for batch in BATCHES for count in NODES]
    lines = table(arguments.rounds, points)
    lines += [
        "",
        "Forward and backward of a homogeneous layer (64 to 64) and a heterogeneous one (64 to 32); `3.0 x`: three times as "
        f"long as ours. {footer('graph.py', 'torch')}",
    ]
    print("\n".join(lines))
    if not arguments.quick:
        TABLE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
