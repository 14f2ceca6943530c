"""Operating points say what rates a threshold gave, and copies of one recording are not so many recordings."""

from __future__ import annotations

import numpy as np
import pytest

from aasist.evaluation.det import eer
from aasist.trial import Trials, strings
from aasist.trials.points import drawn_together, named_points


def scores(bonafide: int, spoof: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    llrs = np.concatenate([random.normal(2, 1.5, bonafide), random.normal(-2, 1.5, spoof)])
    return llrs, np.arange(bonafide + spoof) < bonafide


@pytest.mark.parametrize(
    ("bonafide", "names"),
    [
        (59, ["eer"]),
        (60, ["eer", "miss-5"]),
        (200, ["eer", "miss-5", "miss-1"]),
        (3_000, ["eer", "miss-5", "miss-1", "miss-0.1"]),
    ],
)
def test_a_rate_is_promised_from_as_many_trials_as_say_something_of_it(bonafide: int, names: list[str]) -> None:
    llrs, labels = scores(bonafide, 200)
    points = named_points(llrs, labels, rounds=20, seed=0)
    assert [point.name for point in points] == names
    most = {"miss-5": 0.05, "miss-1": 0.01, "miss-0.1": 0.001}
    for point in points:
        assert point.miss == np.mean(llrs[labels] < point.threshold)
        assert point.false_acceptance == np.mean(llrs[~labels] >= point.threshold)
        assert point.miss_interval[0] <= point.miss <= point.miss_interval[1]
        assert point.false_acceptance_interval[0] <= point.false_acceptance <= point.false_acceptance_interval[1]
        if point.name in most:
            assert point.miss <= most[point.name] < point.miss + 1.01 / bonafide
        else:
            assert (point.miss + point.false_acceptance) / 2 == pytest.approx(
                eer(llrs[labels], llrs[~labels]), abs=1 / bonafide
            )


def test_copies_of_a_recording_make_no_interval_narrower() -> None:
    llrs, labels = scores(100, 100)
    ids = strings(f"t{row}" for row in range(200))
    trials = Trials(ids, labels, {"speaker": strings(["-"] * 200)})
    together = drawn_together(trials)
    once = named_points(llrs, labels, together, rounds=400, seed=0)[0]
    thrice = named_points(*(np.tile(one, 3) for one in (llrs, labels, together)), rounds=400, seed=0)[0]
    widths = [point.miss_interval[1] - point.miss_interval[0] for point in (once, thrice)]
    assert thrice.miss == pytest.approx(once.miss)
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_speakers_are_drawn_together_and_the_unknown_each_alone() -> None:
    trials = Trials(strings(["a", "b", "c", "d"]), None, {"speaker": strings(["anna", "-", "anna", ""])})
    first, second, third, fourth = drawn_together(trials).tolist()
    assert first == third == "anna"
    assert len({first, second, fourth}) == 3
    assert len(set(drawn_together(Trials(trials.ids, None)).tolist())) == 4


def test_copies_of_a_recording_count_once_whoever_speaks() -> None:
    """Also where one voice alone is there, and speakers are not drawn."""
    random = np.random.default_rng(3)
    labels = np.arange(400) < 199
    llrs = np.where(labels, 1.0, -1.0) + random.standard_normal(400)
    ids, voice = np.arange(400).astype(str), np.full(400, "one")
    once = named_points(llrs, labels, voice, ids, rounds=400, seed=0)
    eleven = named_points(*(np.tile(one, 11) for one in (llrs, labels, voice, ids)), rounds=400, seed=0)
    assert [point.name for point in once] == [point.name for point in eleven] == ["eer", "miss-5"]
    for one, other in zip(once, eleven, strict=True):
        assert one.threshold == other.threshold
        assert other.miss_interval == pytest.approx(one.miss_interval, abs=1e-9)
    uncounted = named_points(*(np.tile(one, 11) for one in (llrs, labels, voice)), rounds=400, seed=0)[0]
    width = once[0].miss_interval[1] - once[0].miss_interval[0]
    assert uncounted.miss_interval[1] - uncounted.miss_interval[0] < width / 2
