"""Losses against slow twins, and what a step's loss is whatever parts it is summed from."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from aasist.training.loss import Loss, Total, class_weights, loss_of, row_losses, total_of

NO_PAIRS = torch.empty((0, 2), dtype=torch.int64)


def batch(seed: int, rows: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels of which every second is bona fide, and the pairs that they make."""
    random = torch.Generator().manual_seed(seed)
    labels = (torch.arange(rows) + 1) % 2
    pairs = torch.arange(rows).reshape(-1, 2)
    return 3 * torch.randn(rows, 2, generator=random), labels, pairs


def whole(loss: Loss, logits: Tensor, labels: Tensor, pairs: Tensor, out: nn.Linear | None = None) -> Tensor:
    return loss_of(loss, logits, labels, pairs, Total(*total_of(loss, labels, pairs)), out)


@given(st.integers(0, 1000))
def test_cross_entropy_is_the_published_weighted_mean(seed: int) -> None:
    logits, labels, _ = batch(seed)
    published = nn.CrossEntropyLoss(weight=torch.tensor([0.1, 0.9]))(logits, labels)
    torch.testing.assert_close(whole(Loss(), logits, labels, NO_PAIRS), published)


@given(st.integers(0, 1000))
def test_equal_weights_with_smoothing_and_ranking_are_the_shipped_models_loss(seed: int) -> None:
    logits, labels, pairs = batch(seed)
    margin = logits[:, 1] - logits[:, 0]
    shipped = nn.functional.cross_entropy(logits, labels, label_smoothing=0.05)
    shipped = shipped + 0.5 * nn.functional.softplus(-(margin[0::2] - margin[1::2])).mean()
    loss = Loss(bonafide_weight=0.5, spoof_weight=0.5, smoothing=0.05, rank_weight=0.5)
    torch.testing.assert_close(whole(loss, logits, labels, pairs), shipped)


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_focal_loss_is_its_formula(gamma: float) -> None:
    logits, labels, _ = batch(1)
    loss = Loss(kind="focal", focal_gamma=gamma)
    for row, value in enumerate(row_losses(loss, logits, labels).tolist()):
        right = math.exp(logits[row, labels[row]]) / sum(math.exp(value) for value in logits[row])
        assert value == pytest.approx(-((1 - right) ** gamma) * math.log(right), rel=1e-4)


@pytest.mark.parametrize("gamma", [0.0, 0.1, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("margin", [0.0, 20.0, 90.0, 1e4])
def test_focal_loss_has_a_gradient_where_a_trial_is_certainly_right_or_wrong(gamma: float, margin: float) -> None:
    logits = torch.tensor([[0.0, margin], [0.0, margin]], requires_grad=True)
    row_losses(Loss(kind="focal", focal_gamma=gamma), logits, torch.tensor([1, 0])).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_focal_loss_without_gamma_is_cross_entropy() -> None:
    logits, labels, _ = batch(2)
    torch.testing.assert_close(
        row_losses(Loss(kind="focal", focal_gamma=0.0), logits, labels), row_losses(Loss(), logits, labels)
    )


def test_one_class_softmax_is_its_formula_of_the_cosine() -> None:
    """Zhang et al., eq. 5, of a unit readout and the direction in which the last layer looks."""
    random = np.random.default_rng(0)
    readout = random.standard_normal((6, 5))
    readout /= np.linalg.norm(readout, axis=1, keepdims=True)
    out = nn.Linear(5, 2)
    weight, bias = out.weight.detach().double().numpy(), out.bias.detach().double().numpy()
    labels = np.array([1, 0, 1, 0, 0, 1])
    logits = torch.tensor(readout @ weight.T + bias, dtype=torch.float32)
    direction = weight[1] - weight[0]
    cosine = readout @ (direction / np.linalg.norm(direction))
    loss = Loss(kind="oc-softmax")
    expected = [
        np.log1p(np.exp(20.0 * (0.9 - c))) if label else np.log1p(np.exp(20.0 * (c - 0.2)))
        for c, label in zip(cosine, labels, strict=True)
    ]
    np.testing.assert_allclose(
        row_losses(loss, logits, torch.tensor(labels), out).detach(), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kind", ["cross-entropy", "focal", "oc-softmax"])
@given(st.integers(0, 100), st.integers(1, 5))
def test_parts_of_a_batch_sum_up_to_the_loss_of_all(kind: str, seed: int, pairs_in_first: int) -> None:
    """So a step may come from several batches or several ranks, however they divide it."""
    logits, labels, pairs = batch(seed)
    out = nn.Linear(4, 2)
    loss = Loss(kind=kind, rank_weight=0.3)
    total = Total(*total_of(loss, labels, pairs))
    cut = 2 * pairs_in_first
    first = loss_of(loss, logits[:cut], labels[:cut], pairs[:pairs_in_first], total, out)
    second = loss_of(loss, logits[cut:], labels[cut:], pairs[: len(pairs) - pairs_in_first], total, out)
    torch.testing.assert_close(first + second, whole(loss, logits, labels, pairs, out))


def test_weights_of_classes_count_by_their_ratio() -> None:
    logits, labels, _ = batch(3)
    one, other = Loss(bonafide_weight=0.9, spoof_weight=0.1), Loss(bonafide_weight=9.0, spoof_weight=1.0)
    torch.testing.assert_close(whole(one, logits, labels, NO_PAIRS), whole(other, logits, labels, NO_PAIRS))
    assert class_weights(one, torch.tensor([1, 0])).tolist() == pytest.approx([0.9, 0.1])


def test_the_better_a_bona_fide_trial_ranks_above_its_spoof_the_smaller_the_loss() -> None:
    labels, pairs = torch.tensor([1, 0]), torch.tensor([[0, 1]])
    loss = Loss(rank_weight=1.0, bonafide_weight=0.0, spoof_weight=1e-9)
    values = [whole(loss, torch.tensor([[0.0, m], [0.0, 0.0]]), labels, pairs).item() for m in (-2.0, 0.0, 2.0)]
    assert values == sorted(values, reverse=True)
