"""Windows to segments, llr to score, and the JSON of a verdict."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.errors import AudioError
from aasist.runtime.verdict import ModelIdentity, Note, Span, Verdict, merged, score_of, unjudged

from .contract import CONTRACT_KEYS

MODEL = ModelIdentity("fake", "0" * 64, "fp32")

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


def test_score_is_one_half_at_llr_0_and_rises_from_0_to_1() -> None:
    assert score_of(0.0) == 0.5
    assert score_of(math.log(3)) == pytest.approx(0.75)
    assert (score_of(-1e6), score_of(1e6)) == (0.0, 1.0)


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_score_is_symmetric_ordered_and_within_0_and_1(llr: float, other: float) -> None:
    assert 0.0 <= score_of(llr) <= 1.0
    assert score_of(llr) + score_of(-llr) == pytest.approx(1.0)
    if llr < other:
        assert score_of(llr) <= score_of(other)


@given(st.floats(-30, 30))
def test_a_score_gives_its_llr_back(llr: float) -> None:
    score = score_of(llr)
    assert math.log(score) - math.log1p(-score) == pytest.approx(llr, rel=1e-3, abs=1e-9)


def verdict(path: str = "a.wav", llr: float = 1.0) -> Verdict:
    span = Span(0.0, 4.0, score_of(llr), llr)
    return Verdict(
        path, "bonafide", score_of(llr), llr, 0.0, 4.0, 3.0, 8_000, 1, (span,), (Note("clipped", "loud"),), MODEL,
        windows=(span, span),
    )  # fmt: skip


def test_json_has_the_keys_of_the_contract_in_their_order_and_windows_only_on_request() -> None:
    values = json.loads(verdict().to_json())
    assert list(values) == CONTRACT_KEYS
    assert list(values["segments"][0]) == ["start", "end", "score", "llr"]
    assert set(values["model"]) == {"name", "sha256", "precision"}
    assert values["error"] is None
    assert len(json.loads(verdict().to_json(timeline=True))["windows"]) == 2


def test_a_verdict_that_could_not_be_reached_has_the_same_keys_and_the_error() -> None:
    values = json.loads(unjudged("b.wav", AudioError("empty", "no"), threshold=0.5, model=MODEL).to_json())
    assert list(values) == CONTRACT_KEYS
    assert values["error"] == {"code": "empty", "message": "no"}
    assert (values["label"], values["score"], values["llr"], values["threshold"]) == (None, None, None, 0.5)


@given(st.text())
def test_any_path_becomes_one_line_of_json_and_comes_back(path: str) -> None:
    text = verdict(path).to_json()
    assert "\n" not in text
    assert json.loads(text)["path"] == path


def test_a_path_that_is_no_utf_8_becomes_json_that_can_be_written_and_comes_back() -> None:
    path = b"caf\xe9.wav".decode("utf-8", "surrogateescape")
    text = verdict(path).to_json()
    assert json.loads(text.encode("utf-8"))["path"] == path
    assert "café" in verdict("café.wav").to_json(), "others stay legible"


@pytest.mark.parametrize("llr", [math.nan, math.inf, -math.inf])
def test_json_never_holds_what_is_not_a_number(llr: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        verdict(llr=llr).to_json()
