"""Averages of weights, and batch norms that fit them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aasist.keys import RecipeError, with_values
from aasist.model.aasist import Aasist
from aasist.model.training_form import prepared
from aasist.training.averaging import Average, Averaging, estimate_norms, norms_of


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


class Number:
    """Stands for a model: one weight."""

    def __init__(self, value: float) -> None:
        self.weights = {"weight": torch.tensor(value, dtype=torch.float64)}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return self.weights


def averaged(eers: list[float], keys: Averaging) -> tuple[int, float]:
    """How many epochs of these dev EERs are averaged, and the mean of their numbers, from 0."""
    average, best = Average(Number(-1.0)), None  # type: ignore[arg-type]
    for epoch, eer in enumerate(eers):
        done = (epoch + 1) / len(eers)
        average.after_epoch(keys, Number(epoch), eer=eer, best_eer=best, done=done)  # type: ignore[arg-type]
        best = eer if best is None else min(best, eer)
    return average.count, float(average.tensors["weight"])


def published(eers: list[float], first_best: float = 0.01) -> list[int]:
    """The loop of the published main.py, which begins with ``best_dev_eer = 1.`` in per cent -> epochs that it averages."""
    best_dev_eer, updates = first_best, []
    for epoch, dev_eer in enumerate(eers):
        if best_dev_eer >= dev_eer:
            best_dev_eer = dev_eer
            updates.append(epoch)
    return updates


def test_the_epochs_that_the_published_loop_averages_are_averaged() -> None:
    """Dev EERs of 5, 3, 0.9, 1.2 and 0.8 %: the third and the fifth epoch."""
    eers = [0.05, 0.03, 0.009, 0.012, 0.008]
    assert published(eers) == [2, 4]
    assert averaged(eers, Averaging()) == (2, 3.0)
    assert averaged(eers, Averaging(best_below=None)) == (4, pytest.approx((0 + 1 + 2 + 4) / 4))


@given(st.lists(st.sampled_from([0.0, 0.005, 0.009, 0.01, 0.011, 0.02, 0.3]), min_size=1, max_size=12))
def test_best_is_the_published_loop_whatever_the_errors(eers: list[float]) -> None:
    """Where it averages nothing, the best epochs are averaged all the same."""
    epochs = published(eers) or published(eers, 1.0)
    count, mean = averaged(eers, Averaging())
    assert count == len(epochs)
    assert mean == pytest.approx(sum(epochs) / len(epochs))


def test_swa_averages_the_epochs_of_the_last_part() -> None:
    assert averaged([0.3] * 8, Averaging("swa", swa_from=0.75)) == (2, 6.5)
    assert averaged([0.3] * 3, Averaging("swa", swa_from=0.999)) == (1, 2.0)
    # There is no epoch after all of them.
    with pytest.raises(RecipeError, match=r"swa_from must be at least 0 and at most 0\.999"):
        with_values(Averaging(), {"swa_from": 1.0})


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


def test_norms_estimated_through_the_training_form_are_those_of_the_model(small_model: Aasist) -> None:
    model = copy.deepcopy(small_model)
    plain, formed = copy.deepcopy(model), copy.deepcopy(model)
    batches = [(torch.randn(4, 8_000, generator=torch.Generator().manual_seed(n)), None) for n in range(3)]
    estimate_norms(plain, batches)
    estimate_norms(prepared(formed, "fp32", "cpu"), batches)
    for name, buffer in plain.encoder.named_buffers():
        torch.testing.assert_close(dict(formed.encoder.named_buffers())[name], buffer, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["add", "follow"])
def test_the_model_that_is_averaged_stays_as_it_is(small_model: Aasist, kind: str) -> None:
    before = {name: tensor.clone() for name, tensor in small_model.state_dict().items()}
    average = Average(small_model)
    other = moved(small_model, 1.0)
    average.add(other) if kind == "add" else average.follow(other, 0.5)
    average.put_into(copy.deepcopy(small_model))
    assert all(torch.equal(before[name], tensor) for name, tensor in small_model.state_dict().items())
