"""Graph layers against loops over nodes and pairs."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from aasist.model.graph import GraphAttention, GraphPool, HeterogeneousAttention, kept_nodes

from . import slow_twin


def seasoned(module: nn.Module) -> nn.Module:
    """Seeded weights large enough to matter, in float64 and eval mode, with batch norms that have seen something."""
    generator = torch.Generator().manual_seed(7)
    for name, value in module.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        elif not name.endswith("num_batches_tracked"):
            value.copy_(torch.randn(value.shape, generator=generator))
    return module.double().eval()


def nodes(count: int, dim: int, seed: int, graphs: int = 3) -> torch.Tensor:
    return torch.randn(graphs, count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("temperature", [0.5, 2.0, 100.0])
def test_graph_attention_agrees_with_the_slow_twin_for_each_graph_of_a_batch(temperature: float) -> None:
    module = seasoned(GraphAttention(5, 4, temperature, dropout=0.2))
    batch = nodes(6, 5, seed=1)
    with torch.no_grad():
        got = module(batch).numpy()
    for graph in range(len(batch)):
        expected = slow_twin.graph_attention(slow_twin.weights_of(module), batch[graph].numpy(), temperature)
        np.testing.assert_allclose(got[graph], expected, atol=1e-12)


def test_graph_attention_moves_with_its_nodes_when_they_are_reordered() -> None:
    module = seasoned(GraphAttention(5, 4, 1.0, dropout=0.2))
    batch, order = nodes(6, 5, seed=2), torch.tensor([3, 0, 5, 1, 4, 2])
    with torch.no_grad():
        torch.testing.assert_close(module(batch[:, order]), module(batch)[:, order])


@pytest.mark.parametrize(("temporal_count", "spectral_count"), [(4, 3), (1, 5), (2, 1)])
def test_heterogeneous_attention_agrees_with_the_slow_twin(temporal_count: int, spectral_count: int) -> None:
    module = seasoned(HeterogeneousAttention(5, 4, 1.5, dropout=0.2))
    temporal, spectral = nodes(temporal_count, 5, seed=3), nodes(spectral_count, 5, seed=4)
    master = nodes(1, 5, seed=5)
    with torch.no_grad():
        got = [part.numpy() for part in module(temporal, spectral, master)]
    for graph in range(len(temporal)):
        expected = slow_twin.heterogeneous_attention(
            slow_twin.weights_of(module),
            temporal[graph].numpy(),
            spectral[graph].numpy(),
            master[graph, 0].numpy(),
            1.5,
        )
        np.testing.assert_allclose(got[0][graph], expected[0], atol=1e-12)
        np.testing.assert_allclose(got[1][graph], expected[1], atol=1e-12)
        np.testing.assert_allclose(got[2][graph, 0], expected[2], atol=1e-12)


def test_nodes_learn_nothing_from_the_master() -> None:
    module = seasoned(HeterogeneousAttention(5, 4, 1.5, dropout=0.2))
    temporal, spectral = nodes(4, 5, seed=3), nodes(3, 5, seed=4)
    with torch.no_grad():
        one = module(temporal, spectral, nodes(1, 5, seed=5))
        other = module(temporal, spectral, nodes(1, 5, seed=6))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    assert not torch.allclose(one[2], other[2])


@pytest.mark.parametrize(("count", "ratio", "kept"), [(6, 0.5, 3), (7, 0.5, 3), (5, 0.7, 3), (3, 0.1, 1), (1, 0.5, 1)])
def test_graph_pooling_agrees_with_the_slow_twin_in_order_too(count: int, ratio: float, kept: int) -> None:
    module = seasoned(GraphPool(4, ratio, dropout=0.3))
    batch = nodes(count, 4, seed=count)
    with torch.no_grad():
        got = module(batch).numpy()
    assert got.shape == (3, kept, 4)
    for graph in range(3):
        expected = slow_twin.graph_pool(slow_twin.weights_of(module), batch[graph].numpy(), ratio)
        np.testing.assert_allclose(got[graph], expected, atol=1e-12)


@pytest.mark.parametrize("count", [90, 170, 180])
def test_pooling_rounds_as_float64_does_where_float32_would_keep_one_node_more(count: int) -> None:
    in_float32 = int(np.float32(count) * np.float32(0.7))
    assert kept_nodes(count, 0.7) == in_float32 - 1 == int(count * 0.7)


def test_no_count_up_to_2000_keeps_another_number_of_nodes_than_the_product_of_doubles_says() -> None:
    for ratio in (0.4, 0.5, 0.7):
        for count in range(1, 2_001):
            # The double nearest to the exact product of two doubles is what float64 multiplication means.
            product = float(Fraction(count) * Fraction(ratio))
            assert kept_nodes(count, ratio) == max(int(product), 1)


def test_dropout_works_in_training_only() -> None:
    for module, parts in (
        (GraphAttention(5, 4, 1.0, dropout=0.2), (nodes(6, 5, seed=1),)),
        (GraphPool(5, 0.5, dropout=0.3), (nodes(6, 5, seed=1),)),
    ):
        module.double()
        torch.manual_seed(0)
        assert torch.equal(module.eval()(*parts), module(*parts))
        assert not torch.equal(module.train()(*parts), module(*parts))
