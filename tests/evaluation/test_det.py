"""Error rates against the slow twin, their invariants, and the published figures."""

from __future__ import annotations

import gzip
import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aasist.evaluation.det import (
    accuracy,
    auc,
    balanced_accuracy,
    det_curve,
    eer,
    eer_and_threshold,
    f1,
    false_acceptance_at_miss,
    miss_at_false_acceptance,
    threshold_at_miss,
)

from . import slow_twin

scores = st.lists(st.integers(-6, 6).map(float), min_size=1, max_size=25)
"""Few different values, so that ties are many."""


@given(scores, scores)
def test_eer_is_that_of_the_slow_twin(bonafide: list[float], spoof: list[float]) -> None:
    assert any(eer(bonafide, spoof) == pytest.approx(float(rate)) for rate in slow_twin.eers(bonafide, spoof))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=25), st.lists(st.floats(-100, 100), min_size=1, max_size=25))
def test_eer_of_scores_without_ties_is_that_of_the_slow_twin(bonafide: list[float], spoof: list[float]) -> None:
    assume(len({*bonafide, *spoof}) == len(bonafide) + len(spoof))
    assert any(eer(bonafide, spoof) == pytest.approx(float(rate)) for rate in slow_twin.eers(bonafide, spoof))


@given(scores, scores)
def test_every_point_of_the_curve_has_the_rates_of_its_threshold(bonafide: list[float], spoof: list[float]) -> None:
    miss, false_acceptance, thresholds = det_curve(bonafide, spoof)
    assert thresholds.tolist() == [*sorted({*bonafide, *spoof}), math.inf]
    for point, threshold in enumerate(thresholds):
        expected = slow_twin.rates(bonafide, spoof, float(threshold))
        assert (miss[point], false_acceptance[point]) == pytest.approx(tuple(map(float, expected)))


@given(scores, scores)
def test_the_curve_runs_from_accepting_all_to_accepting_none(bonafide: list[float], spoof: list[float]) -> None:
    miss, false_acceptance, _ = det_curve(bonafide, spoof)
    assert (miss[0], false_acceptance[0]) == (0.0, 1.0)
    assert (miss[-1], false_acceptance[-1]) == pytest.approx((1.0, 0.0))
    assert (np.diff(miss) >= 0).all()
    assert (np.diff(false_acceptance) <= 0).all()


@given(scores, scores)
def test_eer_is_reached_at_the_threshold_that_is_returned(bonafide: list[float], spoof: list[float]) -> None:
    rate, threshold = eer_and_threshold(bonafide, spoof)
    assert sum(slow_twin.rates(bonafide, spoof, threshold)) / 2 == pytest.approx(rate)


@given(scores, scores)
def test_eer_depends_on_the_order_of_the_scores_alone(bonafide: list[float], spoof: list[float]) -> None:
    def moved(values: list[float]) -> list[float]:
        return [2 * value + 1 for value in values]

    assert eer(moved(bonafide), moved(spoof)) == eer(bonafide, spoof)
    assert eer(np.exp(bonafide), np.exp(spoof)) == eer(bonafide, spoof)


@given(scores, scores, st.integers(2, 4))
def test_eer_does_not_change_when_every_trial_is_repeated(
    bonafide: list[float], spoof: list[float], times: int
) -> None:
    assume(len(slow_twin.eers(bonafide, spoof)) == 1)
    assert eer(bonafide * times, spoof) == pytest.approx(eer(bonafide, spoof))
    assert eer(bonafide, spoof * times) == pytest.approx(eer(bonafide, spoof))


@pytest.mark.parametrize(("bonafide", "spoof"), [([1.0] * 7, [1.0] * 5), ([0.0], [0.0]), ([3.0] * 2, [3.0] * 900)])
def test_scores_that_are_all_equal_have_an_eer_of_one_half(bonafide: list[float], spoof: list[float]) -> None:
    assert eer(bonafide, spoof) == 0.5


def test_classes_that_do_not_overlap_have_an_eer_of_0_and_swapped_of_1() -> None:
    assert eer([2.0, 3.0], [0.0, 1.0]) == 0.0
    assert eer([0.0, 1.0], [2.0, 3.0]) == 1.0
    assert eer_and_threshold([2.0, 3.0], [0.0, 1.0]) == (0.0, 2.0)


def test_a_quarter_of_each_class_on_the_wrong_side_is_an_eer_of_a_quarter() -> None:
    assert eer([1, 5, 6, 7], [0, 2, 3, 5.5]) == 0.25


def test_any_shape_and_any_kind_of_number_is_taken() -> None:
    assert eer(np.array([[2, 3]], np.int8), (0, np.float32(2.5))) == 0.5


