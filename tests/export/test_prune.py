"""Pruning: as much work gone as was asked for, of what matters least, and no layer left without a channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from aasist.errors import ModelError
from aasist.export.channels import ChannelGroup, channel_groups, thinned, width_of
from aasist.export.importance import Importance, by_magnitude, by_norm, by_taylor
from aasist.export.onnx import export
from aasist.export.prune import chosen, prune
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.model.cost import cost, encoder_gflop
from aasist.recipe import AASIST, EFFICIENT, Architecture
from aasist.runtime.detector import Detector
from aasist.runtime.modelfile import ModelNotes

from .test_channels import TINY, architectures, noise, silenced

LABELS = torch.tensor([0, 1])


def equal(model: Aasist) -> Importance:
    return {
        layer: torch.ones(width_of(model.architecture, layer)).double() for layer in channel_groups(model.architecture)
    }


@settings(max_examples=20)
@given(architectures, st.floats(0.05, 0.6), st.integers(1, 3), st.integers(1, 3))
def test_the_share_is_reached_and_every_layer_keeps_a_channel(
    seeded: Callable[..., Aasist], architecture: Architecture, remove: float, multiple: int, rounds: int
) -> None:
    model = seeded(architecture)
    asked: list[int] = []

    def measure(of: Aasist) -> Importance:
        asked.append(1)
        return by_magnitude(of)

    try:
        found = prune(model, remove, measure, relative=True, multiple=multiple, rounds=rounds)
    except ModelError as error:
        assert error.code == "prune"
        assert "the most that leaves" in error.message or "nothing to remove" in error.message
        return
    assert 1 <= len(asked) <= rounds
    assert found.removed >= remove - 1e-12
    assert found.gflop_after == encoder_gflop(found.model.architecture)
    assert found.gflop_before == encoder_gflop(architecture)
    whole, by_layer = model.architecture, channel_groups(found.model.architecture)
    assert by_layer == channel_groups(whole)
    for layer in by_layer:
        before, after = width_of(whole, layer), width_of(found.model.architecture, layer)
        assert 1 <= after <= before
        assert after == before or after % multiple == 0
    with torch.no_grad():
        assert found.model(noise(800)).isfinite().all()


def test_channels_that_are_zero_leave_first_and_logits_stay(seeded: Callable[..., Aasist]) -> None:
    model = seeded(TINY).double()
    dead = {
        ChannelGroup((0,), inner=True): [2],
        ChannelGroup((1,), inner=True): [0, 3],
        ChannelGroup((2, 3), inner=False): [1, 5],
    }
    for layer, channels in dead.items():
        silenced(model, layer, channels)
    windows = noise(800).double()
    work = encoder_gflop(replace(TINY, channels=(4, 4, 4, 4), inner_channels=(3, 2, 6, 6), shortcut_blocks=(3,)))
    remove = 1 - work / encoder_gflop(TINY)
    found = prune(model, remove - 1e-9, partial(by_taylor, windows=windows, labels=LABELS))
    assert found.model.architecture.channels == (4, 4, 4, 4)
    assert found.model.architecture.inner_channels == (3, 2, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(found.model(windows), model(windows), rtol=0, atol=1e-6)


def test_of_equal_channels_those_leave_that_cost_most() -> None:
    importance = {layer: torch.ones(width_of(AASIST, layer)).double() for layer in channel_groups(AASIST)}
    kept = chosen(AASIST, importance, 0.75 * encoder_gflop(AASIST), relative=False, multiple=1)
    # The long maps of the first two blocks take more than nine tenths of all work.
    assert {block for layer in kept for block in layer.blocks} <= {0, 1}


def test_what_matters_most_stays_though_it_costs_most() -> None:
    importance = {layer: torch.ones(width_of(EFFICIENT, layer)).double() for layer in channel_groups(EFFICIENT)}
    dear = ChannelGroup((0,), inner=False)
    importance[dear] = torch.full((16,), 1e6).double()
    kept = chosen(EFFICIENT, importance, 0.5 * encoder_gflop(EFFICIENT), relative=False, multiple=1)
    assert dear not in kept
    importance[dear][[3, 7]] = 0.0
    kept = chosen(EFFICIENT, importance, 0.9 * encoder_gflop(EFFICIENT), relative=False, multiple=1)
    assert kept[dear].tolist() == [n for n in range(16) if n not in (3, 7)]


def test_importance_is_told_anew_of_what_is_left(seeded: Callable[..., Aasist]) -> None:
    asked: list[float] = []

    def measure(model: Aasist) -> Importance:
        asked.append(encoder_gflop(model.architecture))
        return equal(model)

    prune(seeded(TINY), 0.5, measure, rounds=4)
    assert asked == sorted(asked, reverse=True)
    assert 2 <= len(asked) <= 4


def test_a_share_that_empties_a_layer_is_refused_with_the_layer_and_the_largest_that_works(
    seeded: Callable[..., Aasist],
) -> None:
    model = seeded(TINY)
    with pytest.raises(ModelError) as error:
        prune(model, 0.995, by_norm, relative=True)
    said = error.value.message
    assert "no channel would be left between the convolutions of block" in said
    most = float(said.split("leaves every layer some is ")[1])
    assert prune(model, most, by_norm, relative=True).removed >= most
    with pytest.raises(ModelError, match="the most that leaves every layer some is"):
        prune(model, most + 0.001, by_norm, relative=True)
    with pytest.raises(ModelError, match="widths are multiples of 2, and smaller ones go further"):
        prune(model, most, by_norm, relative=True, multiple=2)


def test_where_no_layer_has_a_channel_to_spare_nothing_can_leave(seeded: Callable[..., Aasist]) -> None:
    with pytest.raises(ModelError, match="nothing to remove: no layer of the encoder has a channel to spare"):
        prune(seeded(replace(TINY, channels=(1,), time_pools=(2,))), 0.1, by_magnitude)
    with pytest.raises(ModelError, match=r"nothing to remove.*multiples of 8, and smaller ones go further"):
        prune(seeded(TINY), 0.1, by_magnitude, multiple=8)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, float("nan")])
def test_a_share_that_is_none_is_refused(share: float, small_model: Aasist) -> None:
    with pytest.raises(ValueError, match=r"share in \(0, 1\)"):
        prune(small_model, share, by_magnitude)


def test_a_pruned_model_is_saved_and_loaded_as_a_checkpoint(seeded: Callable[..., Aasist], tmp_path: Path) -> None:
    thin = prune(seeded(TINY), 0.5, by_magnitude, relative=True).model
    checkpoint.save(thin, tmp_path / "thin.safetensors")
    again = checkpoint.load(tmp_path / "thin.safetensors")
    assert again.architecture == thin.architecture == checkpoint.architecture_of(tmp_path / "thin.safetensors")
    with torch.no_grad():
        assert torch.equal(again(noise(800)), thin(noise(800)))


def test_a_pruned_model_is_exported_within_a_ten_thousandth_of_itself(
    small_model: Aasist, small_notes: ModelNotes, tmp_path: Path
) -> None:
    """Layers narrower than what comes out, and a convolution around a block of equal widths, included."""
    kept = {
        ChannelGroup((0,), inner=True): torch.tensor([1, 4]),
        ChannelGroup((1,), inner=False): torch.tensor([0, 2, 3, 5, 6, 7]),
    }
    thin = thinned(small_model, kept)
    assert thin.architecture.shortcut_blocks == (2,)
    notes = replace(small_notes, variant=thin.architecture.to_json())
    assert export(thin, tmp_path / "thin.onnx", notes) <= 1e-4
    detector = Detector(tmp_path / "thin.onnx", threads=1)
    assert Architecture.from_json(detector.notes.variant) == thin.architecture


def test_the_published_checkpoint_is_pruned(reference: Path) -> None:
    model = checkpoint.load(reference / "AASIST.pth")
    found = prune(model, 0.5, by_magnitude, relative=True, multiple=4)
    assert found.removed == pytest.approx(0.5, abs=0.05)
    assert not found.model.architecture.unused_norms
    before, after = cost(model.architecture), cost(found.model.architecture)
    # And a little of the graphs, whose nodes have fewer channels.
    assert before.gflop - after.gflop == pytest.approx(found.gflop_before - found.gflop_after, rel=1e-3)
    with torch.no_grad():
        assert found.model(noise(8_000)).isfinite().all()


def test_the_work_of_the_encoder_is_what_its_convolutions_do() -> None:
    thin = replace(
        EFFICIENT, channels=(5, 24, 24, 20, 20), inner_channels=(3, 7, 30, 1, 9), shortcut_blocks=(1, 3), squeeze=2
    )
    for a in (AASIST, thin, TINY):
        frames = ((64_600 - a.frame_samples) // a.hop_samples + 1) // a.front_pool[1]
        counter = FlopCounterMode(display=False)
        with FakeTensorMode(), counter:
            Aasist(replace(a, squeeze=0)).encoder(torch.empty(1, a.spectral_nodes, frames))
        assert encoder_gflop(a) == pytest.approx(counter.get_total_flops() / 1e9, rel=1e-12)
