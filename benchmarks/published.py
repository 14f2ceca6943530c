"""AASIST computed as the published code computes it, on the weights of a model of ours: what the benchmarks compare with.

Written from the paper (Jung et al., ICASSP 2022) and the published code's behaviour: sinc bands at every sample, the norm
and SELU at the head of a block computed although nothing reads them, the products of all pairs of nodes stored as
(B, N, N, D), four blocks of heterogeneous scores written into a board, pooling by gathering.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from aasist.model.aasist import Aasist, Branch
from aasist.model.encoder import ResidualBlock
from aasist.model.graph import GraphAttention, GraphPool, HeterogeneousAttention


class PublishedAasist(nn.Module):
    """Waveform (B, T) -> logits (B, 2), with the parameters of ``model``."""

    def __init__(self, model: Aasist) -> None:
        super().__init__()
        self.model = model
        self.filters = model.sinc.filters

    def forward(self, waveform: Tensor) -> Tensor:
        model = self.model
        bands = functional.conv1d(waveform.unsqueeze(1), self.filters)
        features = functional.max_pool2d(bands.unsqueeze(1).abs(), (3, 3))
        features = functional.selu(model.encoder.norm(features), inplace=True)
        for block in model.encoder.blocks:
            features = through(block, features)
        by_band, _ = features.abs().max(dim=3)
        by_time, _ = features.abs().max(dim=2)
        spectral = homogeneous(model.spectral_attention, by_band.transpose(1, 2) + model.spectral_position)
        temporal = homogeneous(model.temporal_attention, by_time.transpose(1, 2))
        spectral, temporal = pool(model.spectral_pool, spectral), pool(model.temporal_pool, temporal)
        first, second = (stack(branch, temporal, spectral) for branch in model.branches)
        temporal, spectral, master = (torch.max(one, other) for one, other in zip(first, second, strict=True))
        hidden = [
            temporal.abs().max(dim=1)[0],
            temporal.mean(dim=1),
            spectral.abs().max(dim=1)[0],
            spectral.mean(dim=1),
        ]
        readout = torch.cat([*hidden, master.squeeze(1)], dim=1)
        return model.out(functional.dropout(readout, model.dropout, self.training))


def through(block: ResidualBlock, features: Tensor) -> Tensor:
    """A residual block, and the norm whose result goes nowhere."""
    if block.unused_norm is not None:
        functional.selu(block.unused_norm(features), inplace=True)
    out = functional.selu(block.norm(block.conv1(features)), inplace=True)
    identity = features if block.shortcut is None else block.shortcut(features)
    out = block.conv2(out)
    out += identity
    return functional.max_pool2d(out, (1, block.time_pool))


def pair_products(nodes: Tensor) -> Tensor:
    """Nodes (B, N, D) -> products of all pairs (B, N, N, D)."""
    rows = nodes.unsqueeze(2).expand(-1, -1, nodes.shape[1], -1)
    return rows * rows.transpose(1, 2)


def normed(norm: nn.BatchNorm1d, nodes: Tensor) -> Tensor:
    return functional.selu(norm(nodes.reshape(-1, nodes.shape[2])).view_as(nodes), inplace=True)


def homogeneous(layer: GraphAttention, nodes: Tensor) -> Tensor:
    """Graph attention: nodes (B, N, D) -> (B, N, E)."""
    nodes = functional.dropout(nodes, layer.dropout, layer.training)
    scores = torch.matmul(torch.tanh(layer.pair_projection(pair_products(nodes))), layer.pair_weight)
    attention = functional.softmax(scores / layer.temperature, dim=-2).squeeze(-1)
    return normed(layer.norm, layer.attended(torch.matmul(attention, nodes)) + layer.own(nodes))


def heterogeneous(
    layer: HeterogeneousAttention, temporal: Tensor, spectral: Tensor, master: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Heterogeneous graph attention with its master node."""
    count = temporal.shape[1]
    nodes = torch.cat([layer.temporal_projection(temporal), layer.spectral_projection(spectral)], dim=1)
    nodes = functional.dropout(nodes, layer.dropout, layer.training)
    pairs = torch.tanh(layer.pair_projection(pair_products(nodes)))
    board = torch.zeros_like(pairs[..., 0]).unsqueeze(-1)
    board[:, :count, :count] = torch.matmul(pairs[:, :count, :count], layer.temporal_weight)
    board[:, count:, count:] = torch.matmul(pairs[:, count:, count:], layer.spectral_weight)
    board[:, :count, count:] = torch.matmul(pairs[:, :count, count:], layer.cross_weight)
    board[:, count:, :count] = torch.matmul(pairs[:, count:, :count], layer.cross_weight)
    attention = functional.softmax(board / layer.temperature, dim=-2).squeeze(-1)
    to_master = torch.matmul(torch.tanh(layer.master_projection(nodes * master)), layer.master_weight)
    to_master = functional.softmax(to_master / layer.temperature, dim=-2)
    gathered = torch.matmul(to_master.squeeze(-1).unsqueeze(1), nodes)
    new_master = layer.master_attended(gathered) + layer.master_own(master)
    new_nodes = normed(layer.norm, layer.attended(torch.matmul(attention, nodes)) + layer.own(nodes))
    return new_nodes[:, :count], new_nodes[:, count:], new_master


def pool(layer: GraphPool, nodes: Tensor) -> Tensor:
    """Graph pooling: the best nodes, each times its score."""
    scores = torch.sigmoid(layer.score(functional.dropout(nodes, layer.dropout, layer.training)))
    kept = max(int(nodes.shape[1] * layer.ratio), 1)
    _, best = torch.topk(scores, kept, dim=1)
    return torch.gather(nodes * scores, 1, best.expand(-1, -1, nodes.shape[2]))


def stack(branch: Branch, temporal: Tensor, spectral: Tensor) -> list[Tensor]:
    """A branch -> temporal, spectral and master nodes."""
    master = branch.master.expand(temporal.shape[0], -1, -1)
    temporal, spectral, master = heterogeneous(branch.layer1, temporal, spectral, master)
    temporal, spectral = pool(branch.temporal_pool, temporal), pool(branch.spectral_pool, spectral)
    more = heterogeneous(branch.layer2, temporal, spectral, master)
    parts = zip((temporal, spectral, master), more, strict=True)
    return [functional.dropout(one + other, branch.dropout, branch.training) for one, other in parts]
