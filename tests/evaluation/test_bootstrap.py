"""Intervals: coverage, what is resampled, pairs, and independence of threads."""

from __future__ import annotations

import numpy as np
import pytest

from aasist.evaluation.bootstrap import Placed, Resampler, compare, interval, intervals
from aasist.evaluation.calibration import cllr
from aasist.evaluation.det import eer
from aasist.evaluation.tally import Tally
from aasist.trial import strings


def gaussian(bonafide: int, spoof: int, seed: int = 0, shift: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    scores = np.concatenate([random.normal(shift / 2, 1, bonafide), random.normal(-shift / 2, 1, spoof)])
    return scores, np.arange(bonafide + spoof) < bonafide


def test_an_interval_holds_the_rate_and_shrinks_with_more_trials() -> None:
    scores, labels = gaussian(60, 60)
    few = scores[labels], scores[~labels]
    low, high = interval(eer, *few, rounds=200)
    assert low <= eer(*few) <= high
    scores, labels = gaussian(2000, 2000)
    narrow_low, narrow_high = interval(eer, scores[labels], scores[~labels], rounds=200)
    assert narrow_high - narrow_low < (high - low) / 2
    assert interval(eer, *few, rounds=200) == (low, high)


def test_intervals_hold_the_true_rate_about_as_often_as_they_say() -> None:
    truth = 0.15865525  # of two unit Gaussians 2 apart
    held = 0
    for seed in range(100):
        scores, labels = gaussian(150, 150, seed)
        low, high = interval(eer, scores[labels], scores[~labels], rounds=120, level=0.9)
        held += low <= truth <= high
    assert 80 <= held <= 98


def test_a_round_counts_what_it_draws_and_only_that() -> None:
    scores = np.array([0.0, 1.0, 1.0, 2.0, 3.0])
    labels = np.array([False, True, False, True, True])
    placed = Placed(scores, labels)
    again = placed.resampled((np.array([0.0, 1.0, 2.0]), np.array([2.0, 0.0])))
    assert again.scale.scores.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert again.bonafide.tolist() == [0.0, 0.0, 1.0, 2.0]
    assert again.spoof.tolist() == [2.0, 0.0, 0.0, 0.0]
    expected = Tally.of([2.0, 3.0, 3.0], [0.0, 0.0])
    assert eer.of(again) == eer.of(expected)
    assert cllr.of(again) == pytest.approx(cllr.of(expected))


def test_without_speakers_each_class_keeps_its_size() -> None:
    _, labels = gaussian(7, 5)
    for number in range(20):
        bonafide, spoof = Resampler(labels).weights(number)
        assert (bonafide.sum(), spoof.sum()) == (7, 5)


def test_a_speaker_is_drawn_with_as_many_trials_of_both_classes_as_it_has() -> None:
    labels = np.array([True, True, False, True, False, True, False])
    speakers = strings(["a", "a", "a", "b", "b", "-", ""])
    resampler = Resampler(labels, speakers)
    rounds = [resampler.weights(number) for number in range(60)]
    for bonafide, spoof in rounds:
        assert bonafide[0] + bonafide[1] == 2 * spoof[0]
        assert bonafide[2] == spoof[1]
    assert any(bonafide[0] != bonafide[1] for bonafide, _ in rounds), "trials are drawn within the speaker too"
    assert any(bonafide[3] != spoof[2] for bonafide, spoof in rounds), "trials of unknown speakers are drawn apart"


def test_trials_of_one_speaker_alone_are_not_certain() -> None:
    scores, labels = gaussian(40, 40)
    one = strings(["s"] * 80)
    low, high = intervals({"eer": eer.of}, scores, labels, speakers=one, rounds=200)["eer"]
    plain_low, plain_high = intervals({"eer": eer.of}, scores, labels, rounds=200)["eer"]
    assert high - low > 0.7 * (plain_high - plain_low)


def test_trials_that_go_together_widen_the_interval() -> None:
    random = np.random.default_rng(3)
    # 20 speakers whose 40 trials share most of their score.
    shared = np.repeat(random.normal(0, 1, 20), 40)
    labels = np.tile(np.repeat([True, False], 20), 20)
    scores = shared + np.where(labels, 0.8, -0.8) + random.normal(0, 0.2, 800)
    speakers = strings(np.repeat([f"s{n}" for n in range(20)], 40).tolist())
    by_trial = intervals({"eer": eer.of}, scores, labels, rounds=300)["eer"]
    by_speaker = intervals({"eer": eer.of}, scores, labels, speakers=speakers, rounds=300)["eer"]
    assert by_speaker[1] - by_speaker[0] > 1.5 * (by_trial[1] - by_trial[0])


def test_the_number_of_threads_changes_nothing() -> None:
    scores, labels = gaussian(80, 120)
    measures = {"eer": eer.of, "cllr": cllr.of}
    assert intervals(measures, scores, labels, rounds=50) == intervals(measures, scores, labels, rounds=50, threads=3)


def test_pairing_sees_a_difference_that_two_intervals_do_not() -> None:
    scores, labels = gaussian(200, 200, shift=1.5)
    worse = scores + np.where(labels, -0.15, 0.15)
    a = intervals({"eer": eer.of}, scores, labels, rounds=300)["eer"]
    b = intervals({"eer": eer.of}, worse, labels, rounds=300)["eer"]
    assert a[1] > b[0], "the intervals overlap"
    found = compare({"eer": eer.of}, scores, worse, labels, rounds=300)["eer"]
    assert found.difference == found.a - found.b
    assert found.difference < 0
    assert found.interval[1] < 0
    assert found.p_value < 0.05


def test_a_system_does_not_differ_from_itself() -> None:
    scores, labels = gaussian(40, 40)
    found = compare({"eer": eer.of}, scores, scores, labels, rounds=50)["eer"]
    assert (found.difference, found.interval, found.p_value) == (0.0, (0.0, 0.0), 1.0)


def test_one_class_alone_has_no_interval() -> None:
    with pytest.raises(ValueError, match="no spoof scores"):
        intervals({"eer": eer.of}, np.zeros(3), np.ones(3, np.bool_))


def test_labels_of_0_and_1_are_classes_and_never_indices() -> None:
    scores, labels = gaussian(30, 30)
    expected = intervals({"eer": eer.of}, scores, labels, rounds=20)
    assert intervals({"eer": eer.of}, scores, labels.astype(int), rounds=20) == expected
    with pytest.raises(ValueError, match="labels must be True or False"):
        intervals({"eer": eer.of}, scores, np.arange(60), rounds=20)
    with pytest.raises(ValueError, match=r"one for each score, got shape \(59,\) for 60 scores"):
        intervals({"eer": eer.of}, scores, labels[1:], rounds=20)
