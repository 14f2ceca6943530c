"""Intervals: coverage, what is resampled, pairs, and independence of threads."""

from __future__ import annotations

import numpy as np
import pytest

from aasist.evaluation.bootstrap import (
    FEWEST_SPEAKERS,
    Placed,
    Resampler,
    compare,
    interval,
    intervals,
    mean_interval,
)
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


def test_a_drawn_speaker_brings_all_its_trials_of_both_classes() -> None:
    # Speaker n has n + 1 bona fide trials and 2 spoofs; a trial of an unknown speaker is one of its own.
    speakers = [f"s{n}" for n in range(6) for _ in range(n + 1)] + [f"s{n}" for n in range(6)] * 2 + ["-", ""]
    labels = np.array([True] * 21 + [False] * 12 + [True, False])
    resampler = Resampler(labels, strings(speakers))
    assert resampler.by_speaker == (True, True)
    rounds = [resampler.weights(number) for number in range(60)]
    of_bonafide, of_spoof = np.array(speakers)[labels], np.array(speakers)[~labels]
    for bonafide, spoof in rounds:
        times = {n: bonafide[of_bonafide == f"s{n}"] for n in range(6)}
        for n, drawn in times.items():
            assert set(drawn) == set(spoof[of_spoof == f"s{n}"]) == {drawn[0]}
        assert sum(drawn[0] for drawn in times.values()) + bonafide[-1] + spoof[-1] == 8
    assert any(bonafide[-1] != spoof[-1] for bonafide, spoof in rounds), "trials of unknown speakers are drawn apart"


def test_a_class_that_is_mostly_one_speaker_is_drawn_trial_by_trial() -> None:
    """However many strangers stand beside one voice, a draw of speakers is that voice, none, one or many times over."""
    labels = np.arange(120) < 60
    others = [f"s{n}" for n in range(60)]
    by_speaker = {
        share: Resampler(labels, np.array([*others, *["voice"] * share, *["-"] * (60 - share)])).by_speaker
        for share in (30, 31)
    }
    assert by_speaker == {30: (True, True), 31: (True, False)}


@pytest.mark.parametrize(("count", "by_speaker"), [(FEWEST_SPEAKERS, True), (FEWEST_SPEAKERS - 1, False)])
def test_a_class_of_too_few_speakers_is_drawn_trial_by_trial_and_the_other_by_speaker(
    count: int, by_speaker: bool
) -> None:
    labels = np.arange(80) < 40
    speakers = strings([f"b{n % 10}" for n in range(40)] + [f"s{n % count}" for n in range(40)])
    resampler = Resampler(labels, speakers)
    assert resampler.by_speaker == (True, by_speaker)
    rounds = [resampler.weights(number) for number in range(20)]
    assert all((bonafide.reshape(4, 10) == bonafide[:10]).all() for bonafide, _ in rounds)
    together = [all(len(set(spoof[n::count])) == 1 for n in range(count)) for _, spoof in rounds]
    assert together == [by_speaker] * 20
    if not by_speaker:
        assert {spoof.sum() for _, spoof in rounds} == {40}
        assert {bonafide.sum() for bonafide, _ in rounds} == {40}, "as many speakers are drawn as are drawn from"


def test_trials_of_one_speaker_alone_are_drawn_one_by_one() -> None:
    scores, labels = gaussian(40, 40)
    one = strings(["s"] * 80)
    assert intervals({"eer": eer.of}, scores, labels, speakers=one, rounds=50) == intervals(
        {"eer": eer.of}, scores, labels, rounds=50
    )


def test_intervals_by_speaker_are_as_wide_as_the_spread_of_the_rate() -> None:
    random = np.random.default_rng(0)
    labels = np.tile(np.repeat([True, False], 5), 30)
    speakers = strings([f"s{n // 10}" for n in range(300)])
    rates, widths = [], []
    for seed in range(80):
        # The voice of a speaker and, apart from it, that of its fakes make up a third of the variance.
        voices = np.repeat(random.normal(0, 0.6, 60), 5)
        scores = voices + np.where(labels, 1.2, -1.2) + random.normal(0, 0.8, 300)
        rates.append(eer(scores[labels], scores[~labels]))
        low, high = intervals({"eer": eer.of}, scores, labels, speakers=speakers, rounds=100, seed=seed)["eer"]
        widths.append(high - low)
    assert 0.8 < np.mean(widths) / (2 * 1.96 * np.std(rates)) < 1.25


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


def test_the_mean_over_groups_varies_with_the_draws_of_the_whole_set() -> None:
    scores, labels = gaussian(100, 100)
    group = np.arange(200) % 2
    rows = [np.flatnonzero(group == n) for n in range(2)]
    found = mean_interval(eer.of, rows, scores, labels, rounds=40, level=0.5, seed=3)
    # The same slowly: draws of the whole, then the trials of each group written out.
    resampler, means = Resampler(labels, seed=3), []
    for number in range(40):
        weights = np.empty(200)
        weights[labels], weights[~labels] = resampler.weights(number)
        drawn = np.repeat(np.arange(200), weights.astype(int))
        of_group = [drawn[group[drawn] == n] for n in range(2)]
        means.append(np.mean([eer(scores[of][labels[of]], scores[of][~labels[of]]) for of in of_group]))
    assert found == pytest.approx(tuple(np.quantile(means, [0.25, 0.75])))
    assert found == mean_interval(eer.of, rows, scores, labels, rounds=40, level=0.5, seed=3, threads=3)


def test_a_group_that_a_round_does_not_draw_has_no_part_in_its_mean() -> None:
    # 6 speakers; the second group is speaker 5 alone, whose error is 1, while that of the first is 0.
    speakers = np.repeat(np.arange(6), 4)
    labels = np.tile([True, True, False, False], 6)
    scores = np.where(labels == (speakers < 5), 1.0, -1.0)
    groups = [np.flatnonzero(speakers < 5), np.flatnonzero(speakers == 5)]
    names = strings([f"s{n}" for n in speakers])
    assert mean_interval(eer.of, groups, scores, labels, speakers=names, rounds=100) == (0.0, 0.5)
    assert mean_interval(eer.of, groups[1:], scores, labels, speakers=names, rounds=100) == (1.0, 1.0)
    assert mean_interval(eer.of, [], scores, labels, rounds=5) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": 0}, "rounds must be 1 or more, got 0"),
        ({"rounds": -3}, "rounds must be 1 or more, got -3"),
        ({"level": 0.0}, "level must lie between 0 and 1, both excluded, got 0.0"),
        ({"level": 95.0}, "level must lie between 0 and 1, both excluded, got 95.0"),
        ({"level": float("nan")}, "got nan"),
        ({"speakers": strings(["a"] * 59)}, "speakers must be one for each trial, got 59 for 60 trials"),
    ],
)
def test_what_no_interval_can_be_made_of_is_an_error(options: dict, message: str) -> None:
    scores, labels = gaussian(30, 30)
    for attempt in (
        lambda: intervals({"eer": eer.of}, scores, labels, **options),
        lambda: compare({"eer": eer.of}, scores, scores, labels, **options),
        lambda: mean_interval(eer.of, [np.arange(60)], scores, labels, **options),
    ):
        with pytest.raises(ValueError, match=message):
            attempt()


def test_systems_of_different_lengths_are_not_compared() -> None:
    scores, labels = gaussian(30, 30)
    with pytest.raises(ValueError, match="a score for each trial, got 60 of A and 59 of B"):
        compare({"eer": eer.of}, scores, scores[1:], labels)
