"""Operating points: the rule that chose each, and the rates that it has."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.evaluation.dcf import ASVSPOOF5_COSTS, DetectionCosts
from aasist.evaluation.det import eer
from aasist.evaluation.operating import OperatingPoint, by_cost, by_eer, by_miss
from aasist.evaluation.tally import Tally

SCORES = st.lists(st.integers(-6, 6).map(float) | st.floats(-50, 50), min_size=1, max_size=30)


def rates(threshold: float, bonafide: list[float], spoof: list[float]) -> tuple[float, float]:
    """Miss and false acceptance, counted one by one."""
    return sum(s < threshold for s in bonafide) / len(bonafide), sum(s >= threshold for s in spoof) / len(spoof)


@given(SCORES, SCORES, st.sampled_from([by_cost, by_eer, by_miss]))
def test_a_point_has_the_rates_of_its_finite_threshold(bonafide: list[float], spoof: list[float], rule) -> None:
    point = rule(bonafide, spoof, *([0.1] if rule is by_miss else []))
    assert math.isfinite(point.threshold)
    assert (point.miss, point.false_acceptance) == pytest.approx(rates(point.threshold, bonafide, spoof))


@given(SCORES, SCORES)
def test_the_rates_at_equal_error_rates_are_on_average_the_eer(bonafide: list[float], spoof: list[float]) -> None:
    point = by_eer(bonafide, spoof)
    assert (point.miss + point.false_acceptance) / 2 == pytest.approx(eer(bonafide, spoof))


@given(SCORES, SCORES, st.floats(0, 0.99))
def test_no_higher_threshold_rejects_as_few_bona_fide_trials(
    bonafide: list[float], spoof: list[float], most: float
) -> None:
    point = by_miss(bonafide, spoof, most)
    assert point.miss <= most
    # Of the thresholds above, each score and whatever lies above all, none accepts fewer spoofs and keeps the promise.
    for threshold in {*bonafide, *spoof, math.inf}:
        miss, false_acceptance = rates(threshold, bonafide, spoof)
        assert miss > most or false_acceptance >= point.false_acceptance - 1e-12


@given(SCORES, SCORES, st.sampled_from([by_eer, by_miss]))
def test_a_rounding_error_moves_no_trial_to_the_other_side(bonafide: list[float], spoof: list[float], rule) -> None:
    point = rule(bonafide, spoof, *([0.1] if rule is by_miss else []))
    lower, higher = np.nextafter([*bonafide, *spoof], -np.inf), np.nextafter([*bonafide, *spoof], np.inf)
    distinct = np.unique([*bonafide, *spoof])
    if len(distinct) > 1 and np.diff(distinct).min() < 1e-9:
        return  # there is no room between the scores
    for moved in (lower, higher):
        again = rates(point.threshold, moved[: len(bonafide)].tolist(), moved[len(bonafide) :].tolist())
        assert again == pytest.approx((point.miss, point.false_acceptance))


def test_the_threshold_of_costs_is_that_of_bayes_whatever_the_trials() -> None:
    for bonafide, spoof in (([1.0], [-1.0]), ([-30.0, -20.0], [-40.0]), ([90.0], [80.0])):
        assert by_cost(bonafide, spoof).threshold == ASVSPOOF5_COSTS.bayes_threshold
    point = by_cost([-20.0], [-30.0], DetectionCosts(0.5, 1.0, 1.0))
    assert point == OperatingPoint(
        "least cost at a spoof prior of 0.5, a miss 1, an acceptance 1", 0.0, miss=1.0, false_acceptance=0.0
    )


def test_points_by_hand() -> None:
    bonafide, spoof = [0.0, 1.0, 2.0, 3.0], [-4.0, -3.0, -2.0, 0.5]
    assert by_eer(bonafide, spoof) == OperatingPoint("equal error rates", 0.25, 0.25, 0.25)
    assert by_miss(bonafide, spoof, 0.0).threshold == -1.0
    assert by_miss(bonafide, spoof, 0.25).threshold == 0.75
    assert by_miss([0.0], [5.0], 0.0) == OperatingPoint("at most 0 % of bona fide rejected", -1.0, 0.0, 1.0)
    assert by_eer([5.0], [-5.0]).threshold == 0.0


def test_a_point_says_its_rule_and_its_rates() -> None:
    assert str(by_miss([0.0, 1.0, 2.0, 3.0], [-1.0, 2.5], 0.3)) == (
        "at most 30 % of bona fide rejected: 25.0 % of bona fide rejected, 50.0 % of spoofs accepted"
    )


@pytest.mark.parametrize("most", [-0.1, 1.0, math.nan])
def test_a_share_that_is_none_is_refused(most: float) -> None:
    with pytest.raises(ValueError, match="from 0 to below 1"):
        by_miss.of(Tally.of([1.0], [0.0]), most)


@pytest.mark.parametrize("costs", [(0.5, 0.0, 1.0), (0.5, 1.0, 0.0)])
def test_an_error_that_costs_nothing_is_refused(costs: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="must cost more than 0"):
        DetectionCosts(*costs)
