"""Averages of weights, and batch norms that fit them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from aasist.model.aasist import Aasist
from aasist.training.averaging import Average, estimate_norms, norms_of


def moved(model: Aasist, by: float) -> Aasist:
    other = copy.deepcopy(model)
    for tensor in other.state_dict().values():
        if tensor.dtype.is_floating_point:
            tensor.add_(by)
    return other


def test_models_are_averaged_with_equal_weights(small_model: Aasist) -> None:
    average = Average(small_model)
    for by in (1.0, 2.0, 6.0):
        average.add(moved(small_model, by))
    assert average.count == 3
    for name, tensor in moved(small_model, 3.0).state_dict().items():
        torch.testing.assert_close(average.tensors[name], tensor, rtol=1e-5, atol=1e-5)


def test_what_the_average_began_with_weighs_nothing(small_model: Aasist) -> None:
    average = Average(moved(small_model, 100.0))
    average.add(small_model)
    assert all(torch.equal(average.tensors[name], tensor) for name, tensor in small_model.state_dict().items())


def test_a_running_average_follows_fast_at_first(small_model: Aasist) -> None:
    """Step n takes n / (n + 10) of what was, until that is more than the decay."""
    average, name = Average(moved(small_model, 0.0)), "out.bias"
    expected = small_model.state_dict()[name].clone()
    for step, by in enumerate((1.0, -2.0, 3.0), 1):
        model = moved(small_model, by)
        average.follow(model, 0.15)
        decay = min(0.15, step / (step + 10))
        expected = decay * expected + (1 - decay) * model.state_dict()[name]
        torch.testing.assert_close(average.tensors[name], expected)


def test_norms_estimated_over_batches_are_the_mean_of_their_statistics(small_model: Aasist) -> None:
    model = copy.deepcopy(small_model)
    batches = [torch.randn(4, 8_000, generator=torch.Generator().manual_seed(n)) for n in range(3)]
    estimate_norms(model, ((waveforms, None) for waveforms in batches))
    seen = [model.sinc(waveforms * torch.rsqrt(waveforms.square().mean(1, keepdim=True))) for waveforms in batches]
    seen = [torch.log(bands + 1e-3) if model.architecture.compression == "log" else bands for bands in seen]
    norm = model.encoder.norm
    torch.testing.assert_close(norm.running_mean, torch.stack([bands.mean() for bands in seen]).mean().reshape(1))
    torch.testing.assert_close(norm.running_var, torch.stack([bands.var() for bands in seen]).mean().reshape(1))
    assert not model.training
    assert {norm.momentum for norm in norms_of(model)} == {0.1}


def test_a_norm_that_nothing_goes_through_stays_as_it_is(seeded: Callable[..., Aasist], small_model: Aasist) -> None:
    """The published blocks own norms that are never applied."""
    model = seeded(replace(small_model.architecture, unused_norms=True))
    unused = {name: tensor.clone() for name, tensor in model.state_dict().items() if "unused_norm" in name}
    estimate_norms(model, [(torch.randn(2, 8_000), None)])
    assert unused
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in unused.items())


@pytest.mark.parametrize("kind", ["add", "follow"])
def test_the_model_that_is_averaged_stays_as_it_is(small_model: Aasist, kind: str) -> None:
    before = {name: tensor.clone() for name, tensor in small_model.state_dict().items()}
    average = Average(small_model)
    other = moved(small_model, 1.0)
    average.add(other) if kind == "add" else average.follow(other, 0.5)
    average.put_into(copy.deepcopy(small_model))
    assert all(torch.equal(before[name], tensor) for name, tensor in small_model.state_dict().items())
