"""Spoofing-robust verification against the slow twin and its special cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.evaluation.det import eer
from aasist.evaluation.sasv import ASVSPOOF5_SASV_COSTS, VerificationCosts, a_dcf, concurrent_t_eer, t_eer
from aasist.evaluation.tally import Tally

from . import slow_twin

scores = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=8)


@given(scores, scores, scores)
def test_a_dcf_is_that_of_the_slow_twin(target: list[float], nontarget: list[float], spoof: list[float]) -> None:
    # 0.9 * 1, 0.05 * 10 and 0.05 * 20; nothing accepted costs 0.9, everything 1.5.
    expected = slow_twin.a_dcf(target, nontarget, spoof, (0.9, 0.5, 1.0)) / 0.9
    assert a_dcf(target, nontarget, spoof)[0] == pytest.approx(expected)
    expected = slow_twin.a_dcf(target, nontarget, spoof, (0.9405, 0.095, 0.5)) / 0.595
    assert a_dcf(target, nontarget, spoof, ASVSPOOF5_SASV_COSTS)[0] == pytest.approx(expected)


def test_a_dcf_is_0_for_a_perfect_system_at_a_threshold_between_and_1_for_a_useless_one() -> None:
    assert a_dcf([3.0, 4.0], [0.0], [1.0]) == (0.0, 3.0)
    assert a_dcf([0.0], [1.0], [1.0])[0] == 1.0


@given(scores, scores, scores, scores, scores, st.sampled_from([0.0, 0.25, 0.5, 1.0]))
def test_t_eer_is_that_of_the_slow_twin(
    bonafide: list[float],
    spoof: list[float],
    target: list[float],
    nontarget: list[float],
    attack: list[float],
    prevalence: float,
) -> None:
    countermeasure, asv = (bonafide, spoof), (target, nontarget, attack)
    found = t_eer(Tally.of(*countermeasure), *asv, prevalence)
    low, high = slow_twin.t_eer(countermeasure, asv, prevalence)
    miss, accepted, spoofed = slow_twin.tandem(countermeasure, asv, found.cm_threshold, found.asv_threshold)
    wrong = (1 - prevalence) * accepted + prevalence * spoofed
    assert found.rate == pytest.approx((miss + wrong) / 2)
    assert low - 1e-12 <= max(miss, wrong) <= high + 1e-12


def test_without_spoofs_and_with_a_countermeasure_that_passes_all_it_is_the_verification_systems_own() -> None:
    random = np.random.default_rng(0)
    target, nontarget, spoof = (random.normal(mean, 1, 400) for mean in (2, 0, 1))
    passes_all = Tally.of([1.0], [1.0])
    assert t_eer(passes_all, target, nontarget, spoof, 0.0).rate == pytest.approx(eer(target, nontarget), abs=0.005)
    assert t_eer(passes_all, target, nontarget, spoof, 1.0).rate == pytest.approx(eer(target, spoof), abs=0.005)


def test_the_concurrent_rate_is_nearly_the_same_whatever_the_share_of_spoofs() -> None:
    random = np.random.default_rng(1)
    countermeasure = Tally.of(random.normal(1, 1, 3000), random.normal(-1, 1, 3000))
    target, nontarget, spoof = (random.normal(mean, 1, 3000) for mean in (2, -2, 1))
    found = concurrent_t_eer(countermeasure, target, nontarget, spoof)
    miss = countermeasure.rates_at(found.cm_threshold)[0]
    accepts = countermeasure.rates_at(found.cm_threshold)[1]
    rates = (
        1 - (1 - miss) * (target >= found.asv_threshold).mean(),
        (1 - miss) * (nontarget >= found.asv_threshold).mean(),
        accepts * (spoof >= found.asv_threshold).mean(),
    )
    assert max(rates) - min(rates) < 0.005
    assert found.rate == pytest.approx(np.mean(rates))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VerificationCosts(target_prior=0.5), "must sum to 1"),
        (lambda: VerificationCosts(miss=0.0), "miss must be a finite number above 0, got 0.0"),
        (lambda: a_dcf([1.0], [], [0.0]), "no non-target scores"),
        (lambda: a_dcf([1.0], [0.0], [float("nan")]), "1 of 1 spoof scores are not finite"),
        (lambda: t_eer(Tally.of([1.0], [0.0]), [1.0], [0.0], [0.0], 1.5), "fraction from 0 to 1, got 1.5"),
    ],
)
def test_what_makes_no_sense_is_an_error_that_says_what_came(make, message) -> None:
    with pytest.raises(ValueError, match=message):
        make()
