"""Importance: what the loss really loses, by the channel and by the window, within the memory that is there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from aasist.export import importance
from aasist.export.channels import ChannelGroup, channel_groups, thinned, width_of
from aasist.export.importance import by_magnitude, by_norm, by_taylor
from aasist.model.aasist import Aasist
from aasist.recipe import Architecture

from .test_channels import TINY, noise, silenced

PLAIN = replace(TINY, channels=(4, 6, 6), time_pools=(2, 2, 1))
SHAPES = {
    "plain": PLAIN,
    "with squeeze-excitation": replace(PLAIN, squeeze=2),
    "with statistics": replace(PLAIN, statistics=True),
    "with context": replace(PLAIN, context_blocks=1, context_heads=2),
}
LABELS = torch.tensor([0, 1])


def losses(model: Aasist, windows: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(model(windows), LABELS, reduction="none")


def scaled(model: Aasist, layer: ChannelGroup, channel: int, factor: float) -> Aasist:
    """A copy in which what reads a channel reads ``factor`` of it."""
    copy = Aasist(model.architecture).double().eval()
    copy.load_state_dict(model.state_dict())
    blocks, last = copy.encoder.blocks, len(copy.encoder.blocks) - 1
    with torch.no_grad():
        if layer.inner:
            blocks[layer.blocks[0]].conv2.weight[:, channel] *= factor
            return copy
        for number in layer.blocks:
            if number < last:
                for part in (blocks[number + 1].conv1, blocks[number + 1].shortcut):
                    if part is not None:
                        part.weight[:, channel] *= factor
            if blocks[number].excitation is not None:
                blocks[number].excitation.squeezed.weight[:, channel] *= factor
        if last in layer.blocks:
            copy.spectral_attention.register_forward_pre_hook(lambda _, given: (faded(given[0], channel, factor),))
            copy.temporal_attention.register_forward_pre_hook(lambda _, given: (faded(given[0], channel, factor),))
            if copy.architecture.statistics:
                a = copy.architecture
                start, size = 5 * a.graph_dims[1], a.channels[-1] * a.spectral_nodes
                for kind in range(3):
                    first = start + kind * size + channel * a.spectral_nodes
                    copy.out.weight[:, first : first + a.spectral_nodes] *= factor
    return copy


def faded(nodes: torch.Tensor, channel: int, factor: float) -> torch.Tensor:
    nodes = nodes.clone()
    nodes[:, :, channel] *= factor
    return nodes


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_slope_of_the_loss_along_the_way_to_zero(shape: str, seeded: Callable[..., Aasist]) -> None:
    """Against the model itself, each channel scaled a little for all that read it."""
    model = seeded(SHAPES[shape]).double()
    windows, step = noise(800).double(), 1e-5
    found = by_taylor(model, windows, LABELS)
    assert found.keys() == set(channel_groups(model.architecture))
    with torch.no_grad():
        for layer, values in found.items():
            for channel in range(len(values)):
                up, down = (losses(scaled(model, layer, channel, 1 + d), windows) for d in (step, -step))
                expected = ((up - down) / (2 * step)).abs().mean()
                assert values[channel] == pytest.approx(float(expected), rel=1e-3, abs=1e-8), f"{layer}, {channel}"


def test_it_tells_the_channels_whose_loss_matters_from_those_whose_does_not(seeded: Callable[..., Aasist]) -> None:
    model = seeded(PLAIN).double()
    windows = noise(800).double()
    for layer in channel_groups(PLAIN):
        silenced(model, layer, [1])
    found = by_taylor(model, windows, LABELS)
    for layer, values in found.items():
        assert values[1] == pytest.approx(0.0, abs=1e-15)
        assert (values[torch.arange(len(values)) != 1] > 0).all(), layer
        others = [channel for channel in range(width_of(PLAIN, layer)) if channel != 1]
        with torch.no_grad():
            torch.testing.assert_close(
                thinned(model, {layer: torch.tensor(others)})(windows), model(windows), rtol=0, atol=1e-9
            )


def test_windows_are_heard_a_few_at_a_time_and_that_changes_nothing(
    seeded: Callable[..., Aasist], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = seeded(PLAIN)
    windows = torch.cat([noise(800, seed) for seed in range(3)])[:5]
    labels = torch.tensor([0, 1, 0, 0, 1])
    whole = by_taylor(model, windows, labels)
    heard: list[int] = []
    told: list[int] = []
    handle = model.register_forward_pre_hook(lambda _, given: heard.append(len(given[0])))
    monkeypatch.setattr(importance, "MEMORY_BYTES", 4 * PLAIN.activation_bytes)
    parts = by_taylor(model, windows, labels, told.append)
    handle.remove()
    assert heard == [2, 2, 1]
    assert told == [2, 4, 5]
    for layer in whole:
        torch.testing.assert_close(parts[layer], whole[layer], rtol=1e-4, atol=1e-9)


def test_it_leaves_the_model_as_it_was(seeded: Callable[..., Aasist]) -> None:
    model = seeded(PLAIN).requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    by_taylor(model, noise(800), LABELS)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert not any(weight.requires_grad or weight.grad is not None for weight in model.parameters())


def test_a_published_window_takes_one_row_and_a_shipped_one_several() -> None:
    from aasist.recipe import AASIST, EFFICIENT

    def rows(architecture: Architecture) -> int:
        with torch.device("meta"):
            return importance.rows_at_once(Aasist(architecture))

    assert rows(AASIST) == 1
    assert rows(EFFICIENT) > 8


def square(convolution: torch.nn.Conv2d, channel: int) -> float:
    return float(convolution.weight.detach()[channel].square().sum())


def test_by_magnitude_a_channel_is_what_the_filters_that_make_it_weigh(seeded: Callable[..., Aasist]) -> None:
    model = seeded(PLAIN)
    blocks, found = model.encoder.blocks, by_magnitude(model)
    assert found[ChannelGroup((1,), inner=True)][2] == pytest.approx(square(blocks[1].conv1, 2), rel=1e-5)
    tied = sum(square(part, 3) for part in (blocks[1].conv2, blocks[1].shortcut, blocks[2].conv2))
    assert found[ChannelGroup((1, 2), inner=False)][3] == pytest.approx(tied, rel=1e-5)


def test_by_the_scale_of_norms_only_inner_channels_are_told_apart(seeded: Callable[..., Aasist]) -> None:
    model = seeded(PLAIN)
    found = by_norm(model)
    assert set(found) == {layer for layer in channel_groups(PLAIN) if layer.inner}
    torch.testing.assert_close(
        found[ChannelGroup((0,), inner=True)].float(), model.encoder.blocks[0].norm.weight.detach().square()
    )
