"""Context blocks: against loops over nodes and heads, at any length, and what a distance is worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from aasist.model import attention as explained
from aasist.model.aasist import Aasist
from aasist.model.context import FARTHEST, Part, RelativeAttention, context_of
from aasist.recipe import EFFICIENT, Architecture

from . import slow_twin

KINDS = ("transformer", "conformer")


def architecture(kind: str, blocks: int = 2) -> Architecture:
    return Architecture(
        channels=(5, 6), time_pools=(3, 3), context=kind, context_blocks=blocks, context_heads=2, context_kernel=5
    )


def context(kind: str, blocks: int = 2) -> nn.Sequential:
    """Whose parts are large, so that each of them tells."""
    torch.manual_seed(1)
    module = context_of(architecture(kind, blocks)).double().eval()
    for name, weight in module.named_parameters():
        if name.endswith(("scale", "distance_bias")) or "norm" in name:
            weight.data.normal_(0.5, 0.7)
    return module


def nodes(count: int, batch: int = 1) -> torch.Tensor:
    return torch.randn(batch, count, 6, generator=torch.Generator().manual_seed(count), dtype=torch.float64)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 9, 23])
def test_blocks_agree_with_the_slow_twin_at_any_number_of_nodes(kind: str, count: int) -> None:
    module, given = context(kind), nodes(count, batch=2)
    with torch.no_grad():
        got = module(given).numpy()
    for row in range(2):
        expected = slow_twin.context(slow_twin.weights_of(module), architecture(kind), given[row].numpy())
        np.testing.assert_allclose(got[row], expected, atol=1e-12)
    assert np.abs(got - given.numpy()).max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_that_is_scaled_by_zero_is_the_identity_and_so_are_no_blocks(kind: str) -> None:
    module, given = context(kind), nodes(9)
    for part in module:
        part.scale.data.zero_()
    assert torch.equal(module(given), given)
    none = context_of(architecture(kind, blocks=0))
    assert torch.equal(none(given), given)
    assert not none.state_dict()


def test_the_last_node_reaches_the_first_over_any_distance() -> None:
    module, given = context("transformer", blocks=1), nodes(60)
    other = given.clone()
    other[0, -1] *= -1.0
    with torch.no_grad():
        assert (module(other)[0, 0] - module(given)[0, 0]).abs().max() > 1e-3


def test_a_distance_is_known_whichever_way_up_to_the_farthest_and_wherever_it_lies() -> None:
    torch.manual_seed(2)
    layer = RelativeAttention(6, 2)
    layer.distance_bias.data.normal_()
    with torch.no_grad():
        logs = layer.attention(torch.zeros(1, 30, 6) + torch.randn(6)).log()[0]
    relative = logs - logs.diagonal(dim1=1, dim2=2).unsqueeze(2)  # the same node over and over: only distances differ
    for i, j in [(12, 9), (12, 15), (12, 20), (12, 21)]:
        torch.testing.assert_close(relative[:, i, j], relative[:, i + 3, j + 3])
    assert (relative[:, 12, 9] - relative[:, 12, 15]).abs().min() > 1e-2
    assert (relative[:, 12, 12 + FARTHEST - 1] - relative[:, 12, 12 + FARTHEST]).abs().min() > 1e-2
    torch.testing.assert_close(relative[:, 12, 12 + FARTHEST], relative[:, 12, 29])


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_of_the_shipped_shape_is_trained_from_crops_and_runs_on_whole_windows(kind: str) -> None:
    a = replace(EFFICIENT, context=kind, context_blocks=2)
    torch.manual_seed(3)
    model = Aasist(a).train()
    features = torch.randn(2, 48, 23, 10)  # 1.25 s
    model.logits(features).square().sum().backward()
    trained = {name: weight.grad for name, weight in model.context.named_parameters()}
    biases = [gradient for name, gradient in trained.items() if name.endswith("distance_bias")]
    assert len(biases) == 2
    for gradient in biases:
        assert gradient is not None
        assert gradient.ne(0).all(), "some distance is never trained by a crop of 1.25 s"
    with torch.no_grad():
        assert torch.isfinite(model.eval().logits(torch.randn(1, 48, 23, 500))).all()


def test_dropout_is_on_what_parts_add_and_in_training_alone() -> None:
    part = Part(6, nn.Identity(), 0.5).double()
    given = nodes(400)
    dropped = (part.train()(given) == given).double().mean()
    assert 0.4 < dropped < 0.6
    assert not (part.eval()(given) == given).any()


def test_rollout_goes_through_the_attention_of_the_blocks(seeded: Callable[..., Aasist]) -> None:
    """Against loops: a node's weight is half its own, half what all others gathered from it."""
    a = Architecture(
        bands=6, kernel_samples=9, channels=(2, 4), time_pools=(3, 3), graph_dims=(3, 2), context_blocks=2,
        context_heads=2, context_kernel=3,
    )  # fmt: skip
    model = seeded(a, seed=5)
    for name, weight in model.context.named_parameters():
        if name.endswith(("scale", "distance_bias")):
            weight.data.normal_(0.5, 1.0, generator=torch.Generator().manual_seed(len(name)))
    waveform = 0.1 * torch.randn(700, generator=torch.Generator().manual_seed(1))
    got = [span.weight for span in explained.attention(model, waveform).spans]
    assert sum(got) == pytest.approx(1.0, abs=1e-5)

    with torch.no_grad():
        _, temporal = model.nodes(model.features(waveform[None]))
    weights = slow_twin.under(slow_twin.weights_of(model), "context")
    passed, gathered = list(temporal[0].double().numpy()), []
    for index, kind in enumerate(["feed", "attend", "convolve", "feed"] * 2):
        part = slow_twin.under(weights, str(index))
        normal = [slow_twin.layer_norm(part, "norm", node) for node in passed]
        if kind == "attend":
            gathered.append(slow_twin.relative_shares(slow_twin.under(part, "inner"), normal, 2).mean(axis=0))
        with torch.no_grad():
            passed = list(model.context[index](torch.tensor(np.array(passed)).float()[None])[0].double().numpy())
    # What the graphs alone say of the nodes behind the blocks: those of a model without any, given these nodes.
    bare = Aasist(replace(a, context_blocks=0)).eval()
    bare.load_state_dict({n: w for n, w in model.state_dict().items() if not n.startswith("context")})
    behind = torch.tensor(np.array(passed)).float()[None]
    with torch.no_grad():
        spectral, _ = model.nodes(model.features(waveform[None]))
    bare.nodes = lambda features: (spectral, behind)  # type: ignore[method-assign]
    expected = [span.weight for span in explained.attention(bare, waveform).spans]
    for shares in reversed(gathered):
        expected = [
            (expected[j] + sum(expected[i] * shares[i, j] for i in range(len(expected)))) / 2
            for j in range(len(expected))
        ]
    np.testing.assert_allclose(got, expected, atol=1e-5)
    reach = explained.reach_seconds(a) - explained.reach_seconds(replace(a, context_blocks=0))
    assert reach == pytest.approx(2 * 1 * 27 / 16_000)  # a node stands for 3 x 9 samples
