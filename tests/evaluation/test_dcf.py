"""Detection costs against the slow twin, by hand, and against the published figures."""

from __future__ import annotations

import gzip
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.evaluation.calibration import cllr
from aasist.evaluation.dcf import (
    AsvRates,
    DetectionCosts,
    TandemCosts,
    act_dcf,
    asv_rates,
    asv_threshold,
    legacy_weights,
    min_dcf,
    min_tdcf,
    min_tdcf_legacy,
    revised_weights,
    tdcf_curve,
)
from aasist.evaluation.det import eer

from . import slow_twin

scores = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=20)
ASV = AsvRates(0.03, 0.02, 0.6)
operating_points = st.builds(AsvRates, st.floats(0, 0.5), st.floats(0, 0.5), st.floats(0.05, 1))

PUBLISHED_ASV = "ASVspoof2019.LA.asv.eval.gi.trl.scores.txt.gz"
PUBLISHED = {
    "weighted_scores.txt.gz": {"min_tdcf_legacy": 0.021627333},
    "RawGAT_ST_mul_LA_eval.txt.gz": {
        "min_tdcf_legacy": 0.033538946715, "min_tdcf": 0.094167831244, "min_dcf": 0.029893113388,
        "act_dcf": 0.044395364746, "cllr": 0.066251950058,
    },
    "B02_LA_eval_4col.txt.gz": {
        "min_tdcf_legacy": 0.211052733721, "min_tdcf": 0.260545667290, "min_dcf": 0.197372380428,
        "act_dcf": 0.662158354466, "cllr": 0.644359724295,
    },
}  # fmt: skip
"""ASVspoof 2019 LA evaluation, by the organisers' packages of 2019, 2021 and ASVspoof 5; the digits are all printed."""


@given(scores, scores)
def test_min_dcf_is_that_of_the_slow_twin(bonafide: list[float], spoof: list[float]) -> None:
    expected = slow_twin.least_cost(bonafide, spoof, lambda miss, fa: (0.95 * miss + 0.5 * fa) / 0.5)
    assert min_dcf(bonafide, spoof) == pytest.approx(expected)


@given(scores, scores)
def test_act_dcf_is_the_cost_at_the_bayes_threshold(bonafide: list[float], spoof: list[float]) -> None:
    miss, false_acceptance = map(float, slow_twin.rates(bonafide, spoof, -math.log(1.9)))
    assert act_dcf(bonafide, spoof) == pytest.approx((0.95 * miss + 0.5 * false_acceptance) / 0.5)
    assert act_dcf(bonafide, spoof) >= min_dcf(bonafide, spoof) - 1e-12


@given(scores, scores, operating_points)
def test_both_t_dcf_are_those_of_the_slow_twin(bonafide: list[float], spoof: list[float], asv: AsvRates) -> None:
    point = (asv.miss, asv.false_acceptance, asv.spoof_false_acceptance)

    def cost(miss: float, false_acceptance: float) -> float:
        return slow_twin.tdcf(miss, false_acceptance, point, 10.0)

    # Accepting everything or nothing: what a countermeasure costs that does not listen.
    default = min(cost(0.0, 1.0), cost(1.0, 0.0))
    assert min_tdcf(bonafide, spoof, asv) == pytest.approx(slow_twin.least_cost(bonafide, spoof, cost) / default)
    # With equal costs of both systems the legacy form is the same without what the verification costs anyway.
    floor = cost(0.0, 0.0)
    legacy = (slow_twin.least_cost(bonafide, spoof, cost) - floor) / (default - floor)
    assert min_tdcf_legacy(bonafide, spoof, asv) == pytest.approx(legacy)


@given(scores, scores)
def test_costs_depend_on_the_order_of_the_scores_and_never_exceed_that_of_not_listening(
    bonafide: list[float], spoof: list[float]
) -> None:
    for cost in (min_dcf, lambda b, s: min_tdcf(b, s, ASV), lambda b, s: min_tdcf_legacy(b, s, ASV)):
        assert cost(np.exp(bonafide), np.exp(spoof)) == cost(bonafide, spoof) <= 1 + 1e-12


