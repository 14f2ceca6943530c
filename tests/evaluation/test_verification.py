"""Figures of spoofing-robust verification: what the organisers' package computes, and intervals around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.evaluation.bootstrap import FEWEST_SPEAKERS
from aasist.evaluation.sasv import (
    ASVSPOOF5_SASV_COSTS,
    PUBLISHED_SASV_COSTS,
    PlacedClasses,
    a_dcf,
    least_cost,
)
from aasist.evaluation.verification import KINDS, ThreeClasses, VerificationSummary, verification_summary

COSTS = {"a_dcf": ("a-DCF", PUBLISHED_SASV_COSTS), "a_dcf_asvspoof5": ("a-DCF (ASVspoof 5)", ASVSPOOF5_SASV_COSTS)}


def drawn(seed: int = 0) -> dict[str, Any]:
    """400 targets, 800 non-targets and 800 spoofs, of 40 speakers."""
    random = np.random.default_rng(seed)
    kinds = np.repeat(KINDS, [400, 800, 800])
    asv = random.normal(np.where(kinds == "target", 2, np.where(kinds == "spoof", 1, -2)), 1)
    cm = random.normal(np.where(kinds == "spoof", -1, 1.0), 1)
    speakers = random.integers(0, 40, len(kinds)).astype(str)
    return {"kinds": kinds, "speakers": speakers, "asv": asv, "cm": cm, "sasv": asv + cm}


def summary_of(material: dict[str, Any], **options: Any) -> VerificationSummary:
    arrays = dict(material)
    return verification_summary(arrays.pop("kinds"), arrays.pop("speakers"), **arrays, costs=COSTS, **options)


def test_figures_are_those_of_the_organisers_package() -> None:
    """evaluation-package of github.com/asvspoof-challenge/asvspoof5 on the same scores: a_dcf.py and compute_teer."""
    figures = summary_of(drawn(), rounds=0).figures
    assert figures["a_dcf"].value == pytest.approx(0.3202777777777778, abs=1e-12)
    assert figures["a_dcf_asvspoof5"].value == pytest.approx(0.3318697478991597, abs=1e-12)
    # Theirs is the share of spoofs accepted where the three rates meet, ours the mean of all three there.
    assert figures["t_eer"].value == pytest.approx(0.16273125, abs=5e-4)


scores = st.lists(st.integers(-4, 4).map(float), min_size=1, max_size=6)
times = st.integers(0, 3)


@given(scores, scores, scores, st.data())
def test_a_trial_that_is_drawn_twice_counts_as_two(
    target: list[float], nontarget: list[float], spoof: list[float], data: st.DataObject
) -> None:
    classes = (target, nontarget, spoof)
    weights = [data.draw(st.lists(times, min_size=len(c), max_size=len(c)).filter(any)) for c in classes]
    placed = PlacedClasses(*classes)
    found = least_cost(placed, placed.rates([np.array(w, float) for w in weights]), PUBLISHED_SASV_COSTS)
    repeated = [np.repeat(c, w) for c, w in zip(classes, weights, strict=True)]
    assert found[0] == pytest.approx(a_dcf(*repeated)[0])


def test_a_drawn_speaker_brings_all_trials_of_every_kind() -> None:
    material = drawn()
    draws = ThreeClasses(material["kinds"], material["speakers"], seed=3)
    assert draws.by_speaker
    weights = np.concatenate(draws.weights(0))
    for speaker in np.unique(material["speakers"]):
        assert len(np.unique(weights[material["speakers"] == speaker])) == 1
    assert len(np.unique(weights)) > 2


def test_where_a_kind_has_few_speakers_trials_are_drawn_within_each_kind() -> None:
    material = drawn()
    few = np.where(material["kinds"] == "spoof", (np.arange(2_000) % (FEWEST_SPEAKERS - 1)).astype(str), "z")
    draws = ThreeClasses(material["kinds"], few)
    assert not draws.by_speaker
    assert [int(weights.sum()) for weights in draws.weights(0)] == [400, 800, 800]
    assert summary_of({**material, "speakers": few}, rounds=2).resampled == "trials"


def test_intervals_hold_the_figures_and_depend_on_the_seed_and_not_on_threads() -> None:
    one = summary_of(drawn(), rounds=60, seed=1)
    assert one == summary_of(drawn(), rounds=60, seed=1, threads=3)
    assert one != summary_of(drawn(), rounds=60, seed=2)
    for figure in one.figures.values():
        low, high = figure.interval
        assert low < figure.value < high
        assert high - low < 0.3


def test_an_interval_is_as_wide_as_figures_of_new_material_spread() -> None:
    spread = np.array([summary_of(drawn(seed), rounds=0).figures["a_dcf"].value for seed in range(150)])
    low, high = np.quantile(spread, [0.025, 0.975])
    widths = [np.ptp(summary_of(drawn(seed), rounds=150).figures["a_dcf"].interval) for seed in range(4)]
    assert np.mean(widths) == pytest.approx(high - low, rel=0.35)


def test_what_the_system_does_not_give_has_no_figure() -> None:
    material = drawn()
    assert list(summary_of({**material, "cm": None}, rounds=0).figures) == ["a_dcf", "a_dcf_asvspoof5"]
    assert list(summary_of({**material, "sasv": None}, rounds=0).figures) == ["t_eer"]


def test_the_table_prints_rates_as_per_cent_and_a_useless_system_accepts_nothing() -> None:
    rows = summary_of(drawn(), rounds=0).table().rows
    assert rows[0][:2] == ("a-DCF", "0.3203")
    assert rows[2][:2] == ("t-EER, concurrent", "16.3 %")
    useless = {
        "kinds": np.array(KINDS), "speakers": np.array(["a"] * 3), "sasv": np.array([0.0, 1.0, 1.0]), "cm": None,
        "asv": None,
    }  # fmt: skip
    found = summary_of(useless, rounds=0)
    assert found.table().rows[0] == ("a-DCF", "1.0000", "sasv accepts nothing")
    assert found.to_dict()["figures"]["a_dcf"]["thresholds"] == {"sasv": None}
