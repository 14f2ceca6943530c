"""Calibration: an affine map that is right on average, and the cost that says how right."""

import numpy as np
import pytest

from aasist.evaluation.bootstrap import interval
from aasist.evaluation.calibration import cllr, fit_affine
from aasist.evaluation.det import eer


def gaussian_scores(bonafide: int, spoof: int, shift: float = 2.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.normal(shift / 2, 1.0, bonafide), random.normal(-shift / 2, 1.0, spoof)


def test_scores_that_are_gaussian_llrs_are_left_nearly_as_they_are():
    # Two Gaussians of unit variance, 2 apart: the llr of x is 2x.
    slope, offset = fit_affine(*gaussian_scores(40_000, 40_000))
    assert slope == pytest.approx(2.0, abs=0.05)
    assert offset == pytest.approx(0.0, abs=0.05)


def test_the_counts_of_the_classes_do_not_move_the_map():
    slope, offset = fit_affine(*gaussian_scores(2_000, 60_000))
    assert slope == pytest.approx(2.0, abs=0.15)
    assert offset == pytest.approx(0.0, abs=0.15)


def test_an_affine_change_of_the_scores_is_undone():
    bonafide, spoof = gaussian_scores(500, 700)
    slope, offset = fit_affine(bonafide, spoof)
    other_slope, other_offset = fit_affine(3 * bonafide + 7, 3 * spoof + 7)
    np.testing.assert_allclose(other_slope * (3 * bonafide + 7) + other_offset, slope * bonafide + offset, atol=1e-4)


def test_no_nearby_map_costs_less():
    bonafide, spoof = gaussian_scores(300, 200, shift=1.0)
    slope, offset = fit_affine(bonafide, spoof)
    best = cllr(slope * bonafide + offset, slope * spoof + offset)
    for near_slope, near_offset in ((1.1, 0), (0.9, 0), (1, 0.1), (1, -0.1)):
        other = cllr(
            slope * near_slope * bonafide + offset + near_offset, slope * near_slope * spoof + offset + near_offset
        )
        assert other > best


def test_separable_classes_get_a_finite_map():
    slope, offset = fit_affine([1.0, 2.0], [-1.0, -2.0])
    assert np.isfinite([slope, offset]).all()
    assert slope > 0


@pytest.mark.parametrize(
    ("bonafide", "spoof", "message"),
    [([], [1.0], "both classes"), ([1.0], [np.nan], "finite"), ([0.0, 0.1], [1.0, 1.1], "no higher")],
)
def test_scores_that_cannot_be_calibrated_are_an_error(bonafide, spoof, message):
    with pytest.raises(ValueError, match=message):
        fit_affine(bonafide, spoof)


def test_cllr_is_one_bit_without_evidence_and_near_zero_with_much():
    assert cllr([0.0, 0.0], [0.0]) == pytest.approx(1.0)
    assert cllr([30.0], [-30.0]) == pytest.approx(0.0, abs=1e-9)
    assert cllr([-30.0], [30.0]) > 40
    assert cllr([1.0, 2.0], [-1.0]) == pytest.approx(
        np.mean([np.log2(1 + np.exp(-1.0)), np.log2(1 + np.exp(-2.0))]) / 2 + np.log2(1 + np.exp(-1.0)) / 2
    )


def test_an_interval_holds_the_rate_and_shrinks_with_more_trials():
    few, many = gaussian_scores(60, 60), gaussian_scores(2_000, 2_000)
    low, high = interval(eer, *few, rounds=200)
    assert low <= eer(*few) <= high
    narrow_low, narrow_high = interval(eer, *many, rounds=200)
    assert narrow_high - narrow_low < (high - low) / 2
    assert interval(eer, *few, rounds=200) == (low, high)
