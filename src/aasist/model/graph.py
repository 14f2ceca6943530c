"""Graph attention, heterogeneous graph attention and graph pooling over whole batches of graphs.

The attention of the paper (Jung et al., ICASSP 2022, section 2.2) is ``softmax(a . tanh(W (x_i * x_j) + b) / t)``. Its
scores come from ``pairs``, which stores nothing for each pair. Only what is exported is written out here, in plain
operations: ``W (x_i * x_j)`` is, for each output channel e, the bilinear form ``x_i diag(W_e) x_j``, and a batched matrix
product gives all of them without the (N, N, D) products of all pairs of nodes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from aasist.model.pairs import scores_of_pairs


def pairwise(nodes: Tensor, projection: nn.Linear) -> Tensor:
    """Nodes (B, N, D), projection D -> E: ``tanh(projection(x_i * x_j))`` for all pairs -> (B, E, N, N)."""
    scaled = nodes.unsqueeze(1) * projection.weight.unsqueeze(1)
    return torch.tanh(scaled @ nodes.transpose(1, 2).unsqueeze(1) + projection.bias[:, None, None])


def pair_scores(pairs: Tensor, weight: Tensor) -> Tensor:
    """Pairs (B, E, N, M) . weight (E, 1) -> attention logits (B, N, M)."""
    return (pairs * weight.unsqueeze(-1)).sum(1)


def node_norm(norm: nn.BatchNorm1d, nodes: Tensor) -> Tensor:
    """Batch norm of nodes (B, N, D) over batch and nodes -> (B, N, D)."""
    normalised: Tensor = norm(nodes.transpose(1, 2)).transpose(1, 2)
    return normalised


class GraphAttention(nn.Module):
    """Nodes (B, N, dim_in) of a fully connected graph -> nodes (B, N, dim_out)."""

    def __init__(self, dim_in: int, dim_out: int, temperature: float, dropout: float) -> None:
        super().__init__()
        self.temperature, self.dropout = temperature, dropout
        self.pair_projection = nn.Linear(dim_in, dim_out)
        self.pair_weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(dim_out, 1)))
        self.attended = nn.Linear(dim_in, dim_out)
        self.own = nn.Linear(dim_in, dim_out)
        self.norm = nn.BatchNorm1d(dim_out)

    def forward(self, nodes: Tensor) -> Tensor:
        nodes = functional.dropout(nodes, self.dropout, self.training)
        attention = self.attention(nodes)
        return functional.selu(node_norm(self.norm, self.attended(attention @ nodes) + self.own(nodes)))

    def attention(self, nodes: Tensor) -> Tensor:
        """Nodes (B, N, dim_in) -> how much each gathers from each, (B, N, N); rows sum to 1."""
        projection = self.pair_projection
        if torch.compiler.is_exporting():
            scores = pair_scores(pairwise(nodes, projection), self.pair_weight)
        else:
            scores = scores_of_pairs(nodes, projection.weight, projection.bias, self.pair_weight)
        return torch.softmax(scores / self.temperature, dim=-1)


class HeterogeneousAttention(nn.Module):
    """Temporal nodes (B, N_t, dim_in), spectral nodes (B, N_s, dim_in), master (B, 1, dim_in) -> the same, dim_out.

    Each kind has its own projection; all nodes then attend to all, with one scoring vector among temporal nodes, one
    among spectral nodes and one across. The master node gathers from all of them, and none from it.
    """

    def __init__(self, dim_in: int, dim_out: int, temperature: float, dropout: float) -> None:
        super().__init__()
        self.temperature, self.dropout = temperature, dropout
        self.temporal_projection = nn.Linear(dim_in, dim_in)
        self.spectral_projection = nn.Linear(dim_in, dim_in)
        self.pair_projection = nn.Linear(dim_in, dim_out)
        self.master_projection = nn.Linear(dim_in, dim_out)
        for name in ("temporal_weight", "spectral_weight", "cross_weight", "master_weight"):
            setattr(self, name, nn.Parameter(nn.init.xavier_normal_(torch.empty(dim_out, 1))))
        self.attended = nn.Linear(dim_in, dim_out)
        self.own = nn.Linear(dim_in, dim_out)
        self.master_attended = nn.Linear(dim_in, dim_out)
        self.master_own = nn.Linear(dim_in, dim_out)
        self.norm = nn.BatchNorm1d(dim_out)

    temporal_weight: Tensor
    spectral_weight: Tensor
    cross_weight: Tensor
    master_weight: Tensor

    def forward(self, temporal: Tensor, spectral: Tensor, master: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        count = temporal.shape[1]
        nodes = functional.dropout(self.joined(temporal, spectral), self.dropout, self.training)

        attention = self.attention(nodes, count)
        new_master = self._master(nodes, master)
        new_nodes = functional.selu(node_norm(self.norm, self.attended(attention @ nodes) + self.own(nodes)))
        return new_nodes[:, :count], new_nodes[:, count:], new_master

    def joined(self, temporal: Tensor, spectral: Tensor) -> Tensor:
        """Both kinds, each through its own projection -> nodes (B, N_t + N_s, dim_in), the temporal ones first."""
        return torch.cat([self.temporal_projection(temporal), self.spectral_projection(spectral)], dim=1)

    def attention(self, nodes: Tensor, count: int) -> Tensor:
        """Joined nodes (B, N, dim_in), the first ``count`` temporal -> how much each gathers from each, (B, N, N)."""
        return torch.softmax(self._scores(nodes, count) / self.temperature, dim=-1)

    def master_attention(self, nodes: Tensor, master: Tensor) -> Tensor:
        """Joined nodes (B, N, dim_in), master (B, 1, dim_in) -> how much the master gathers from each, (B, N, 1)."""
        scores = torch.tanh(self.master_projection(nodes * master)) @ self.master_weight
        return torch.softmax(scores / self.temperature, dim=1)

    def _scores(self, nodes: Tensor, count: int) -> Tensor:
        """Attention logits (B, N, N) of nodes (B, N, D) whose first ``count`` are temporal."""
        if not torch.compiler.is_exporting():
            scoring = torch.cat([self.temporal_weight, self.cross_weight, self.spectral_weight], dim=1)
            temporal = torch.arange(nodes.shape[1], device=nodes.device) < count
            kind = 2 - temporal.long() - temporal.long().unsqueeze(1)
            kinds = functional.one_hot(kind, 3).to(scoring.dtype)
            projection = self.pair_projection
            return scores_of_pairs(nodes, projection.weight, projection.bias, scoring, kinds)
        pairs = pairwise(nodes, self.pair_projection)
        among_temporal = pair_scores(pairs[:, :, :count, :count], self.temporal_weight)
        temporal_to_spectral = pair_scores(pairs[:, :, :count, count:], self.cross_weight)
        spectral_to_temporal = pair_scores(pairs[:, :, count:, :count], self.cross_weight)
        among_spectral = pair_scores(pairs[:, :, count:, count:], self.spectral_weight)
        return torch.cat(
            [
                torch.cat([among_temporal, temporal_to_spectral], dim=2),
                torch.cat([spectral_to_temporal, among_spectral], dim=2),
            ],
            dim=1,
        )

    def _master(self, nodes: Tensor, master: Tensor) -> Tensor:
        """Nodes (B, N, D), master (B, 1, D) -> master (B, 1, dim_out); neither norm nor activation follows."""
        attention = self.master_attention(nodes, master)
        gathered: Tensor = self.master_attended(attention.transpose(1, 2) @ nodes) + self.master_own(master)
        return gathered


def kept_nodes(count: int, ratio: float) -> int:
    """How many of ``count`` nodes pooling keeps: ``max(int(count * ratio), 1)`` in float64, as the published code.

    Float64 matters: 0.7 * 90 is 62.99..., so 62 nodes are kept and not 63.
    """
    kept: int = torch.sym_max(torch.sym_int(count * ratio), 1)  # type: ignore[no-untyped-call]
    return kept


class GraphPool(nn.Module):
    """Nodes (B, N, D) -> the best (B, max(int(N * ratio), 1), D) in order of score, each scaled by its score."""

    def __init__(self, dim: int, ratio: float, dropout: float) -> None:
        super().__init__()
        self.ratio, self.dropout = ratio, dropout
        self.score = nn.Linear(dim, 1)

    def forward(self, nodes: Tensor) -> Tensor:
        scores, best = self.ranked(nodes)
        return torch.gather(nodes * scores, 1, best.expand(-1, -1, nodes.shape[2]))

    def ranked(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes (B, N, D) -> the score of each in (0, 1), (B, N, 1), and indices (B, K, 1) of the best, in order."""
        scores = torch.sigmoid(self.score(functional.dropout(nodes, self.dropout, self.training)))
        return scores, torch.topk(scores, kept_nodes(nodes.shape[1], self.ratio), dim=1).indices
