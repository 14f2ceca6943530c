"""Calibration: an affine map that is right on average, and the cost that says how right."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aasist.evaluation.calibration import cllr, fit_affine, fit_carried, min_cllr, pav_llr, reliability
from aasist.evaluation.tally import Scale, Tally

from . import slow_twin

scores = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=20)


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


def shifting_sources(sources: int, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores, labels and sources: 40 trials of each class a source, whose scores are all off by one draw."""
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(sources), 80)
    labels = np.tile(np.repeat([True, False], 40), sources)
    scores = (
        np.where(labels, 1.0, -1.0) + random.normal(0, 0.7, len(labels)) + shift * random.normal(0, 1, sources)[groups]
    )
    return scores, labels, groups


def test_a_map_that_carries_over_costs_less_on_sources_that_were_not_there():
    scores, labels, groups = shifting_sources(8, shift=1.0)
    others, their_labels, _ = shifting_sources(400, shift=1.0, seed=1)
    plain, carried = fit_affine(scores[labels], scores[~labels]), fit_carried(scores, labels, groups)
    assert (carried.groups, carried.slope < plain[0]) == (8, True)
    assert carried.carried_cllr < carried.left_out_cllr

    def cost(slope: float, offset: float) -> float:
        return cllr(slope * others[their_labels] + offset, slope * others[~their_labels] + offset)

    assert cost(carried.slope, carried.offset) < cost(*plain) - 0.01


def test_where_sources_do_not_shift_the_map_is_nearly_that_of_all_of_them():
    scores, labels, groups = shifting_sources(30, shift=0.0)
    slope, offset = fit_affine(scores[labels], scores[~labels])
    carried = fit_carried(scores, labels, groups)
    assert carried.slope == pytest.approx(slope, rel=0.03)
    assert carried.offset == pytest.approx(offset, abs=0.05)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([0, 0, 1, 1, 1, 1], "three or more, got 2"),
        ([0, 0, 0, 1, 1, 2], "without '0' there are trials of one class only"),
    ],
)
def test_groups_that_cannot_be_left_out_are_refused(groups: list[int], message: str):
    with pytest.raises(ValueError, match=message):
        fit_carried([2.0, 1.0, 3.0, 0.0, -1.0, 0.5], [True, True, True, False, False, False], groups)


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


@given(scores, scores)
def test_cllr_is_that_of_the_slow_twin(bonafide: list[float], spoof: list[float]) -> None:
    assert cllr(bonafide, spoof) == pytest.approx(slow_twin.cllr(bonafide, spoof))


@given(scores, scores)
def test_the_pav_map_is_the_isotonic_regression_of_the_slow_twin(bonafide: list[float], spoof: list[float]) -> None:
    llr = pav_llr(bonafide, spoof)
    with np.errstate(over="ignore"):
        shares = 1 / (1 + np.exp(-(llr + np.log(len(bonafide) / len(spoof)))))
    np.testing.assert_allclose(shares, [float(share) for share in slow_twin.isotonic(bonafide, spoof)], atol=1e-12)
    assert (np.diff(llr[np.isfinite(llr)]) >= 0).all()


counts = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12)


@given(counts)
def test_a_round_of_the_bootstrap_has_the_min_cllr_of_its_trials_whatever_levels_it_leaves_empty(
    drawn: list[tuple[int, int]],
) -> None:
    bonafide, spoof = np.array(drawn, np.float64).T
    assume(bonafide.any() and spoof.any())
    levels = np.arange(len(drawn), dtype=np.float64)
    expected = min_cllr(np.repeat(levels, bonafide.astype(int)), np.repeat(levels, spoof.astype(int)))
    assert min_cllr.of(Tally(Scale(levels), bonafide, spoof)) == pytest.approx(expected)


def test_a_staircase_that_is_pooled_a_step_at_a_time_is_pooled_whole() -> None:
    # The share of bona fide rises everywhere but at the end, which pulls down one step after the other.
    bonafide = np.append(np.arange(1.0, 2001.0), 0.0)
    spoof = np.append(np.full(2000, 10.0), 1e8)
    llr = pav_llr.of(Tally(Scale(np.arange(2001.0)), bonafide, spoof))
    assert llr == pytest.approx(np.zeros(2001))


@given(scores, scores)
def test_min_cllr_depends_on_the_order_alone_and_no_map_tried_gets_below(
    bonafide: list[float], spoof: list[float]
) -> None:
    least = min_cllr(bonafide, spoof)
    assert min_cllr(np.exp(bonafide), np.exp(spoof)) == pytest.approx(least)
    for slope, offset in ((1.0, 0.0), (0.3, 0.0), (2.0, 1.0), (0.0, 0.0)):
        other = cllr(slope * np.array(bonafide) + offset, slope * np.array(spoof) + offset)
        assert least <= other + 1e-9


def test_min_cllr_is_0_for_classes_apart_and_1_bit_for_classes_swapped() -> None:
    assert min_cllr([2.0, 3.0], [0.0, 1.0]) == 0.0
    assert min_cllr([0.0, 1.0], [2.0, 3.0]) == pytest.approx(1.0)


def test_calibrated_scores_lie_on_the_diagonal_of_the_reliability_diagram() -> None:
    bonafide, spoof = gaussian_scores(60_000, 20_000)
    diagram = reliability(2 * bonafide, 2 * spoof, bins=10)  # two Gaussians 2 apart: the llr of x is 2x
    np.testing.assert_allclose(diagram.observed, diagram.predicted, atol=0.1)
    assert diagram.trials.sum() == 80_000
    boastful = reliability(8 * bonafide, 8 * spoof, bins=10)
    assert np.abs(boastful.observed - boastful.predicted)[1:-1].max() > 0.15


def test_the_reliability_diagram_counts_each_class_as_one_half() -> None:
    diagram = reliability([0.0], [0.0] * 9, bins=2)
    assert (diagram.predicted.tolist(), diagram.observed.tolist(), diagram.trials.tolist()) == ([0.5], [0.5], [10])
