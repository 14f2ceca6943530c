"""Attention of both graphs: against a loop over nodes, and against what a node can hear."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from aasist.model.aasist import Aasist
from aasist.model.attention import attention, node_bands_hz, node_spans_seconds, reach_seconds
from aasist.recipe import AASIST, AASIST_L, EFFICIENT, Architecture
from aasist.session import SAMPLE_RATE, mel_edges_hz

from . import slow_twin

TINY = Architecture(
    bands=14,
    kernel_samples=17,
    sinc_stride=3,
    front_pool=(2, 4),
    level="rms",
    channels=(3, 4),
    time_pools=(3, 3),
    unused_norms=False,
    graph_dims=(4, 3),
    temperatures=(1.0, 0.5, 2.0),
)
"""7 spectral nodes, and a temporal one for every 108 samples."""


@pytest.fixture
def tiny(seeded: Callable[..., Aasist]) -> Aasist:
    return seeded(TINY)


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(seed))


def shares(weights: Any, layer: str, node: np.ndarray, others: list[np.ndarray], names: list[str], t: float) -> list:
    """What one node gathers from each of ``others``; ``names`` are the scoring vectors."""
    part = slow_twin.under(weights, layer)
    scores = [slow_twin.pair_score(part, "pair_projection", n, node, o) / t for o, n in zip(others, names, strict=True)]
    return list(slow_twin.softmax(scores))


def master_shares(weights: Any, layer: str, nodes: list[np.ndarray], master: np.ndarray, t: float) -> list[float]:
    part = slow_twin.under(weights, layer)
    scores = [slow_twin.pair_score(part, "master_projection", "master_weight", node, master) / t for node in nodes]
    return list(slow_twin.softmax(scores))


def pooled(weights: Any, pool: str, nodes: np.ndarray, ratio: float) -> tuple[list[int], list[float]]:
    """Which nodes a pool keeps, best first, and the score of every node."""
    part = slow_twin.under(weights, pool)
    scores = [slow_twin.sigmoid(float(slow_twin.linear(part, "score", node)[0])) for node in nodes]
    return sorted(range(len(nodes)), key=lambda at: -scores[at])[: max(int(len(nodes) * ratio), 1)], scores


def back(given: list[float], gathered: list[list[float]]) -> list[float]:
    """Half of what each node is given stays with it, half goes to those it gathered from."""
    out = [share / 2 for share in given]
    for giver, row in enumerate(gathered):
        for other, share in enumerate(row):
            out[other] += given[giver] * share / 2
    return out


def slow_attention(model: Aasist, waveform: np.ndarray) -> tuple[list[float], list[float], float]:
    """Temporal weights, spectral weights and the temporal share, node by node as the docstring says."""
    a, weights = model.architecture, slow_twin.weights_of(model)
    encoded = np.abs(slow_twin.features(weights, a, model.sinc.filters[:, 0].double().numpy(), waveform))
    before = {"temporal": encoded.max(axis=1).T, "spectral": encoded.max(axis=2).T + weights["spectral_position"][0]}
    temperatures = dict(zip(("spectral", "temporal"), a.temperatures, strict=False))
    ratios = {"spectral": a.spectral_ratio, "temporal": a.temporal_ratio}
    after, kept, scores, inputs = {}, {}, {}, {}
    for kind, nodes in before.items():
        part = slow_twin.under(weights, f"{kind}_attention")
        after[kind] = slow_twin.graph_attention(part, nodes, temperatures[kind])
        kept[kind], scores[kind] = pooled(weights, f"{kind}_pool", after[kind], ratios[kind])
        inputs[kind] = np.array([scores[kind][at] * after[kind][at] for at in kept[kind]])
    count, total = len(inputs["temporal"]), len(inputs["temporal"]) + len(inputs["spectral"])
    v = np.mean([slow_branch(weights, f"branches.{b}", a, inputs) for b in range(2)], axis=0)
    assert len(v) == total
    found = []
    for kind, given in (("temporal", v[:count]), ("spectral", v[count:])):
        u = [0.0] * len(before[kind])
        for at, share in zip(kept[kind], given, strict=True):
            u[at] = share * scores[kind][at]
        u = [share / sum(u) for share in u]
        names = ["pair_weight"] * len(u)
        nodes = list(before[kind])
        rows = [shares(weights, f"{kind}_attention", node, nodes, names, temperatures[kind]) for node in nodes]
        found.append(back(u, rows))
    return found[0], found[1], float(v[:count].sum())


def slow_branch(weights: Any, name: str, a: Architecture, inputs: dict[str, np.ndarray]) -> list[float]:
    t, ratio, part = a.temperatures[2], a.heterogeneous_ratio, slow_twin.under(weights, name)
    kinds = [kind for kind in ("temporal", "spectral") for _ in inputs[kind]]

    def joined(layer: str, nodes: dict[str, np.ndarray]) -> list[np.ndarray]:
        projected = slow_twin.under(part, layer)
        return [
            slow_twin.linear(projected, f"{kind}_projection", node)
            for kind in ("temporal", "spectral")
            for node in nodes[kind]
        ]

    master = part["master"][0, 0]
    nodes = joined("layer1", inputs)
    first = master_shares(part, "layer1", nodes, master, t)
    outputs = slow_twin.heterogeneous_attention(
        slow_twin.under(part, "layer1"), inputs["temporal"], inputs["spectral"], master, t
    )
    kept, scores, after = {}, {}, {}
    for kind, out in zip(("temporal", "spectral"), outputs, strict=False):
        kept[kind], scores[kind] = pooled(part, f"{kind}_pool", out, ratio)
        after[kind] = np.array([scores[kind][at] * out[at] for at in kept[kind]])
    second = iter(master_shares(part, "layer2", joined("layer2", after), outputs[2], t))
    p = [0.0] * len(nodes)
    for kind, offset in (("temporal", 0), ("spectral", len(inputs["temporal"]))):
        for at in kept[kind]:
            p[offset + at] = next(second) * scores[kind][at]
    p = [share / sum(p) for share in p]
    rows = []
    for kind, node in zip(kinds, nodes, strict=True):
        names = [f"{kind}_weight" if kind == other else "cross_weight" for other in kinds]
        rows.append(shares(part, "layer1", node, nodes, names, t))
    return [(one + other) / 2 for one, other in zip(first, back(p, rows), strict=True)]


@pytest.mark.parametrize("seed", [0, 1])
def test_weights_agree_with_a_loop_over_nodes(seed: int, seeded: Callable[..., Aasist]) -> None:
    # In float64, so that two nodes of nearly one score are kept in one order; swelling, so that nodes differ.
    model, waveform = seeded(TINY, seed).double(), noise(1_100, seed).double()
    waveform = waveform * torch.linspace(-3.0, 4.0, 1_100, dtype=torch.float64).exp()
    temporal, spectral, share = slow_attention(model, waveform.numpy())
    found = attention(model, waveform)
    np.testing.assert_allclose([span.weight for span in found.spans], temporal, atol=1e-9)
    np.testing.assert_allclose([band.weight for band in found.bands], spectral, atol=1e-9)
    assert found.temporal_share == pytest.approx(share, abs=1e-9)
    assert min(np.ptp(temporal), np.ptp(spectral)) > 0.1, "weights this even would pass whatever they came from"


def test_weights_of_either_graph_are_shares_of_1(small_model: Aasist) -> None:
    for samples in (8_000, 13_000):
        found = attention(small_model, noise(samples))
        for parts in (found.spans, found.bands):
            assert min(part.weight for part in parts) >= 0
            assert sum(part.weight for part in parts) == pytest.approx(1.0, abs=1e-5)
        assert 0 < found.temporal_share < 1


def test_the_model_scores_as_before_and_nothing_is_written_into_it(tiny: Aasist) -> None:
    waveform = noise(2_000)
    with torch.no_grad():
        before = tiny(waveform[None])
    names = {name: set(vars(module)) for name, module in tiny.named_modules()}
    attention(tiny, waveform)
    with torch.no_grad():
        assert torch.equal(tiny(waveform[None]), before)
    assert {name: set(vars(module)) for name, module in tiny.named_modules()} == names


def test_a_node_hears_its_span_and_its_reach_and_nothing_beyond(seeded: Callable[..., Aasist]) -> None:
    # Without levelling, which lets every sample change all.
    model = seeded(replace(TINY, level="none"))
    waveform = noise(3_000)
    with torch.no_grad():
        whole = model.features(waveform[None])
    nodes = whole.shape[3]
    assert nodes == len(attention(model, waveform).spans) > 20
    reach = reach_seconds(model.architecture)
    for node in (0, 5, 12, nodes - 1):
        start, end = node_spans_seconds(model.architecture, nodes)[node]
        first = max(0, math.floor((start - reach) * SAMPLE_RATE))
        last = min(len(waveform), math.ceil((end + reach) * SAMPLE_RATE))
        beyond = waveform.clone()
        beyond[:first], beyond[last:] = noise(first, 1), noise(len(waveform) - last, 2)
        within = waveform.clone()
        within[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] = 0.0
        with torch.no_grad():
            torch.testing.assert_close(model.features(beyond[None])[..., node], whole[..., node], rtol=0, atol=1e-5)
            assert (model.features(within[None])[..., node] - whole[..., node]).abs().max() > 1e-3
    # The reach is no larger than it must be: within a pooling step of its rim something is heard.
    start, end = node_spans_seconds(model.architecture, nodes)[12]
    rim = waveform.clone()
    rim[: round((start - reach) * SAMPLE_RATE) + 40] = noise(round((start - reach) * SAMPLE_RATE) + 40, 3)
    with torch.no_grad():
        assert not torch.equal(model.features(rim[None])[..., 12], whole[..., 12])


@pytest.mark.parametrize(("architecture", "nodes"), [(AASIST, 29), (AASIST_L, 29), (EFFICIENT, 33)])
def test_spans_of_the_shipped_architectures_lie_side_by_side_within_the_window(
    architecture: Architecture, nodes: int
) -> None:
    spans = node_spans_seconds(architecture, nodes)
    assert all(one[1] == other[0] for one, other in pairwise(spans))
    assert spans[-1][1] <= architecture.window_samples / SAMPLE_RATE
    assert spans[0][1] - spans[0][0] > architecture.window_samples / SAMPLE_RATE - spans[-1][1]


def test_bands_are_groups_of_the_sinc_bands_and_the_one_left_over_is_in_none() -> None:
    bands = node_bands_hz(AASIST)
    assert len(bands) == 23
    assert bands[0] == (0.0, mel_edges_hz(70)[3])
    assert bands[-1][1] == mel_edges_hz(70)[69]


def test_training_mode_and_other_shapes_are_refused(tiny: Aasist) -> None:
    for shape in ((1, 2_000), (TINY.shortest_samples - 1,)):
        with pytest.raises(ValueError, match=r"expected a waveform \(T,\) of 122 samples or more"):
            attention(tiny, torch.zeros(shape))
    with pytest.raises(ValueError, match="eval mode"):
        attention(tiny.train(), noise(2_000))
    tiny.eval()
