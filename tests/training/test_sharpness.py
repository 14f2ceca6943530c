"""Sharpness-aware steps: where the gradient is taken, what is put back, and how it goes with all else a step does."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from aasist.training.distributed import Ranks
from aasist.training.precision import Precision
from aasist.training.recipe import Recipe
from aasist.training.sharpness import FLOOR, ascended
from aasist.training.step import Learner, Ready

from . import small
from .same import lines
from .test_distributed import run, words
from .test_step import CPU, Scaled, batch, spoilt

FP32 = Precision("fp32", CPU)


@pytest.fixture(autouse=True)
def one_thread(same_threads: None) -> Iterator[None]:
    torch.set_num_threads(1)
    yield


def recipe(**changes: object) -> Recipe:
    return small.recipe(Path("none"), **{"optimiser__sharpness": 0.05, **changes})


def parameters() -> list[nn.Parameter]:
    found = [nn.Parameter(torch.tensor([3.0, -4.0])), nn.Parameter(torch.tensor([[0.0]]))]
    found[0].grad, found[1].grad = torch.tensor([2.0, 1.0]), torch.tensor([[-2.0]])
    return found


def test_the_worst_point_lies_the_radius_away_along_all_gradients_together() -> None:
    given = parameters()
    with ascended(given, 0.3, adaptive=False):
        assert given[0].tolist() == pytest.approx([3.2, -3.9])
        assert given[1].item() == pytest.approx(-0.2)
        assert not any(parameter.grad.any() for parameter in given if parameter.grad is not None)
        given[1].grad = torch.tensor([[7.0]])
    assert given[0].tolist() == [3.0, -4.0]
    assert given[1].item() == 0.0
    assert given[1].grad is not None
    assert given[1].grad.item() == 7.0


def test_the_adaptive_one_goes_as_far_relative_to_the_weights() -> None:
    """Its distance, each number over the magnitude of its weight, is the radius."""
    given = parameters()
    before = [parameter.detach().clone() for parameter in given]
    gradients = [parameter.grad.clone() for parameter in given if parameter.grad is not None]
    sizes = [weight.abs() + FLOOR for weight in before]
    with ascended(given, 0.5, adaptive=True):
        moves = [parameter.detach() - weight for parameter, weight in zip(given, before, strict=True)]
    relative = torch.cat([(move / size).flatten() for move, size in zip(moves, sizes, strict=True)])
    assert relative.norm().item() == pytest.approx(0.5, rel=1e-3)
    ratios = torch.cat([(m / (s.square() * g)).flatten() for m, s, g in zip(moves, sizes, gradients, strict=True)])
    assert ratios.tolist() == pytest.approx([ratios[0].item()] * 3, rel=1e-2)


def test_without_a_gradient_the_weights_stay_and_after_an_error_they_are_back() -> None:
    given = parameters()
    for parameter in given:
        parameter.grad = torch.zeros_like(parameter)
    with ascended(given, 0.3, adaptive=False):
        assert given[0].tolist() == [3.0, -4.0]
    given = parameters()
    with pytest.raises(ZeroDivisionError), ascended(given, 0.3, adaptive=False):
        raise ZeroDivisionError
    assert given[0].tolist() == [3.0, -4.0]


def gradient_at(learner: Learner, batches: Sequence[Ready]) -> list[Tensor]:
    """By the step's own loss, without a step: of a learner that a copy is taken of."""
    other = copy.deepcopy(learner)
    other._train_mode()
    for parameter in other.parameters:
        parameter.grad = torch.zeros_like(parameter)
    other._backward(batches, other._total(batches)[0])
    return [parameter.grad for parameter in other.parameters if parameter.grad is not None]


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("precision", [FP32, Scaled("fp32", CPU)])
def test_a_step_takes_the_gradient_at_the_worst_point_on_the_same_batches_and_dropout(
    precision: Precision, accumulate: int, adaptive: bool
) -> None:
    """Against a slow twin: the gradient, the walk up, the gradient there, all by hand; plain Adam and no clipping."""
    changes = {"optimiser__accumulate": accumulate, "optimiser__sharpness_adaptive": adaptive}
    learner = Learner(recipe(**changes), Ranks(), precision)
    batches = [batch(number=number) for number in range(accumulate)]
    twin = Learner(recipe(**changes), Ranks(), FP32)
    up = gradient_at(twin, batches)
    sizes = [
        parameter.detach().abs() + FLOOR if adaptive else torch.ones_like(parameter) for parameter in twin.parameters
    ]
    length = torch.cat([(size * g).flatten() for size, g in zip(sizes, up, strict=True)]).norm()
    there = copy.deepcopy(twin)
    with torch.no_grad():
        for parameter, g, size in zip(there.parameters, up, sizes, strict=True):
            parameter.add_(0.05 * size**2 * g / length)
    expected = gradient_at(there, batches)
    assert any((one - other).abs().max() > 1e-4 for one, other in zip(expected, up, strict=True)), (
        "it moves the gradient"
    )

    outcome = learner.take(batches, 0, 10)
    assert not outcome.skipped
    assert outcome.gradient_norm == pytest.approx(math.sqrt(sum(float(g.square().sum()) for g in expected)), rel=1e-4)
    for parameter, g in zip(learner.parameters, expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, g, rtol=1e-3, atol=1e-5)


