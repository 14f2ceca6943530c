"""Attention of both graphs, mapped back to the seconds and the hertz that their nodes stand for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from aasist.model.aasist import Aasist, Branch
from aasist.model.context import Part
from aasist.model.graph import GraphAttention, GraphPool
from aasist.model.prosodic_nodes import with_nodes
from aasist.recipe import SINC, Architecture
from aasist.session import SAMPLE_RATE, Float32, mel_edges_hz


class SpanWeight(NamedTuple):
    """A temporal node: its stretch of the waveform, in seconds, and its weight."""

    start_seconds: float
    end_seconds: float
    weight: float


class BandWeight(NamedTuple):
    """A spectral node: its sinc bands, in Hz, and its weight."""

    low_hz: float
    high_hz: float
    weight: float


@dataclass(frozen=True)
class Attention:
    """Where the graphs of a model looked in one window; not in which direction it moved the score.

    The weights of ``spans`` are non-negative and sum to 1, as do those of ``bands``,
    of which there are none behind a speech encoder. A node also hears
    ``reach_seconds`` of waveform to either side of its own span, and ``reach_bands`` spectral nodes to either side of
    its own bands, through the encoder's convolutions.
    """

    spans: tuple[SpanWeight, ...]
    bands: tuple[BandWeight, ...]
    temporal_share: float
    """What the two branches gave to temporal nodes out of all, in [0, 1]."""
    reach_seconds: float
    reach_bands: int
    prosodic_share: float = 0.0
    """Likewise, what they gave to prosodic nodes; 0 where the model has none. The rest is that of the spectral ones."""


def attention(model: Aasist, waveform: Tensor | Float32) -> Attention:
    """Waveform (T,) at 16 kHz, a tensor or an array -> what each node weighs in the readout.

    T is free from ``architecture.shortest_samples`` up.

    The weights are an attention rollout (Abnar and Zuidema, ACL 2020): they start at the master nodes, which gather
    from all others, and go back through each layer, half along its attention and half along its own-node path.

    1. A branch reads its N input nodes (temporal, then spectral) twice: through the attention m1 (N,) of its master in
       layer 1; and through that in layer 2, m2 (K,), over the K nodes its pools keep. m2 times the pooling scores, at
       the indices that were kept and scaled to a sum of 1, is p (N,), and layer 1 takes it to p' = (p + H1^T p) / 2
       with H1 (N, N) its attention among nodes. The branch gives v = (m1 + p') / 2, and both branches their mean.
    2. v of one kind, times the scores of that kind's graph pooling, at the indices that it kept and scaled to a sum
       of 1, is u (n,) over all n nodes of the graph.
    3. The weights are (u + A^T u) / 2, with A (n, n) the attention of the homogeneous layer: column j of A is what node
       j is given by all. A node that pooling dropped keeps what others had gathered from it.
    4. Where the architecture has context blocks, the same again through the attention of each, the mean of its heads,
       from the last to the first.

    What passes the graphs by is in no weight: the statistics that the last layer may see, and squeeze-excitation, whose
    gains come from the whole window.

    Layer 2's attention among nodes is left out: it feeds the readout's own maxima and means, which weigh no node. At
    the published temperature of 100 the heterogeneous attention is close to uniform, so pooling and step 3 decide.

    ``ValueError`` for a model in training mode, whose dropout would choose, and for a waveform of another shape.
    """
    if model.training:
        raise ValueError("attention needs a model in eval mode: call model.eval() first")
    waveform = torch.as_tensor(waveform, dtype=model.spectral_position.dtype, device=model.spectral_position.device)
    shortest = model.architecture.shortest_samples
    if waveform.ndim != 1 or len(waveform) < shortest:
        raise ValueError(f"expected a waveform (T,) of {shortest:,} samples or more, got {tuple(waveform.shape)}")
    with torch.no_grad():
        spectral_in, temporal_in = model.nodes(model.features(waveform.unsqueeze(0)))
        temporal_in, gathered = _through_context(model, temporal_in)
        temporal, spectral = model.temporal_attention(temporal_in), model.spectral_attention(spectral_in)
        kept, spectral_kept = model.temporal_pool(temporal), model.spectral_pool(spectral)
        count, joined = kept.shape[1], kept
        if model.prosody is not None:
            joined = with_nodes(kept, model.prosody(model.prosodic(waveform.unsqueeze(0)))[0])
        given = torch.stack([_branch_weights(branch, joined, spectral_kept) for branch in _branches(model)]).mean(dim=0)
        rest = joined.shape[1]
        by_time = _node_weights(model.temporal_attention, model.temporal_pool, temporal_in, temporal, given[:count])
        for among in reversed(gathered):
            by_time = _rolled_back(among, by_time)
        by_band = _node_weights(model.spectral_attention, model.spectral_pool, spectral_in, spectral, given[rest:])
    spans, bands = node_spans_seconds(model.architecture, len(by_time)), node_bands_hz(model.architecture)
    return Attention(
        spans=tuple(SpanWeight(*span, weight) for span, weight in zip(spans, by_time.tolist(), strict=True)),
        # Those behind a speech encoder stand for no band that could be named.
        bands=tuple(BandWeight(*band, weight) for band, weight in zip(bands, by_band.tolist(), strict=True))
        if bands
        else (),
        temporal_share=float(given[:count].sum()),
        reach_seconds=reach_seconds(model.architecture),
        reach_bands=len(model.architecture.channels),
        prosodic_share=float(given[count:rest].sum()),
    )


def _through_context(model: Aasist, nodes: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Temporal nodes (1, n, C) -> those behind the context blocks, and the attention (n, n) of each block."""
    gathered = []
    for part in model.context:
        assert isinstance(part, Part)
        among = part.attention(nodes)
        if among is not None:
            gathered.append(among[0])
        nodes = part(nodes)
    return nodes, gathered


def _branches(model: Aasist) -> list[Branch]:
    return [branch for branch in model.branches if isinstance(branch, Branch)]


def _branch_weights(branch: Branch, temporal: Tensor, spectral: Tensor) -> Tensor:
    """Step 1, one branch: temporal (1, N_t, D), spectral (1, N_s, D) -> v (N_t + N_s,), which sums to 1."""
    layer1, layer2 = branch.layer1, branch.layer2
    nodes, count = layer1.joined(temporal, spectral), temporal.shape[1]
    first = layer1.master_attention(nodes, branch.master)[0, :, 0]
    temporal, spectral, master = layer1(temporal, spectral, branch.master)
    kept = branch.temporal_pool(temporal), branch.spectral_pool(spectral)
    second = layer2.master_attention(layer2.joined(*kept), master)[0, :, 0]
    kept_count = kept[0].shape[1]
    by_node = torch.cat(
        [
            _unpooled(branch.temporal_pool, temporal, second[:kept_count]),
            _unpooled(branch.spectral_pool, spectral, second[kept_count:]),
        ]
    )
    among = layer1.attention(nodes, count)[0]
    return (first + _rolled_back(among, by_node / by_node.sum())) / 2


def _node_weights(layer: GraphAttention, pool: GraphPool, before: Tensor, after: Tensor, given: Tensor) -> Tensor:
    """Steps 2 and 3: ``given`` (k,) to the kept of nodes ``after`` (1, n, D) -> weights (n,), which sum to 1."""
    by_node = _unpooled(pool, after, given)
    return _rolled_back(layer.attention(before)[0], by_node / by_node.sum())


def _unpooled(pool: GraphPool, nodes: Tensor, given: Tensor) -> Tensor:
    """``given`` (K,) to the nodes that ``pool`` keeps of (1, N, D), times their scores -> (N,), 0 where dropped."""
    scores, best = pool.ranked(nodes)
    kept = best[0, :, 0]
    return torch.zeros_like(scores[0, :, 0]).scatter(0, kept, given * scores[0, kept, 0])


def _rolled_back(attention: Tensor, weights: Tensor) -> Tensor:
    """Attention (N, N) with rows that sum to 1, weights (N,) after the layer -> weights before it, of the same sum."""
    return (weights + attention.T @ weights) / 2


def node_spans_seconds(architecture: Architecture, nodes: int) -> list[tuple[float, float]]:
    """Start and end in seconds of each temporal node's own stretch: the sinc outputs that all pools hand to it.

    An output of the sinc layer stands for the middle of its kernel, so that the first span starts half a kernel in.
    """
    span = architecture.hop_samples * architecture.front_pool[1] * math.prod(architecture.time_pools)
    lead = (architecture.frame_samples - 1) / 2
    edges = [(lead + node * span) / SAMPLE_RATE for node in range(nodes + 1)]
    return list(pairwise(edges))


def reach_seconds(architecture: Architecture) -> float:
    """How far a temporal node hears beyond either end of its span: half a kernel, two convolutions of 3 a block, and that
    of each conformer block. What it gathers by attention is in the weights.

    Behind a speech encoder, each frame of which has attended to all others, it is the window.
    """
    if architecture.front != SINC:
        return architecture.window_samples / SAMPLE_RATE
    step, reach = architecture.sinc_stride * architecture.front_pool[1], (architecture.kernel_samples - 1) / 2
    for pool in architecture.time_pools:
        reach += 2 * step
        step *= pool
    if architecture.context == "conformer":
        reach += architecture.context_blocks * (architecture.context_kernel // 2) * step
    return reach / SAMPLE_RATE


def node_bands_hz(architecture: Architecture) -> list[tuple[float, float]]:
    """Lowest and highest edge in Hz of the sinc bands that each spectral node is the maximum of; none behind a speech encoder."""
    if architecture.front != SINC:
        return []
    edges, group = mel_edges_hz(architecture.bands), architecture.front_pool[0]
    return [
        (float(edges[node * group]), float(edges[(node + 1) * group])) for node in range(architecture.spectral_nodes)
    ]