def test_the_t_dcf_curve_has_its_least_value_where_min_tdcf_says() -> None:
    curve, thresholds = tdcf_curve([1.0, 2.0, 3.0], [0.0, 1.5], ASV)
    assert curve.min() == pytest.approx(min_tdcf([1.0, 2.0, 3.0], [0.0, 1.5], ASV))
    assert curve[0] == pytest.approx(sum(revised_weights(ASV)[::2]))
    assert len(curve) == len(thresholds) == 6


def test_the_bayes_threshold_moves_with_prior_and_costs() -> None:
    assert DetectionCosts().bayes_threshold == pytest.approx(-0.641853886172)
    assert DetectionCosts(0.5, 1, 1).bayes_threshold == 0.0


def test_costs_and_priors_are_arguments() -> None:
    assert min_dcf([0.0], [1.0], DetectionCosts(0.5, 1.0, 3.0)) == 1.0
    cheap = TandemCosts(spoof_false_acceptance=1.0, cm_false_acceptance=1.0)
    assert legacy_weights(ASV, cheap)[0] == pytest.approx(10 * legacy_weights(ASV)[0])


def test_the_verification_threshold_accepts_the_best_trial_that_the_equal_error_rate_rejects() -> None:
    assert asv_threshold([2.0, 3.0, 4.0], [0.0, 1.0]) == 1.0
    assert asv_rates([2.0, 3.0, 4.0], [0.0, 1.0], [1.0, 0.5]) == AsvRates(0.0, 0.5, 0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DetectionCosts(spoof_prior=1.0), "spoof_prior must lie between 0 and 1, got 1.0"),
        (lambda: DetectionCosts(miss=-1.0), "miss must be a finite number, 0 or above, got -1.0"),
        (lambda: TandemCosts(target_prior=0.5), "must sum to 1, got 0.5595"),
        (lambda: AsvRates(1.2, 0.0, 0.0), "miss must be a fraction from 0 to 1, got 1.2"),
        (lambda: min_tdcf([1.0], [0.0], AsvRates(1.0, 0.0, 0.5)), "t-DCF is not defined"),
        (lambda: min_tdcf_legacy([1.0], [0.0], AsvRates(0.0, 0.0, 0.0)), "t-DCF is not defined"),
        (lambda: asv_rates([1.0], [0.0], []), "no verification spoof scores"),
        (lambda: min_dcf([1.0], []), "no spoof scores"),
    ],
)
def test_what_makes_no_sense_is_an_error_that_says_what_came(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def read_asv(path: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            _, key, score = line.split()
            found[key].append(float(score))
    return found


def test_the_published_operating_point_is_met_to_all_printed_digits(reference: Path) -> None:
    asv = read_asv(reference / PUBLISHED_ASV)
    assert round(100 * eer(asv["target"], asv["nontarget"]), 10) == 2.4577837387
    assert round(asv_threshold(asv["target"], asv["nontarget"]), 6) == -5.680051
    point = asv_rates(asv["target"], asv["nontarget"], asv["spoof"])
    assert round(point.false_acceptance, 12) == 0.024604674888
    assert round(point.miss, 12) == 0.024581005587
    assert round(1 - point.spoof_false_acceptance, 12) == 0.239347547040
    assert [round(weight, 10) for weight in revised_weights(point)] == [0.0627328792, 2.2550134809, 0.9372671208]
    assert [round(weight, 5) for weight in legacy_weights(point)] == [2.40595, 1.0]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_costs_are_met_to_all_printed_digits(name: str, reference: Path) -> None:
    asv = read_asv(reference / PUBLISHED_ASV)
    point = asv_rates(asv["target"], asv["nontarget"], asv["spoof"])
    classes: dict[bool, list[float]] = {True: [], False: []}
    with gzip.open(reference / name, "rt", encoding="utf-8") as lines:
        for line in lines:
            _, _, key, score = line.split()
            classes[key == "bonafide"].append(float(score))
    bonafide, spoof = classes[True], classes[False]
    found = {
        "min_tdcf_legacy": min_tdcf_legacy(bonafide, spoof, point), "min_tdcf": min_tdcf(bonafide, spoof, point),
        "min_dcf": min_dcf(bonafide, spoof), "act_dcf": act_dcf(bonafide, spoof), "cllr": cllr(bonafide, spoof),
    }  # fmt: skip
    digits = {key: len(str(value).partition(".")[2]) for key, value in PUBLISHED[name].items()}
    assert {key: round(found[key], max(digits[key], 9)) for key in digits} == PUBLISHED[name]
