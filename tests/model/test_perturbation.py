"""Perturbations: within their bound whatever is asked, along the gradient, and nothing on silence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from aasist.model import stretch
from aasist.model.aasist import Aasist
from aasist.model.perturbation import ascended, climbed, radii, started, within
from aasist.model.training_form import prepared

from ..conftest import SMALL


@pytest.fixture(autouse=True)
def one_thread(same_threads: None) -> Iterator[None]:
    torch.set_num_threads(1)
    yield


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_perturbation_at_the_bound_has_the_ratio_that_was_asked_for() -> None:
    clean = noise(3, 4_000) * torch.tensor([[1.0], [0.01], [3.0]])
    asked = torch.tensor([[40.0], [30.0], [60.0]])
    added = climbed(clean, clean, radii(clean, asked), noise(3, 4_000, seed=1), 1.0) - clean
    ratio = 10 * torch.log10(clean.square().mean(1) / added.square().mean(1))
    assert ratio.tolist() == pytest.approx(asked.flatten().tolist(), abs=0.05)


def test_silence_stays_silent_and_its_neighbour_does_not() -> None:
    clean = torch.cat([torch.zeros(1, 500), noise(1, 500)])
    radius = radii(clean, 20.0)
    assert radius[0].item() == 0.0
    assert radius[1].item() == pytest.approx(0.1 * clean[1].square().mean().sqrt().item())
    moved = started(clean, radius, torch.rand(2, 500))
    assert not moved[0].any()
    assert (moved[1] != clean[1]).any()


def test_neither_the_ball_nor_full_scale_is_left_and_what_lies_beyond_may_stay() -> None:
    clean = torch.tensor([[0.0, 0.98, -0.98, 1.5, -1.5]])
    radius = torch.full((1, 1), 0.1)
    assert within(clean + 5, clean, radius).tolist()[0] == pytest.approx([0.1, 1.0, -0.88, 1.5, -1.4])
    assert within(clean - 5, clean, radius).tolist()[0] == pytest.approx([-0.1, 0.88, -1.0, 1.4, -1.5])
    assert torch.equal(within(clean, clean, radius), clean)


def test_a_gradient_that_is_not_a_number_moves_nothing_and_an_infinite_one_does() -> None:
    clean = noise(1, 4)
    gradient = torch.tensor([[torch.nan, torch.inf, -torch.inf, 0.0]])
    moved = climbed(clean, clean, torch.full((1, 1), 0.01), gradient, 1.0) - clean
    assert moved.tolist()[0] == pytest.approx([0.0, 0.01, -0.01, 0.0], abs=1e-7)


def test_of_a_linear_score_one_step_is_the_best_there_is_and_several_reach_it_from_anywhere() -> None:
    """The largest rise of ``w x`` in the ball is ``radius |w|``, by the dual norm."""
    clean, weights = noise(2, 300), noise(2, 300, seed=1)
    radius = radii(clean, 40.0)
    best = (radius * weights.abs()).sum(1)
    start = started(clean, radius, torch.rand(2, 300, generator=torch.Generator().manual_seed(2)))
    for begin, steps, step in ((clean, 1, 1.0), (start, 5, 0.5)):
        found = ascended(clean, radius, lambda x: weights, start=begin, steps=steps, step=step)
        assert ((found - clean) * weights).sum(1).tolist() == pytest.approx(best.tolist(), rel=1e-3)
        assert bool(((found - clean).abs() <= radius * (1 + 1e-4) + 1e-8).all())


SHAPES = {"levelled": SMALL, "unfolded": replace(SMALL, level="none", sinc_stride=1, front_pool=(2, 3))}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("room", [1 << 20, 3_000, 1])
@pytest.mark.parametrize("masked", [False, True])
def test_stretch_by_stretch_the_waveforms_gradient_is_the_plain_models(
    name: str, room: int, masked: bool, seeded: Callable[..., Aasist], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretch, "STRETCH_BYTES", room)
    model = seeded(SHAPES[name], seed=3).double()
    mask = (torch.rand(2, 12, generator=torch.Generator().manual_seed(1)) > 0.3).double() if masked else None
    found = []
    for form in (model, prepared(model, "fp64", "cpu")):
        asked = noise(2, 3_000).double().requires_grad_()
        logits = form(asked, mask)
        (gradient,) = torch.autograd.grad((logits[:, 1] - logits[:, 0]).sum(), asked)
        found.append(gradient)
    assert found[0].abs().max() > 1e-3
    # The filters are folded, and so rounded to float32, in one of them.
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5 * float(found[0].abs().max()))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_gradient_tells_how_the_margin_moves(small_model: Aasist) -> None:
    """Against central differences along it, in float64."""
    import copy

    form = prepared(copy.deepcopy(small_model).double(), "fp64", "cpu")

    def margin(waveform: Tensor) -> Tensor:
        logits = form(waveform)
        return logits[:, 1] - logits[:, 0]

    asked = noise(1, 8_000).double().requires_grad_()
    (gradient,) = torch.autograd.grad(margin(asked).sum(), asked)
    way = gradient / gradient.norm()
    size = 1e-7
    with torch.no_grad():
        risen = (margin(asked + size * way) - margin(asked - size * way)) / (2 * size)
    assert risen.item() == pytest.approx(gradient.norm().item(), rel=1e-3)


def test_without_being_asked_nothing_is_kept_for_the_waveform(small_model: Aasist) -> None:
    form = prepared(small_model, "fp32", "cpu")
    assert not small_model.bands(noise(1, 8_000)).requires_grad
    assert small_model.bands(noise(1, 8_000).requires_grad_()).requires_grad
    assert not form._bands(noise(1, 8_000), None).requires_grad
