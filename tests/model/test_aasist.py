"""The whole model: against the slow twin, at many lengths, and what must not change its logits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from aasist.errors import ModelError
from aasist.model.aasist import Aasist
from aasist.recipe import AASIST, AASIST_L, EFFICIENT, Architecture

from . import slow_twin

LENGTHS = (2_315, 2_999, 16_000, 48_000, 64_599, 64_600, 64_601, 100_000, 198_000, 200_000)

TINY = {
    "like the published": Architecture(
        bands=9, kernel_samples=17, channels=(3, 3, 4), time_pools=(3, 3, 3), graph_dims=(4, 3)
    ),
    "like ours": Architecture(
        level="rms",
        bands=8,
        kernel_samples=17,
        sinc_stride=3,
        front_pool=(2, 4),
        compression="log",
        channels=(2, 3),
        time_pools=(3, 1),
        unused_norms=False,
        graph_dims=(4, 3),
        spectral_ratio=0.4,
        heterogeneous_ratio=0.7,
        temperatures=(0.5, 1.0, 3.0),
    ),
}
TINY["with all that is offered"] = replace(
    TINY["like ours"],
    channels=(2, 4),
    compression="power",
    squeeze=2,
    context_blocks=2,
    context_heads=2,
    context_kernel=3,
    statistics=True,
)
TINY["centred"] = replace(TINY["like ours"], centring=0.75)
TINY["with a transformer and a cosine"] = replace(
    TINY["like ours"],
    channels=(2, 4),
    context_blocks=1,
    context="transformer",
    context_heads=4,
    readout="cosine",
    statistics=True,
)


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", TINY)
def test_a_tiny_architecture_agrees_with_the_slow_twin_from_waveform_to_logits(
    name: str, seeded: Callable[..., Aasist]
) -> None:
    model = seeded(TINY[name], seed=3).double()
    waveforms = noise(2, 600, seed=4).double()
    with torch.no_grad():
        got = model(waveforms).numpy()
    for row in range(2):
        expected = slow_twin.logits(
            slow_twin.weights_of(model), TINY[name], model.sinc.filters[:, 0].numpy(), waveforms[row].numpy()
        )
        np.testing.assert_allclose(got[row], expected, atol=1e-10)
    assert np.abs(got[0] - got[1]).max() > 1e-2, "logits that ignore the waveform would agree as well"


@pytest.mark.parametrize(
    ("architecture", "parameters", "keys"),
    [(AASIST, 297_866, 229), (AASIST_L, 85_306, 229)],
    ids=lambda value: str(value)[:20],
)
def test_published_architectures_have_the_published_number_of_parameters_and_keys(
    architecture: Architecture, parameters: int, keys: int
) -> None:
    model = Aasist(architecture)
    assert sum(weight.numel() for weight in model.parameters()) == parameters
    assert len(model.state_dict()) == keys


def test_the_published_window_gives_23_spectral_and_29_temporal_nodes(seeded: Callable[..., Aasist]) -> None:
    model = seeded(AASIST_L)
    with torch.no_grad():
        features = model.features(noise(1, 64_600))
        spectral, temporal = model.graphs(features)
    assert features.shape == (1, 24, 23, 29)
    assert (spectral.shape, temporal.shape) == ((1, 23, 24), (1, 29, 24))
    assert (model.spectral_pool(spectral).shape, model.temporal_pool(temporal).shape) == ((1, 9, 24), (1, 14, 24))


def test_the_light_model_runs_at_ten_lengths_from_the_shortest_up(seeded: Callable[..., Aasist]) -> None:
    model = seeded(AASIST_L)
    assert model.architecture.shortest_samples == LENGTHS[0] == 2_315
    with torch.no_grad():
        logits = torch.cat([model(noise(1, length)) for length in LENGTHS])
    assert logits.shape == (10, 2)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("length", [2_315, 198_000])
def test_the_full_model_runs_at_the_ends_of_the_range(length: int, seeded: Callable[..., Aasist]) -> None:
    with torch.no_grad():
        logits = seeded(AASIST)(noise(1, length))
    assert logits.shape == (1, 2)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", TINY)
def test_shortest_samples_is_the_shortest_that_runs(name: str, seeded: Callable[..., Aasist]) -> None:
    model = seeded(TINY[name])
    with torch.no_grad():
        assert model.features(noise(1, model.architecture.shortest_samples)).shape[3] == 1
        assert torch.isfinite(model(noise(1, model.architecture.shortest_samples))).all()
        with pytest.raises(RuntimeError):
            model(noise(1, model.architecture.shortest_samples - 1))


def test_a_batch_of_one_gives_what_a_batch_of_six_gives(small_model: Aasist) -> None:
    waveforms = noise(6, 8_000)
    with torch.no_grad():
        together = small_model(waveforms)
        alone = torch.cat([small_model(waveform[None]) for waveform in waveforms])
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)
    assert (together - together[0]).abs().max() > 1e-2


def test_level_rms_makes_the_logits_independent_of_gain(seeded: Callable[..., Aasist]) -> None:
    model = seeded(EFFICIENT)
    waveform = noise(1, EFFICIENT.window_samples)
    with torch.no_grad():
        logits = model(waveform)
        for gain in (0.1, 2.0):
            torch.testing.assert_close(model(gain * waveform), logits, rtol=0, atol=1e-3)
        # The same weights without it move: the model does hear what it is given.
        level_free = Aasist(replace(EFFICIENT, level="none")).eval()
        level_free.load_state_dict(model.state_dict())
        assert (level_free(0.1 * waveform) - level_free(waveform)).abs().max() > 1e-2


def test_a_silent_window_gives_finite_logits_at_any_level(small_model: Aasist) -> None:
    with torch.no_grad():
        assert torch.isfinite(small_model(torch.zeros(1, 8_000))).all()


def test_forward_in_eval_mode_writes_no_state(small_model: Aasist) -> None:
    def state(module: torch.nn.Module) -> dict[str, Any]:
        plain = {
            f"{path}.{key}": value
            for path, part in module.named_modules()
            for key, value in vars(part).items()
            if not isinstance(value, dict)
        }
        return plain | {name: tensor.clone() for name, tensor in module.state_dict().items()}

    before = state(small_model)
    with torch.no_grad():
        first = small_model(noise(2, 8_000))
        second = small_model(noise(2, 8_000))
    after = state(small_model)
    assert torch.equal(first, second)
    assert before.keys() == after.keys()
    for name, value in before.items():
        same = torch.equal(value, after[name]) if isinstance(value, torch.Tensor) else value == after[name]
        assert same, f"{name} was written"


@pytest.mark.parametrize("name", TINY)
def test_every_weight_but_those_of_unused_norms_is_trained(name: str, seeded: Callable[..., Aasist]) -> None:
    model = seeded(TINY[name]).train()
    torch.manual_seed(0)
    model(noise(4, 1_500)).square().sum().backward()
    idle = {name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()}
    assert {name for name in idle if "unused_norm" in name} == {
        name for name, _ in model.named_parameters() if "unused_norm" in name
    }
    # A bias before a batch norm, or before a softmax, shifts nothing; all else must move.
    unused = {name for name in idle if "unused_norm" not in name}
    assert not unused


def test_a_band_mask_of_ones_changes_nothing_and_one_of_zeros_does(small_model: Aasist) -> None:
    waveform = noise(2, 8_000)
    with torch.no_grad():
        logits = small_model(waveform)
        assert torch.equal(small_model(waveform, torch.ones(2, 12)), logits)
        mask = torch.ones(2, 12)
        mask[1] = 0.0
        masked = small_model(waveform, mask)
    assert torch.equal(masked[0], logits[0])
    assert not torch.allclose(masked[1], logits[1])


@pytest.mark.parametrize(
    "wrong",
    [
        {"level": "peak"},
        {"compression": "sqrt"},
        {"context": "mamba"},
        {"context_kernel": 4},
        {"context_heads": 3, "context_blocks": 1},
        {"channels": (4, 4), "time_pools": (3,)},
        {"kernel_samples": 128},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_an_architecture_that_cannot_be_built_says_what_was_wanted_and_what_came(wrong: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as caught:
        Architecture(**wrong)
    key, value = next(iter(wrong.items()))
    assert caught.value.code == "recipe"
    assert key in caught.value.message
    assert str(value) in caught.value.message