@pytest.mark.parametrize(
    ("bonafide", "spoof", "named"), [([], [1.0], "bona fide"), ([1.0], [], "spoof"), ([], [], "bona fide")]
)
def test_an_empty_class_is_an_error_that_names_it(bonafide: list[float], spoof: list[float], named: str) -> None:
    with pytest.raises(ValueError, match=f"no {named} scores"):
        eer(bonafide, spoof)


def test_a_score_that_is_not_a_number_is_an_error_that_counts_them() -> None:
    with pytest.raises(ValueError, match="2 of 3 bona fide scores are not finite numbers"):
        eer([1.0, math.nan, math.nan], [0.0])
    with pytest.raises(ValueError, match="1 of 1 spoof scores are not finite numbers"):
        det_curve([1.0], [math.nan])


def test_infinite_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 spoof scores are not finite numbers"):
        eer([1.0], [0.0, -math.inf])


@given(scores, scores)
def test_auc_is_the_share_of_pairs_in_the_right_order(bonafide: list[float], spoof: list[float]) -> None:
    assert auc(bonafide, spoof) == pytest.approx(slow_twin.auc(bonafide, spoof))
    assert auc(spoof, bonafide) == pytest.approx(1 - auc(bonafide, spoof))


@given(scores, scores, st.sampled_from([0.0, 0.1, 1 / 3, 0.5, 1.0]))
def test_rates_at_a_fixed_rate_are_the_best_of_all_thresholds(
    bonafide: list[float], spoof: list[float], most: float
) -> None:
    points = [tuple(map(float, slow_twin.rates(bonafide, spoof, t))) for t in slow_twin.thresholds(bonafide, spoof)]
    best_false_acceptance = min(fa for miss, fa in points if miss <= most)
    assert false_acceptance_at_miss(bonafide, spoof, most) == pytest.approx(best_false_acceptance)
    best_miss = min(miss for miss, fa in points if fa <= most)
    assert miss_at_false_acceptance(bonafide, spoof, most) == pytest.approx(best_miss)
    threshold = threshold_at_miss(bonafide, spoof, most)
    assert float(slow_twin.rates(bonafide, spoof, threshold)[0]) <= most
    assert float(slow_twin.rates(bonafide, spoof, threshold)[1]) == pytest.approx(best_false_acceptance)


def test_shares_at_a_threshold_by_hand() -> None:
    bonafide, spoof = [1.0, 2.0, -1.0, 3.0], [-1.0, 0.5]
    assert accuracy(bonafide, spoof) == pytest.approx(4 / 6)
    assert balanced_accuracy(bonafide, spoof) == pytest.approx((3 / 4 + 1 / 2) / 2)
    # Rejected: one spoof, one bona fide; missed: one spoof.
    assert f1(bonafide, spoof) == pytest.approx(2 * 1 / (2 * 1 + 1 + 1))
    assert f1([1.0], [2.0]) == 0.0
    assert accuracy(bonafide, spoof, 0.75) == pytest.approx(5 / 6)


EERS = {
    "weighted_scores.txt.gz": 0.734180272,
    "RawGAT_ST_mul_LA_eval.txt.gz": 1.0601347518,
    "B02_LA_eval_4col.txt.gz": 8.0898253282,
}
"""Per cent, on the evaluation trials of ASVspoof 2019 LA, by the organisers' package."""

EERS_BY_ATTACK = {
    "A07": 0.349725683, "A08": 0.244465860, "A09": 0.0, "A10": 0.668882066, "A11": 0.098461727, "A12": 0.424416206,
    "A13": 0.057717417, "A14": 0.081488620, "A15": 0.302183276, "A16": 0.471958613, "A17": 1.181584989,
    "A18": 2.461631704, "A19": 0.488931719,
}  # fmt: skip


def read(path: Path) -> dict[str, list[float]]:
    """Lines ``utterance attack key score`` -> scores by ``bonafide`` and by attack."""
    found: dict[str, list[float]] = defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            _, attack, key, score = line.split()
            found["bonafide" if key == "bonafide" else attack].append(float(score))
    return found


@pytest.mark.parametrize("name", EERS)
def test_published_error_rates_are_met_to_all_printed_digits(name: str, reference: Path) -> None:
    by_attack = read(reference / name)
    bonafide = by_attack.pop("bonafide")
    spoof = [score for scores in by_attack.values() for score in scores]
    assert (len(bonafide), len(spoof)) == (7_355, 63_882)
    digits = len(str(EERS[name]).partition(".")[2])
    assert round(100 * eer(bonafide, spoof), digits) == EERS[name]


def test_published_error_rates_of_each_attack_are_met_to_all_printed_digits(reference: Path) -> None:
    by_attack = read(reference / "weighted_scores.txt.gz")
    bonafide = by_attack.pop("bonafide")
    rates = {attack: round(100 * eer(bonafide, scores), 9) for attack, scores in sorted(by_attack.items())}
    assert rates == EERS_BY_ATTACK