def test_running_statistics_and_loss_are_those_of_the_weights_and_counted_once() -> None:
    plain, sharp = Learner(recipe(optimiser__sharpness=0.0), Ranks(), FP32), Learner(recipe(), Ranks(), FP32)
    first, second = plain.take([batch()], 0, 10), sharp.take([batch()], 0, 10)
    assert first.loss == second.loss
    for (name, one), other in zip(plain.model.named_buffers(), sharp.model.buffers(), strict=True):
        assert torch.equal(one, other), name
    assert any((one != other).any() for one, other in zip(plain.parameters, sharp.parameters, strict=True))


def test_a_gradient_that_is_not_finite_is_a_skipped_step_without_a_second_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    for precision in (FP32, Scaled("fp32", CPU)):
        learner = Learner(recipe(), Ranks(), precision)
        assert not learner.take([batch()], 0, 10).skipped
        before = {name: tensor.clone() for name, tensor in learner.whole.state_dict().items()}
        spoilt(learner)
        went: list[int] = []
        real = learner._loss
        monkeypatch.setattr(learner, "_loss", lambda *given, real=real, went=went: (went.append(1), real(*given))[1])
        assert learner.take([batch(number=1)], 1, 10).skipped
        assert len(went) == 1
        for name, tensor in learner.whole.state_dict().items():
            assert name.endswith("num_batches_tracked") or torch.equal(tensor, before[name]), name


def test_a_second_gradient_that_is_not_finite_is_a_skipped_step_too(monkeypatch: pytest.MonkeyPatch) -> None:
    learner = Learner(recipe(), Ranks(), FP32)
    assert not learner.take([batch()], 0, 10).skipped
    before = {name: tensor.clone() for name, tensor in learner.whole.state_dict().items()}
    passes: list[int] = []
    real = learner._loss

    def loss(*given: object) -> Tensor:
        passes.append(1)
        value = real(*given)  # type: ignore[arg-type]
        return value * torch.nan if len(passes) == 2 else value

    monkeypatch.setattr(learner, "_loss", loss)
    outcome = learner.take([batch(number=1)], 1, 10)
    assert outcome.skipped
    assert math.isfinite(outcome.loss)
    for name, tensor in learner.whole.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(tensor, before[name]), name


def test_gradients_are_clipped_once_and_those_of_the_worst_point() -> None:
    learner = Learner(recipe(optimiser__clip_norm=0.01), Ranks(), FP32)
    outcome = learner.take([batch()], 0, 10)
    clipped = math.sqrt(sum(float(p.grad.square().sum()) for p in learner.parameters if p.grad is not None))
    assert outcome.gradient_norm > 0.05
    assert clipped == pytest.approx(0.01, rel=1e-3)


def test_a_rank_with_nothing_of_a_batch_takes_part_in_every_sum() -> None:
    sums: list[int] = []

    class Counting(Ranks):
        def __init__(self) -> None:
            super().__init__(0, 2)

        def sum_(self, tensors: Sequence[Tensor]) -> None:
            sums.append(len(tensors))

    found = []
    for rows in (0, 4):
        learner = Learner(recipe(), Counting(), FP32)
        sums.clear()
        one = batch(4)
        learner.take([one if rows else replace(one, waveforms=one.waveforms[:0], labels=one.labels[:0])], 0, 10)
        found.append(list(sums))
    assert len(found[0]) == len(found[1]) == 3


def test_two_ranks_train_what_one_does(mini: Path, tmp_path: Path) -> None:
    """Sharpness-aware and attacked: by rows, and at one worst point for all."""
    both = {"optimiser__sharpness": 0.05, "adversarial__probability": 0.5, "steps": 3, "run__log_steps": 1}
    for world in (1, 2):
        run(words(mini, tmp_path / str(world), **both), world)
    for alone, shared in zip(lines(tmp_path / "1"), lines(tmp_path / "2"), strict=True):
        assert alone["loss"] == pytest.approx(shared["loss"], rel=1e-4)
        assert alone["gradient_norm"] == pytest.approx(shared["gradient_norm"], rel=1e-2)
