"""What a model takes from prosodic frames: nodes of the heterogeneous graph, and statistics for the readout."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from aasist.model.graph import node_norm
from aasist.model.prosody import FEATURES, ProsodicFrames, statistics, voiced_share
from aasist.recipe import Architecture

STRIDES = (4, 5)
"""Of the convolutions over frames: a node for every 0.2 s, about a syllable."""


class Prosody(nn.Module):
    """Prosodic frames of a waveform, and what joins the graph (``nodes``) and the readout (``fusion``) of them.

    `frames` has no weights. All else begins with a batch norm of the frames, so that no kind of feature is loud.
    """

    def __init__(self, dim: int, *, nodes: bool, fusion: bool) -> None:
        super().__init__()
        self.frames = ProsodicFrames()
        self.norm = nn.BatchNorm1d(len(FEATURES))
        self.nodes = ProsodicNodes(dim) if nodes else None
        self.fused = 5 * len(FEATURES) if fusion else 0
        """Numbers that `statistics` adds to the readout."""

    def forward(self, frames: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """Frames (B, F, 8) as `frames` gives them -> nodes (B, ceil(ceil(F / 4) / 5), dim), statistics (B, 40), each
        a tuple of one, or of none where the model has none."""
        voiced = voiced_share(frames[:, :, FEATURES.index("voicing")])
        normed = node_norm(self.norm, frames)
        nodes = () if self.nodes is None else (self.nodes(normed),)
        return nodes, (statistics(normed, voiced),) if self.fused else ()


class ProsodicNodes(nn.Module):
    """Frames (B, F, 8) -> nodes (B, ceil(ceil(F / 4) / 5), dim): three convolutions over 25 frames in all."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        narrow = max(dim // 2, 1)
        self.opening = nn.Conv1d(len(FEATURES), narrow, 5, padding=2)
        self.middle = nn.Conv1d(narrow, narrow, 5, STRIDES[0], padding=2)
        self.closing = nn.Conv1d(narrow, dim, 5, STRIDES[1], padding=2)
        # Over channels and not over the batch, which may have but one node.
        self.norm = nn.LayerNorm(dim)

    def forward(self, frames: Tensor) -> Tensor:
        maps = functional.selu(self.opening(frames.transpose(1, 2)))
        maps = functional.selu(self.middle(maps))
        return functional.selu(self.norm(self.closing(maps).transpose(1, 2)))


def prosody_of(architecture: Architecture) -> Prosody | None:
    """What an architecture takes from prosodic frames; None where that is nothing."""
    kind = architecture.prosody
    if kind == "none":
        return None
    return Prosody(architecture.graph_dims[0], nodes=kind in ("nodes", "both"), fusion=kind in ("fusion", "both"))


def with_nodes(temporal: Tensor, nodes: tuple[Tensor, ...]) -> Tensor:
    """Temporal nodes (B, N, dim) and prosodic ones, which stand behind them, as one kind of the heterogeneous graph."""
    return torch.cat([temporal, *nodes], dim=1) if nodes else temporal
