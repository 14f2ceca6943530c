"""A change in the llrs of windows is found, told with its direction and its start, and steadiness is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.runtime.changes import DRIFT_LLR, MIN_BEFORE, ChangeDetector, Found
from aasist.runtime.pooling import HALF_LIFE_WINDOWS, Pool

llr_lists = st.lists(st.floats(-8, 8), max_size=80)


def found(llrs: list[float], **options: float) -> list[tuple[int, Found]]:
    """The changes, each with the number of the window (one a second) at which it was sure."""
    detector = ChangeDetector(**options)
    pushed = [(number, detector.push(float(number), llr)) for number, llr in enumerate(llrs)]
    return [(number, change) for number, change in pushed if change is not None]


def slowly_found(llrs: list[float], drift: float, threshold: float) -> list[int]:
    """The same with everything kept: both sums over lists, from the rules as they are written down."""
    changes: list[int] = []
    before: dict[int, list[float]] = {-1: [], 1: []}
    since: dict[int, list[float]] = {-1: [], 1: []}
    for number, llr in enumerate(llrs):
        for sign in (-1, 1):
            if len(before[sign]) < MIN_BEFORE:
                before[sign].append(llr)
                continue
            since[sign].append(llr)
            mean = sum(before[sign]) / len(before[sign])
            if sum(sign * (one - mean) - drift for one in since[sign]) <= 0:
                before[sign] += since[sign]
                since[sign] = []
            elif sum(sign * (one - mean) - drift for one in since[sign]) > threshold:
                changes.append(number)
                before = {-1: list(since[sign]), 1: list(since[sign])}
                since = {-1: [], 1: []}
                break
    return changes


@given(llr_lists)
def test_it_finds_what_the_slow_twin_finds(llrs: list[float]) -> None:
    rounded = [round(llr * 4) / 4 for llr in llrs]
    assert [number for number, _ in found(rounded, drift=1.03, threshold=12.01)] == slowly_found(rounded, 1.03, 12.01)


@pytest.mark.parametrize(
    ("before", "after", "toward"), [(3.0, -3.0, "spoof"), (-3.0, 3.0, "bonafide"), (1.0, -3.0, "spoof")]
)
def test_a_step_is_found_once_with_its_direction_its_start_and_both_means(
    before: float, after: float, toward: str
) -> None:
    ((number, change),) = found([before] * 20 + [after] * 40)
    assert 20 < number < 28
    assert (change.toward, change.since) == (toward, 19.0)
    assert (change.before, change.after) == (pytest.approx(before), pytest.approx(after))


def test_a_change_and_the_change_back_are_two() -> None:
    changes = [change.toward for _, change in found([2.0] * 20 + [-3.0] * 20 + [2.0] * 20)]
    assert changes == ["spoof", "bonafide"]


def test_a_slip_is_no_change() -> None:
    assert not found([2.0] * 20 + [-4.0] * 2 + [2.0] * 40)


@given(st.floats(-5, 5), st.lists(st.floats(-DRIFT_LLR / 2, DRIFT_LLR / 2), max_size=200))
def test_what_wanders_by_less_than_the_drift_never_changes(level: float, wandering: list[float]) -> None:
    assert not found([level + each for each in wandering])


@given(llr_lists, st.floats(-5, 5))
def test_a_level_that_all_share_is_no_matter(llrs: list[float], level: float) -> None:
    rounded = [round(llr) for llr in llrs]
    shifted = [llr + round(level) for llr in rounded]
    options = {"drift": 1.03, "threshold": 12.01}
    assert [number for number, _ in found(rounded, **options)] == [number for number, _ in found(shifted, **options)]


@given(llr_lists)
def test_the_mirrored_llrs_change_at_the_same_places_the_other_way(llrs: list[float]) -> None:
    there, back = found(llrs), found([-llr for llr in llrs])
    assert [number for number, _ in there] == [number for number, _ in back]
    assert all(one.toward != other.toward for (_, one), (_, other) in zip(there, back, strict=True))


@given(st.lists(st.floats(-20, 20), min_size=1, max_size=100))
def test_the_pool_is_the_mean_and_the_mean_that_forgets(llrs: list[float]) -> None:
    pool = Pool()
    for llr in llrs:
        pool.push(llr)
    weights = 0.5 ** (np.arange(len(llrs))[::-1] / HALF_LIFE_WINDOWS)
    assert pool.mean == pytest.approx(np.mean(llrs))
    assert pool.running == pytest.approx(np.average(llrs, weights=weights))
    assert pool.count == len(llrs)


def test_an_empty_pool_has_no_mean_and_one_that_forgets_keeps_the_mean_of_all() -> None:
    pool = Pool()
    assert (pool.mean, pool.running) == (None, None)
    for llr in (4.0, 4.0, -2.0):
        pool.push(llr)
    pool.forget(-2.0)
    assert (pool.mean, pool.running) == (2.0, -2.0)
