"""Attention scores of all pairs of nodes, without ever storing what is computed for a pair.

The score of the paper (Jung et al., ICASSP 2022, section 2.2) is ``a . tanh(W (x_i * x_j) + b)``. Written out for a batch
it takes the products of all pairs, (B, N, N, D), and their projections, (B, N, N, E), forwards and backwards. But both are
symmetric in i and j, so half of them will do; and only a weighted sum of each projection is wanted, so they are made for
a few nodes at a time, in cache, and made again for the backward pass.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK_BYTES = {"cpu": 1 << 21}
"""Of projections that are there at one time, by device: what a processor keeps in its cache ..."""
MOST_BLOCK_BYTES = 1 << 28
"""... and elsewhere what keeps launches few."""
FEWEST_NODES, MOST_BLOCKS = 8, 8
"""A block of nodes is not smaller and, but for memory, a graph not in more: thinner matrix products are slow."""


def scores_of_pairs(
    nodes: Tensor, weight: Tensor, bias: Tensor, scoring: Tensor, kinds: Tensor | None = None
) -> Tensor:
    """Nodes (B, N, D), projection (E, D) with bias (E,) -> ``scoring . tanh(projection(x_i * x_j))``, (B, N, N).

    ``scoring`` is (E, K), a vector for each kind of pair, and ``kinds`` (N, N, K) is 1 where a pair is of a kind and
    symmetric; without it there is one kind.
    """
    scores: Tensor = PairScores.apply(nodes.to(weight.dtype), weight, bias, scoring, kinds)  # type: ignore[no-untyped-call]
    return scores


class PairScores(torch.autograd.Function):
    """`scores_of_pairs` with a backward pass of its own; tanh is taken as ``2 sigmoid(2 x) - 1``, which is faster."""

    @staticmethod
    def forward(ctx: Any, nodes: Tensor, weight: Tensor, bias: Tensor, scoring: Tensor, kinds: Tensor | None) -> Tensor:
        ctx.save_for_backward(nodes, weight, bias, scoring, kinds)
        batch, count, _ = nodes.shape
        scores = nodes.new_empty(batch, count, count)
        with torch.autocast(nodes.device.type, enabled=False):
            doubled, constant = 2 * scoring, scoring.sum(0)
            for graphs, block, rest in blocks(nodes, len(weight)):
                ahead, back = nodes[graphs, rest].unsqueeze(2), nodes[graphs, block].unsqueeze(1)
                products, halves = projected(ahead, back, weight, bias)
                by_kind = (halves @ doubled - constant).view(*products.shape[:3], -1)
                found = by_kind[..., 0] if kinds is None else (by_kind * kinds[rest, block]).sum(-1)
                scores[graphs, rest, block] = found
                scores[graphs, block, rest] = found.transpose(1, 2)
        return scores

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        nodes, weight, bias, scoring, kinds = ctx.saved_tensors
        to_nodes, to_weight = torch.zeros_like(nodes), torch.zeros_like(weight)
        to_bias, to_scoring = torch.zeros_like(bias), torch.zeros_like(scoring)
        with torch.autocast(nodes.device.type, enabled=False):
            slopes = 4 * scoring.T  # tanh' = 4 s (1 - s) for s = sigmoid(2 x)
            for graphs, block, rest in blocks(nodes, len(weight)):
                ahead, back = nodes[graphs, rest].unsqueeze(2), nodes[graphs, block].unsqueeze(1)
                products, halves = projected(ahead, back, weight, bias)
                # Pairs of two nodes of the block are in it both ways round, all others once.
                both = gradient[graphs, rest, block].clone()
                both[:, block.stop - block.start :] += gradient[graphs, block, block.stop :].transpose(1, 2)
                by_kind = both.unsqueeze(-1) if kinds is None else both.unsqueeze(-1) * kinds[rest, block]
                by_kind = by_kind.flatten(0, 2)
                to_scoring += 2 * (halves.T @ by_kind) - by_kind.sum(0)
                inner = torch.ops.aten.sigmoid_backward(outer(by_kind, slopes), halves)
                to_bias += inner.sum(0)
                to_weight += inner.T @ products.flatten(0, 2)
                to_products = (inner @ weight).view_as(products)
                to_nodes[graphs, rest] += (to_products * back).sum(2)
                to_nodes[graphs, block] += (to_products * ahead).sum(1)
        return to_nodes, to_weight, to_bias, to_scoring, None


def outer(by_kind: Tensor, slopes: Tensor) -> Tensor:
    """(M, K) @ (K, E); a product of one column and one row is faster as what it is."""
    return by_kind * slopes if len(slopes) == 1 else by_kind @ slopes


def projected(ahead: Tensor, back: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes (B, J, 1, D) and (B, 1, I, D) -> their products (B, J, I, D), and ``sigmoid(2 projection)`` (B J I, E)."""
    products = ahead * back
    return products, torch.addmm(2 * bias, products.flatten(0, 2), 2 * weight.T).sigmoid_()


def blocks(nodes: Tensor, channels: int) -> Iterator[tuple[slice, slice, slice]]:
    """Graphs, a block of their nodes, and the nodes from the block's first on: together all pairs, once."""
    batch, count, _ = nodes.shape
    room = BLOCK_BYTES.get(nodes.device.type, MOST_BLOCK_BYTES) // (count * channels * 4)
    size = min(max(FEWEST_NODES, -(-count // MOST_BLOCKS)), max(room, 1), count)
    together = max(room // size, 1)
    for first in range(0, batch, together):
        for start in range(0, count, size):
            yield slice(first, first + together), slice(start, min(start + size, count)), slice(start, count)
