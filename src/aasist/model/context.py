"""Transformer and conformer blocks over the temporal nodes: what is far away, before the graphs look at it.

A transformer block (Vaswani et al., NeurIPS 2017) is attention and a feed-forward part, a conformer block (Gulati et al.,
Interspeech 2020) has a feed-forward part before them and a convolution after the attention too. Every part adds to its
nodes ``scale * part(norm(nodes))`` and begins small (Touvron et al., ICCV 2021), so that a block begins close to the
identity and the rest of the model learns from the first step on. For the same reason no norm ends a block. The
convolution's norm is over channels: short crops and whole windows are then treated alike.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from aasist.recipe import Architecture

FARTHEST = 8
"""Nodes, about a second: distances beyond it share a bias, so that it is learnt from short crops as well."""
EXPANSION = 2
"""Hidden units of a feed-forward part to each of its inputs."""
FIRST_SCALE = 0.1
"""What each part is multiplied by before training."""


class RelativeAttention(nn.Module):
    """Nodes (B, N, D) -> what each gathers from all, (B, N, D), for any N.

    ``softmax(q_i . k_j / sqrt(d) + b[j - i])`` in each head of d = D / heads channels, where b is learnt for each
    distance (Raffel et al., JMLR 2020, section 2.1) up to `FARTHEST` either way (Shaw et al., NAACL 2018, section 3.2).
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)  # its bias would shift all scores of a node alike
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.distance_bias = nn.Parameter(0.02 * torch.randn(2 * FARTHEST + 1, heads))

    def forward(self, nodes: Tensor) -> Tensor:
        gathered = self.attention(nodes) @ self._by_head(self.value(nodes))
        out: Tensor = self.out(gathered.transpose(1, 2).flatten(2))
        return out

    def attention(self, nodes: Tensor) -> Tensor:
        """Nodes (B, N, D) -> how much each gathers from each, (B, heads, N, N); rows sum to 1."""
        query, key = self._by_head(self.query(nodes)), self._by_head(self.key(nodes))
        scores = (query / math.sqrt(query.shape[3])) @ key.transpose(2, 3)
        return torch.softmax(scores + self._biases(nodes), dim=-1)

    def _by_head(self, channels: Tensor) -> Tensor:
        """(B, N, D) -> (B, heads, N, D / heads)."""
        batch, count, width = channels.shape
        return channels.reshape(batch, count, self.heads, width // self.heads).transpose(1, 2)

    def _biases(self, nodes: Tensor) -> Tensor:
        """Bias (heads, N, N) of what node i gathers from node j, by j - i."""
        places = torch.arange(nodes.shape[1], device=nodes.device)
        distances = (places - places.unsqueeze(1)).clamp(-FARTHEST, FARTHEST) + FARTHEST
        # An embedding and no index: summed by one thread a row, its gradient is the same to the bit in every run.
        return functional.embedding(distances, self.distance_bias).permute(2, 0, 1)


class Convolution(nn.Module):
    """Nodes (B, N, D) -> (B, N, D): gated linear unit, convolution of each channel along the nodes, norm, SiLU, linear."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.gated = nn.Linear(width, 2 * width)
        self.along = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, width)

    def forward(self, nodes: Tensor) -> Tensor:
        along = self.along(functional.glu(self.gated(nodes), dim=2).transpose(1, 2)).transpose(1, 2)
        out: Tensor = self.out(functional.silu(self.norm(along)))
        return out


class FeedForward(nn.Module):
    """Nodes (B, N, D) -> (B, N, D), each by itself: linear, SiLU, linear."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(width, EXPANSION * width)
        self.out = nn.Linear(EXPANSION * width, width)

    def forward(self, nodes: Tensor) -> Tensor:
        out: Tensor = self.out(functional.silu(self.hidden(nodes)))
        return out


class Part(nn.Module):
    """Nodes (B, N, D) -> nodes + ``scale * inner(norm(nodes))``, (B, N, D)."""

    def __init__(self, width: int, inner: nn.Module, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.inner = inner
        self.scale = nn.Parameter(torch.full((width,), FIRST_SCALE))
        self.dropout = dropout

    def forward(self, nodes: Tensor) -> Tensor:
        return nodes + functional.dropout(self.scale * self.inner(self.norm(nodes)), self.dropout, self.training)

    def attention(self, nodes: Tensor) -> Tensor | None:
        """How much each node gathers from each, the mean of the heads, (B, N, N); None where this is no attention."""
        if not isinstance(self.inner, RelativeAttention):
            return None
        return self.inner.attention(self.norm(nodes)).mean(1)


def context_of(architecture: Architecture) -> nn.Sequential:
    """The parts of all ``context_blocks``, in order: nodes (B, N, D) -> (B, N, D). Without blocks the identity."""
    a, parts = architecture, []
    width = a.channels[-1]
    for _ in range(a.context_blocks):
        inner: list[nn.Module] = [RelativeAttention(width, a.context_heads)]
        if a.context == "conformer":
            inner = [FeedForward(width), *inner, Convolution(width, a.context_kernel)]
        parts += [Part(width, each, a.context_dropout) for each in (*inner, FeedForward(width))]
    return nn.Sequential(*parts)
