"""Windows to segments: as a slow twin would join them, with and without hysteresis."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.runtime.hysteresis import Segmenter, Side, merged
from aasist.runtime.verdict import Span, score_of

quarters = st.integers(-20, 20).map(lambda n: n / 4)
"""llrs whose sums are exact, so that a mean on the threshold is on it for the twin as well."""


@st.composite
def some_windows(draw: st.DrawFn) -> list[Span]:
    spans = draw(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 15), quarters), max_size=12))
    return [Span(float(start), float(start + length), score_of(llr), llr) for start, length, llr in spans]


def slowly_merged(windows: list[Span], threshold: float) -> list[tuple[int, int, float]]:
    """The same from one cell a second: mean of what covers it, then runs of cells on one side of the threshold."""
    runs: list[tuple[int, list[float]]] = []
    for second in range(60):
        covering = [window.llr for window in windows if window.start <= second and second + 1 <= window.end]
        if not covering:
            continue
        mean = sum(covering) / len(covering)
        goes_on = runs and runs[-1][0] + len(runs[-1][1]) == second
        if goes_on and (runs[-1][1][-1] >= threshold) == (mean >= threshold):
            runs[-1][1].append(mean)
        else:
            runs.append((second, [mean]))
    return [(start, start + len(cells), sum(cells) / len(cells)) for start, cells in runs]


@given(some_windows(), quarters)
def test_merged_segments_are_those_of_the_slow_twin(windows: list[Span], threshold: float) -> None:
    segments = merged(windows, threshold)
    expected = slowly_merged(windows, threshold)
    assert [(s.start, s.end) for s in segments] == [(start, end) for start, end, _ in expected]
    assert [s.llr for s in segments] == pytest.approx([llr for _, _, llr in expected])


@given(some_windows(), quarters)
def test_merged_segments_are_in_order_and_do_not_overlap(windows: list[Span], threshold: float) -> None:
    segments = merged(windows, threshold)
    assert all(segment.start < segment.end for segment in segments)
    assert all(one.end <= next_one.start for one, next_one in pairwise(segments))
    assert all(segment.score == score_of(segment.llr) for segment in segments)


@given(some_windows(), quarters)
def test_neighbouring_segments_that_touch_lie_on_two_sides_of_the_threshold(
    windows: list[Span], threshold: float
) -> None:
    touching = [(a, b) for a, b in pairwise(merged(windows, threshold)) if a.end == b.start]
    assert all((a.llr >= threshold) != (b.llr >= threshold) for a, b in touching)


@given(some_windows(), quarters)
def test_merged_segments_cover_what_the_windows_cover(windows: list[Span], threshold: float) -> None:
    covered = {second for window in windows for second in range(int(window.start), int(window.end))}
    segments = merged(windows, threshold)
    assert {second for s in segments for second in range(int(s.start), int(s.end))} == covered


@given(some_windows(), quarters, st.randoms())
def test_the_order_of_the_windows_does_not_matter(windows: list[Span], threshold: float, random: object) -> None:
    shuffled = list(windows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merged(shuffled, threshold) == merged(windows, threshold)


milliseconds = st.integers(0, 60_000).map(lambda n: n / 1_000)


@given(st.lists(st.tuples(milliseconds, milliseconds), min_size=1, max_size=8), st.floats(-20, 20))
def test_a_segment_lies_on_the_side_of_its_windows_even_where_all_are_on_the_threshold(
    edges: list[tuple[float, float]], threshold: float
) -> None:
    windows = [Span(min(edge), max(edge), score_of(threshold), threshold) for edge in edges if edge[0] != edge[1]]
    segments = merged(windows, threshold)
    assert bool(segments) == bool(windows)
    assert all(segment.llr >= threshold for segment in segments)


class CountedSpan:
    """A window that counts how often its edges are looked at."""

    looked = 0

    def __init__(self, start: float, end: float) -> None:
        self._start, self._end, self.llr = start, end, 1.0

    @property
    def start(self) -> float:
        CountedSpan.looked += 1
        return self._start

    @property
    def end(self) -> float:
        CountedSpan.looked += 1
        return self._end


def test_the_work_of_merging_grows_with_the_number_of_windows_and_not_with_its_square() -> None:
    """Two days of windows, each of which overlaps a few others."""
    looks = []
    for count in (1_000, 2_000, 4_000):
        CountedSpan.looked = 0
        windows = [CountedSpan(float(at), at + 4.0) for at in range(count)]
        (segment,) = merged(windows, 0.0)  # type: ignore[arg-type]
        assert (segment.start, segment.end) == (0.0, count + 3.0)
        looks.append(CountedSpan.looked)
    first, second = looks[1] - looks[0], looks[2] - looks[1]
    assert second == pytest.approx(2 * first, rel=0.01)
    assert looks[2] < 40 * 4_000


def test_a_cell_under_two_windows_has_the_mean_of_their_llrs() -> None:
    windows = [Span(0.0, 4.0, 0.9, 2.0), Span(2.0, 6.0, 0.1, -3.0)]
    assert [(s.start, s.end, s.llr) for s in merged(windows, 0.0)] == [(0.0, 2.0, 2.0), (2.0, 6.0, (-0.5 - 3.0) / 2)]


def test_within_the_margin_a_side_stays_and_beyond_it_changes() -> None:
    side = Side(1.0, 0.5)
    assert [side.push(llr) for llr in (1.2, 0.5, 0.49, 1.4, 1.5, 0.6)] == [True, True, False, False, True, True]


def test_the_first_llr_is_on_the_side_that_it_falls_on_whatever_the_margin() -> None:
    assert Side(0.0, 5.0).push(0.0)
    assert not Side(0.0, 5.0).push(-0.01)


@given(some_windows(), quarters, st.integers(0, 8).map(lambda n: n / 4))
def test_a_margin_makes_no_more_segments_and_covers_the_same(
    windows: list[Span], threshold: float, margin: float
) -> None:
    narrow, wide = merged(windows, threshold), merged(windows, threshold, margin=margin)
    assert len(wide) <= len(narrow)
    seconds = [{second for s in spans for second in range(int(s.start), int(s.end))} for spans in (narrow, wide)]
    assert seconds[0] == seconds[1]


def test_a_dip_within_the_margin_makes_no_segment_and_one_beyond_it_does() -> None:
    def windows(dip: float) -> list[Span]:
        return [Span(float(at), at + 1.0, score_of(llr), llr) for at, llr in enumerate((1.0, dip, 1.0))]

    assert len(merged(windows(-0.4), 0.0)) == 3
    assert len(merged(windows(-0.4), 0.0, margin=0.5)) == 1
    assert len(merged(windows(-0.6), 0.0, margin=0.5)) == 3


def test_behind_a_gap_the_side_is_decided_afresh() -> None:
    windows = [Span(0.0, 1.0, score_of(1.0), 1.0), Span(5.0, 6.0, score_of(-0.1), -0.1)]
    assert [(s.start, s.llr) for s in merged(windows, 0.0, margin=0.5)] == [(0.0, 1.0), (5.0, -0.1)]


@given(some_windows(), quarters, st.integers(1, 4))
def test_a_limit_keeps_the_last_segments(windows: list[Span], threshold: float, most: int) -> None:
    segmenter = Segmenter(threshold, most=most)
    for window in sorted(windows, key=lambda window: window.start):
        segmenter.push(window)
    assert segmenter.segments() == merged(windows, threshold)[-most:]
