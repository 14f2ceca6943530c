"""Residual blocks against loops over channels, bands and steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from aasist.model.aasist import Aasist
from aasist.model.encoder import Encoder, ResidualBlock
from aasist.recipe import Architecture

from . import slow_twin


def block(
    channels_in: int, channels_out: int, time_pool: int, unused_norm: bool, squeeze: int = 0, **more: object
) -> ResidualBlock:
    torch.manual_seed(channels_in + channels_out)
    module = ResidualBlock(channels_in, channels_out, time_pool, unused_norm, squeeze, **more)
    module.norm.running_mean.normal_()
    module.norm.running_var.uniform_(0.5, 2.0)
    module.norm.weight.data.uniform_(0.5, 1.5)
    return module.double().eval()


@pytest.mark.parametrize(
    ("channels_in", "channels_out", "time_pool", "unused_norm", "squeeze", "inner", "shortcut"),
    [
        (1, 3, 3, False, 0, None, False),
        (3, 3, 3, True, 0, None, False),
        (3, 4, 2, True, 2, None, False),
        (4, 4, 1, False, 9, None, False),
        (3, 4, 2, False, 0, 2, False),
        (3, 3, 2, False, 0, 5, True),
    ],
)
def test_a_residual_block_agrees_with_the_slow_twin(
    channels_in: int,
    channels_out: int,
    time_pool: int,
    unused_norm: bool,
    squeeze: int,
    inner: int | None,
    shortcut: bool,
) -> None:
    module = block(channels_in, channels_out, time_pool, unused_norm, squeeze, inner=inner, shortcut=shortcut)
    assert module.conv1.out_channels == (channels_out if inner is None else inner)
    features = torch.randn(2, channels_in, 5, 11, dtype=torch.float64)
    with torch.no_grad():
        got = module(features).numpy()
    for row in range(2):
        expected = slow_twin.residual_block(slow_twin.weights_of(module), features[row].numpy(), time_pool)
        np.testing.assert_allclose(got[row], expected, atol=1e-12)
    assert got.shape == (2, channels_out, 5, 11 // time_pool)


def test_a_shortcut_is_there_where_channels_change_and_where_it_is_asked_for() -> None:
    assert block(3, 3, 3, True).shortcut is None
    assert block(3, 3, 3, True, shortcut=True).shortcut is not None
    shortcut = block(3, 4, 3, True).shortcut
    assert shortcut is not None
    assert shortcut.kernel_size == (1, 3)


def test_the_unused_norm_of_a_block_changes_nothing() -> None:
    module = block(3, 4, 3, True)
    features = torch.randn(1, 3, 5, 9, dtype=torch.float64)
    assert module.unused_norm is not None
    with torch.no_grad():
        before = module(features)
        module.unused_norm.weight.fill_(100.0)
        module.unused_norm.running_mean.fill_(-7.0)
        assert torch.equal(module(features), before)


def test_only_the_first_block_goes_without_the_unused_norm() -> None:
    published = Encoder((3, 3, 4), (3, 3, 3), "none", unused_norms=True)
    assert [part.unused_norm is not None for part in published.blocks] == [False, True, True]
    ours = Encoder((3, 3, 4), (3, 3, 3), "none", unused_norms=False)
    assert [part.unused_norm for part in ours.blocks] == [None, None, None]


def test_squeeze_excitation_hears_the_whole_map_and_scales_each_channel_by_less_than_two() -> None:
    without, with_it = block(3, 4, 3, False), block(3, 4, 3, False, squeeze=2)
    features = torch.randn(2, 3, 5, 30, dtype=torch.float64)
    with torch.no_grad():
        with_it.load_state_dict(without.state_dict(), strict=False)
        plain, scaled = without(features), with_it(features)
        gains = scaled / plain
        torch.testing.assert_close(gains, gains[:, :, :1, :1].expand_as(gains), rtol=0, atol=1e-9)
        assert (gains > 0).all() and (gains < 2).all() and gains.std() > 1e-3
        features[..., 15:] *= 3.0  # far from the first step, which no convolution of it reaches
        assert torch.equal(without(features)[..., 0], plain[..., 0])
        assert (with_it(features)[..., 0] - scaled[..., 0]).abs().max() > 1e-3


@pytest.mark.parametrize("compression", ["none", "log", "power"])
def test_encoder_output_agrees_with_the_slow_twin(compression: str, seeded: Callable[..., Aasist]) -> None:
    architecture = Architecture(
        bands=6, kernel_samples=9, channels=(2, 3), time_pools=(2, 1), graph_dims=(3, 2), compression=compression
    )
    model = seeded(architecture).double()
    waveform = torch.randn(1, 200, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.no_grad():
        got = model.features(waveform)[0].numpy()
    filters = model.sinc.filters[:, 0].numpy()
    expected = slow_twin.features(slow_twin.weights_of(model), architecture, filters, waveform[0].numpy())
    np.testing.assert_allclose(got, expected, atol=1e-10)
