"""Scores of pairs of nodes: the same, and the same gradients, as the formula written out for all pairs at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from aasist.model import pairs
from aasist.model.graph import GraphAttention, HeterogeneousAttention
from aasist.model.pairs import blocks, scores_of_pairs

GRAPHS, NODES, DIM, OUT = 3, 37, 5, 4


def written_out(nodes: Tensor, weight: Tensor, bias: Tensor, scoring: Tensor, kinds: Tensor | None) -> Tensor:
    """The published formulation: (B, N, N, D) products of all pairs."""
    products = nodes.unsqueeze(2) * nodes.unsqueeze(1)
    scores = torch.tanh(products @ weight.T + bias) @ scoring
    return scores[..., 0] if kinds is None else (scores * kinds).sum(-1)


def arguments(kinds: int) -> tuple[list[Tensor], Tensor | None]:
    random = torch.Generator().manual_seed(kinds)
    shapes = ((GRAPHS, NODES, DIM), (OUT, DIM), (OUT,), (OUT, kinds))
    tensors = [torch.randn(shape, generator=random, dtype=torch.float64).requires_grad_() for shape in shapes]
    if kinds == 1:
        return tensors, None
    first = torch.arange(NODES) < 15
    among = [first.unsqueeze(1) & first, first.unsqueeze(1) ^ first, ~first.unsqueeze(1) & ~first]
    return tensors, torch.stack(among, dim=-1).double()


@pytest.mark.parametrize("room_bytes", [1 << 21, 6_000, 1], ids=["one block", "a few blocks", "one node at a time"])
@pytest.mark.parametrize("kinds", [1, 3])
def test_scores_and_all_gradients_are_those_of_the_formula_written_out(
    kinds: int, room_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pairs.BLOCK_BYTES, "cpu", room_bytes)
    tensors, kind = arguments(kinds)
    got, expected = scores_of_pairs(*tensors, kind), written_out(*tensors, kind)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    # A gradient that is not symmetric, as that of a softmax over rows.
    gradient = torch.randn(got.shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    for mine, theirs in zip(
        torch.autograd.grad(got, tensors, gradient), torch.autograd.grad(expected, tensors, gradient), strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("room_bytes", [1 << 21, 6_000, 1])
@pytest.mark.parametrize("count", [1, 2, 16, 17, 37, 200])
def test_blocks_hold_every_pair_of_every_graph_once(
    count: int, room_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pairs.BLOCK_BYTES, "cpu", room_bytes)
    seen = torch.zeros(GRAPHS, count, count)
    for graphs, block, rest in blocks(torch.empty(GRAPHS, count, DIM), OUT):
        within = torch.ones(count, count).tril()[rest, block]
        seen[graphs, rest, block] += within
    assert torch.equal(seen, torch.ones(count, count).tril().expand_as(seen))


def test_no_gradient_is_asked_of_what_has_none() -> None:
    tensors, _ = arguments(1)
    for tensor in tensors[1:]:
        tensor.requires_grad_(False)
    scores_of_pairs(*tensors).sum().backward()
    assert tensors[0].grad is not None
    assert all(tensor.grad is None for tensor in tensors[1:])


@pytest.mark.parametrize("layer", [GraphAttention(6, 4, 2.0, 0.0), HeterogeneousAttention(6, 4, 100.0, 0.0)])
def test_the_form_that_is_exported_gives_the_same_attention(
    layer: GraphAttention | HeterogeneousAttention, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = torch.randn(2, 9, 6, generator=torch.Generator().manual_seed(1))
    attention: Callable[[Tensor], Tensor] = (
        layer.attention if isinstance(layer, GraphAttention) else lambda nodes: layer.attention(nodes, 4)
    )
    with torch.no_grad():
        trained = attention(nodes)
        monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
        exported = attention(nodes)
    assert not torch.equal(exported, torch.full_like(exported, 1 / 9))
    torch.testing.assert_close(trained, exported, rtol=0, atol=1e-6)
