"""One step: what is not finite is counted and changes nothing, and ranks that wait for each other leave out the same."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from aasist.model.training_form import prepared
from aasist.training import step as step_module
from aasist.training.distributed import Ranks
from aasist.training.precision import Precision
from aasist.training.step import Learner, Ready

from . import small

NONE = torch.empty((0, 2), dtype=torch.int64)
CPU = torch.device("cpu")


class Scaled(Precision):
    """Float32 with the scaled gradients of fp16, which only CUDA trains in."""

    scaled = True  # type: ignore[assignment]


def batch(rows: int = 4, number: int = 0) -> Ready:
    waveforms = 0.1 * torch.randn(rows, 8_000, generator=torch.Generator().manual_seed(number))
    return Ready(waveforms, torch.arange(rows) % 2, None, NONE, 0, number)


def spoilt(learner: Learner) -> RemovableHandle:
    """Makes the gradients of the next steps infinite, though their loss is not."""
    return learner.parameters[-1].register_hook(lambda gradient: torch.full_like(gradient, torch.inf))


@pytest.mark.parametrize("precision", [Precision("fp32", CPU), Scaled("fp32", CPU)])
def test_a_gradient_that_is_not_finite_is_a_skipped_step_in_every_precision(precision: Precision) -> None:
    learner = Learner(small.recipe(Path("none")), Ranks(), precision)
    assert not learner.take([batch()], 0, 10).skipped
    before = {name: tensor.clone() for name, tensor in learner.whole.state_dict().items()}
    spoilt(learner)
    outcome = learner.take([batch(number=1)], 1, 10)
    assert outcome.skipped
    assert outcome.loss < torch.inf
    for name, tensor in learner.whole.state_dict().items():
        assert name.endswith("num_batches_tracked") or torch.equal(tensor, before[name]), name


def test_the_scale_of_gradients_and_its_growth_go_on_as_they_were() -> None:
    learners = [Learner(small.recipe(Path("none")), Ranks(), Scaled("fp32", CPU)) for _ in range(2)]
    hook = spoilt(learners[0])
    learners[0].take([batch()], 0, 10)
    hook.remove()
    for number in range(1, 4):
        learners[0].take([batch(number=number)], number, 10)
    state = learners[0].scaler.state_dict()
    assert (state["scale"], state["_growth_tracker"]) == (2.0**15, 3)
    learners[1].restore(learners[0].tensors())
    learners[1].take([batch(number=4)], 4, 10)
    assert learners[1].scaler.state_dict() == {**state, "_growth_tracker": 4}


class WithAnEmptyOther(Ranks):
    """The first of two ranks, whose other could read nothing of each batch."""

    def __init__(self) -> None:
        super().__init__(0, 2)

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        if len(tensors) == 2:  # totals, and which batches are empty
            tensors[1].add_(1.0)


@pytest.mark.parametrize(("sync_norms", "forward"), [(False, 1), (True, 0)])
def test_where_batch_norms_wait_for_each_other_a_batch_that_one_rank_lacks_is_left_out_by_all(
    sync_norms: bool, forward: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step_module, "_form", lambda model, recipe, precision: prepared(model, "fp32", CPU))
    learner = Learner(
        small.recipe(Path("none"), optimiser__sync_norms=sync_norms), WithAnEmptyOther(), Precision("fp32", CPU)
    )
    went: list[Tensor] = []
    real = learner.form.features_and_logits
    monkeypatch.setattr(learner.form, "features_and_logits", lambda *given: (went.append(given[0]), real(*given))[1])
    outcome = learner.take([batch()], 0, 10)
    assert len(went) == forward
    assert (outcome.loss > 0.0) == (not sync_norms)
    assert not outcome.skipped
