"""Channels that leave the encoder: all that has none to spare afterwards, and logits as if they had been zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aasist.export.channels import ChannelGroup, Kept, channel_groups, narrower, thinned, width_of
from aasist.model.aasist import Aasist
from aasist.model.cost import encoder_gflop
from aasist.recipe import AASIST, EFFICIENT, Architecture

TINY = Architecture(
    name="tiny",
    window_samples=800,
    level="rms",
    bands=8,
    kernel_samples=17,
    sinc_stride=3,
    front_pool=(2, 4),
    compression="log",
    channels=(4, 4, 6, 6),
    time_pools=(2, 2, 2, 1),
    graph_dims=(5, 4),
)

architectures = st.builds(
    lambda widths, inner, squeeze, statistics, prosody, unused, heads: replace(
        TINY,
        channels=tuple(widths),
        inner_channels=tuple(inner) if inner else (),
        time_pools=(2,) * len(widths),
        squeeze=squeeze,
        statistics=statistics,
        prosody=prosody,
        unused_norms=unused,
        context_blocks=int(heads),
        context_heads=1,
    ),
    st.shared(st.lists(st.integers(2, 5), min_size=1, max_size=4), key="widths"),
    st.one_of(
        st.none(),
        st.shared(st.lists(st.integers(2, 5), min_size=1, max_size=4), key="widths").flatmap(
            lambda widths: st.lists(st.integers(2, 5), min_size=len(widths), max_size=len(widths))
        ),
    ),
    st.sampled_from([0, 1, 2]),
    st.booleans(),
    st.sampled_from(["none", "both"]),
    st.booleans(),
    st.booleans(),
)


def silenced(model: Aasist, layer: ChannelGroup, channels: list[int]) -> None:
    """Make channels zero, by the weights that make them."""
    with torch.no_grad():
        for number in layer.blocks:
            block = model.encoder.blocks[number]
            if layer.inner:
                block.norm.weight[channels] = 0.0
                block.norm.bias[channels] = 0.0
                continue
            for part in (block.conv2, block.shortcut):
                if part is not None:
                    part.weight[channels] = 0.0
                    part.bias[channels] = 0.0
        if len(model.encoder.blocks) - 1 in layer.blocks and not layer.inner:
            model.spectral_position[:, :, channels] = 0.0


def without(architecture: Architecture, gone: dict[ChannelGroup, list[int]]) -> Kept:
    return {
        layer: torch.tensor([n for n in range(width_of(architecture, layer)) if n not in channels])
        for layer, channels in gone.items()
    }


def noise(samples: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(2, samples, generator=torch.Generator().manual_seed(seed))


def test_layers_are_tied_by_the_sums_of_the_published_and_the_shipped_encoder() -> None:
    def outer(architecture: Architecture) -> list[tuple[int, ...]]:
        return [layer.blocks for layer in channel_groups(architecture) if not layer.inner]

    assert outer(AASIST) == [(0, 1), (2, 3, 4, 5)]
    assert outer(EFFICIENT) == [(0,), (1,), (2,), (3, 4)]
    assert outer(replace(EFFICIENT, context_blocks=1)) == [(0,), (1,), (2,)]
    assert outer(replace(EFFICIENT, shortcut_blocks=(5,))) == [(0,), (1,), (2,), (3,), (4,)]
    assert [layer.blocks for layer in channel_groups(EFFICIENT) if layer.inner] == [(n,) for n in range(5)]
    names = [str(layer) for layer in channel_groups(AASIST)]
    assert names[:3] == [
        "between the convolutions of block 1",
        "out of blocks 1 and 2",
        "between the convolutions of block 2",
    ]


@settings(max_examples=15)
@given(architectures, st.randoms(use_true_random=False))
def test_without_channels_that_are_zero_a_model_says_what_it_said(
    seeded: Callable[..., Aasist], architecture: Architecture, random: object
) -> None:
    """Over random architectures and random channels of every layer; hidden units of squeeze-excitation are tested below."""
    architecture = replace(architecture, squeeze=0)
    model = seeded(architecture).double()
    gone = {
        layer: random.sample(range(width), random.randint(0, width - 1))  # type: ignore[attr-defined]
        for layer in channel_groups(architecture)
        if (width := width_of(architecture, layer))
    }
    for layer, channels in gone.items():
        silenced(model, layer, channels)
    thin = thinned(model, without(architecture, gone))
    waveform = noise(800).double()
    with torch.no_grad():
        torch.testing.assert_close(thin(waveform), model(waveform), rtol=0, atol=1e-9)
    for layer, channels in gone.items():
        assert width_of(thin.architecture, layer) == width_of(architecture, layer) - len(channels)
    assert sum(map(len, gone.values())) == 0 or encoder_gflop(thin.architecture) < encoder_gflop(architecture)


@settings(max_examples=15)
@given(architectures, st.integers(0, 1_000))
def test_the_weights_are_those_that_the_new_architecture_is_built_with(
    seeded: Callable[..., Aasist], architecture: Architecture, seed: int
) -> None:
    """Squeeze-excitation and context blocks included: what comes out is a model like any other, and says something."""
    model = seeded(architecture)
    draw = torch.Generator().manual_seed(seed)
    kept = {
        layer: torch.randperm(width, generator=draw)[: max(width // 2, 1)].sort().values
        for layer in channel_groups(architecture)
        if (width := width_of(architecture, layer))
    }
    thin = thinned(model, kept)
    assert Architecture.from_json(thin.architecture.to_json()) == thin.architecture
    assert thin.architecture == narrower(architecture, {layer: len(indices) for layer, indices in kept.items()})
    assert not thin.training
    assert not [name for name in thin.state_dict() if "unused_norm" in name]
    with torch.no_grad():
        assert thin(noise(800)).isfinite().all()
        assert [block.shortcut is not None for block in thin.encoder.blocks] == [
            block.shortcut is not None for block in model.encoder.blocks
        ]


def test_a_convolution_around_a_block_stays_where_its_two_ends_have_come_to_one_width(
    seeded: Callable[..., Aasist],
) -> None:
    model = seeded(replace(TINY, channels=(4, 6), time_pools=(2, 2))).double()
    last = ChannelGroup((1,), inner=False)
    silenced(model, last, [1, 4])
    thin = thinned(model, {last: torch.tensor([0, 2, 3, 5])})
    assert thin.architecture.channels == (4, 4)
    assert thin.architecture.inner_channels == (4, 6)
    assert thin.architecture.shortcut_blocks == (2,)
    with torch.no_grad():
        torch.testing.assert_close(thin(noise(800).double()), model(noise(800).double()), rtol=0, atol=1e-9)
    again = thinned(thin, {ChannelGroup((0,), inner=False): torch.tensor([0, 3])})
    assert again.architecture.channels == (2, 4)
    assert again.architecture.shortcut_blocks == ()


def test_hidden_units_of_squeeze_excitation_leave_with_the_channels_the_weakest_first(
    seeded: Callable[..., Aasist],
) -> None:
    model = seeded(replace(TINY, channels=(6,), time_pools=(2,), squeeze=2)).double()
    layer = ChannelGroup((0,), inner=False)
    silenced(model, layer, [0, 5])
    excitation = model.encoder.blocks[0].excitation
    with torch.no_grad():
        excitation.excited.weight[:, 1] = 0.0
    thin = thinned(model, {layer: torch.tensor([1, 2, 3, 4])})
    smaller = thin.encoder.blocks[0].excitation
    torch.testing.assert_close(smaller.squeezed.weight, excitation.squeezed.weight[[0, 2]][:, [1, 2, 3, 4]])
    with torch.no_grad():
        torch.testing.assert_close(thin(noise(800).double()), model(noise(800).double()), rtol=0, atol=1e-9)


def test_with_all_channels_kept_only_the_unused_norms_are_gone(seeded: Callable[..., Aasist]) -> None:
    model = seeded(replace(TINY, unused_norms=True))
    thin = thinned(model, {})
    assert thin.architecture == replace(model.architecture, unused_norms=False)
    with torch.no_grad():
        assert torch.equal(thin(noise(800)), model(noise(800)))
    assert thin.out.weight.data_ptr() != model.out.weight.data_ptr()


@pytest.mark.parametrize("samples", [800, 1_031])
def test_a_thinned_model_takes_any_length(samples: int, seeded: Callable[..., Aasist]) -> None:
    model = seeded(TINY)
    thin = thinned(model, {ChannelGroup((2, 3), inner=False): torch.tensor([1, 5])})
    with torch.no_grad():
        assert thin(noise(samples)).shape == (2, 2)
