"""Fusion: the mean is the mean, and a fit has the least Cllr that weights can have."""

from __future__ import annotations

import numpy as np
import pytest

from aasist.evaluation.calibration import cllr, fit_affine
from aasist.evaluation.fusion import Fusion, fit_fusion, mean_of
from aasist.evaluation.tally import Float64

Sides = tuple[list[Float64], list[Float64]]


def systems(count: int = 200) -> Sides:
    """Two systems of other scales, each with errors of its own."""
    random = np.random.default_rng(5)
    bonafide, spoof = (
        [scale * (shift + random.normal(0, 2, count)) + 3 for scale in (1.0, 40.0)] for shift in (1.5, -1.5)
    )
    return bonafide, spoof


def test_the_mean_weighs_by_ratio_alone() -> None:
    assert mean_of([1, 1]).of([[1.0, 2.0], [3.0, 4.0]]).tolist() == [2.0, 3.0]
    assert mean_of([3, 1]).of([[1.0, 2.0], [3.0, 4.0]]).tolist() == mean_of([6, 2]).of([[1, 2], [3, 4]]).tolist()
    assert mean_of([3, 1]).of([[1.0], [3.0]]).tolist() == [1.5]


def test_a_fit_costs_less_than_any_system_alone_and_no_weights_near_it_cost_less() -> None:
    bonafide, spoof = systems()
    fusion = fit_fusion(bonafide, spoof)
    cost = cllr(fusion.of(bonafide), fusion.of(spoof))
    for real, fake in zip(bonafide, spoof, strict=True):
        slope, offset = fit_affine(real, fake)
        assert cost < cllr(slope * real + offset, slope * fake + offset)
    for number, step in [(0, 0.05), (0, -0.05), (1, 0.002), (1, -0.002)]:
        weights = list(fusion.weights)
        weights[number] += step
        near = Fusion(tuple(weights), fusion.offset)
        assert cost < cllr(near.of(bonafide), near.of(spoof))
    for step in (0.05, -0.05):
        near = Fusion(fusion.weights, fusion.offset + step)
        assert cost < cllr(near.of(bonafide), near.of(spoof))


def test_a_system_beside_itself_shares_the_weight_it_has_alone() -> None:
    (real, _), (fake, _) = systems()
    fusion, (slope, offset) = fit_fusion([real, real], [fake, fake]), fit_affine(real, fake)
    assert fusion.weights == pytest.approx([slope / 2] * 2, rel=1e-4)
    assert fusion.offset == pytest.approx(offset, rel=1e-4)


def test_a_fusion_is_read_back_to_the_bit() -> None:
    fusion = fit_fusion(*systems())
    assert Fusion.from_json(fusion.to_json()) == fusion


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "expected an object with 'weights' and 'offset'"),
        ('{"weights": [1, true], "offset": 0}', "'weights' must be a list of numbers"),
        ('{"weights": 3, "offset": 0}', "'weights' must be a list of numbers"),
        ('{"weights": [], "offset": 0}', "weights must be finite numbers, not all of them 0, got none"),
        ('{"weights": [NaN], "offset": 0}', "weights must be finite numbers, not all of them 0, got nan"),
    ],
)
def test_what_is_no_fusion_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Fusion.from_json(text)


def test_weights_and_scores_that_make_no_fusion_are_refused() -> None:
    for weights in ([0.0, 0.0], [1.0, -1.0], [float("inf"), 1.0]):
        with pytest.raises(ValueError, match="weights must be 0 or more, not all of them 0, got "):
            mean_of(weights)
    with pytest.raises(ValueError, match="of 2 systems, got scores of 1"):
        mean_of([1, 1]).of([[1.0]])
    with pytest.raises(ValueError, match="fusion needs trials of both classes"):
        fit_fusion([[1.0], [2.0]], [[], []])
    with pytest.raises(ValueError, match="fusion needs finite scores"):
        fit_fusion([[1.0], [np.inf]], [[1.0], [2.0]])
