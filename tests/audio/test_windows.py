"""Windows lie over the speech, as a slow twin that sees the whole recording at once would place them."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aasist.audio.silero import CHUNK_SAMPLES
from aasist.audio.speech import Mask
from aasist.audio.windows import LEAD_SAMPLES, MIN_NEW_SPEECH_SAMPLES, Window, WindowPlacer

WINDOW, HOP = 64_600, 32_300


def placed(samples: NDArray[np.float32], mask: Mask, window: int, hop: int, chunks_a_push: int) -> list[Window]:
    """All windows, the audio pushed ``chunks_a_push`` chunks at a time."""
    placer = WindowPlacer(window, hop)
    windows: list[Window] = []
    for first in range(0, len(mask), chunks_a_push):
        last = first + chunks_a_push
        windows += placer.push(samples[first * CHUNK_SAMPLES : last * CHUNK_SAMPLES], mask[first:last])
    return windows + list(placer.finish())


def slow_starts(samples: int, mask: Mask, window: int, hop: int) -> Iterator[int]:
    """Starts of the windows, sample by sample, from the rules as they are written down."""
    speech = np.repeat(mask, CHUNK_SAMPLES)[:samples]
    spoken = np.flatnonzero(speech)
    earliest, covered, any_placed = 0, 0, False
    spare: tuple[int, int] | None = None
    while len(later := spoken[spoken >= earliest]):
        start = max(earliest, int(later[0]) - LEAD_SAMPLES)
        earliest = start + hop
        start = max(0, min(start, samples - window))
        new = int(speech[max(start, covered) : start + window].sum())
        if new >= MIN_NEW_SPEECH_SAMPLES:
            any_placed, covered = True, start + window
            yield start
        elif spare is None or new > spare[0]:
            spare = new, start
        if earliest >= samples:
            break
    if not any_placed and spare is not None:
        yield spare[1]


@st.composite
def masks(draw: st.DrawFn) -> tuple[int, Mask]:
    """(samples, mask): runs of speech and silence of all lengths, the last chunk whole or not."""
    runs = draw(st.lists(st.integers(1, 300), min_size=1, max_size=10))
    first = draw(st.booleans())
    mask = np.concatenate([np.full(length, (index % 2 == 0) == first) for index, length in enumerate(runs)])
    return len(mask) * CHUNK_SAMPLES - draw(st.integers(0, CHUNK_SAMPLES - 1)), mask


@settings(max_examples=80, deadline=None)
@given(
    case=masks(),
    window=st.sampled_from([WINDOW, 16_000, 8_192, 70_001]),
    hop=st.sampled_from([HOP, WINDOW, 8_000, 5_001, 100_000]),
    chunks_a_push=st.sampled_from([5, 320, 10_000]),
)
def test_windows_are_those_of_the_slow_twin_however_the_audio_comes(
    case: tuple[int, Mask], window: int, hop: int, chunks_a_push: int
) -> None:
    length, mask = case
    samples = np.arange(length, dtype=np.float32)
    windows = placed(samples, mask, window, hop, chunks_a_push)
    assert [each.start for each in windows] == list(slow_starts(length, mask, window, hop))

    speech = np.repeat(mask, CHUNK_SAMPLES)[:length]
    assert bool(windows) == bool(speech.any())
    starts = [each.start for each in windows]
    assert starts == sorted(set(starts))
    for each in windows:
        assert each.samples.shape == (window,)
        assert each.samples.dtype == np.float32
        assert each.length == min(window, length)
        assert each.start + each.length <= length
        assert np.array_equal(each.samples[: each.length], samples[each.start : each.start + each.length])
        assert each.speech_samples == speech[each.start : each.start + each.length].sum()


@settings(max_examples=50, deadline=None)
@given(case=masks(), window=st.sampled_from([WINDOW, 16_000]), hop=st.sampled_from([HOP, 8_000]))
def test_speech_is_left_out_only_where_there_is_little_of_it(case: tuple[int, Mask], window: int, hop: int) -> None:
    """With a hop no longer than the window, no run of a quarter second lies outside all windows."""
    length, mask = case
    speech = np.repeat(mask, CHUNK_SAMPLES)[:length]
    windows = placed(np.zeros(length, np.float32), mask, window, min(hop, window), 50)
    left = speech.copy()
    for each in windows:
        left[each.start : each.start + each.length] = False
    edges = np.flatnonzero(np.diff(np.concatenate(([0], left.view(np.int8), [0]))))
    assert all(edges[1::2] - edges[::2] < MIN_NEW_SPEECH_SAMPLES) or length < MIN_NEW_SPEECH_SAMPLES


@settings(max_examples=50, deadline=None)
@given(case=masks(), before=st.integers(0, 400), after=st.integers(0, 400))
def test_padding_with_silence_moves_no_window_against_the_speech(
    case: tuple[int, Mask], before: int, after: int
) -> None:
    """Once there is silence for the lead before, and room for the last window behind."""
    room = -(-WINDOW // CHUNK_SAMPLES)
    lead = -(-LEAD_SAMPLES // CHUNK_SAMPLES)
    _, mask = case
    near = np.concatenate((np.zeros(lead, np.bool_), mask, np.zeros(room, np.bool_)))
    far = np.concatenate((np.zeros(before, np.bool_), near, np.zeros(after, np.bool_)))
    starts = []
    for each in (near, far):
        windows = placed(np.zeros(len(each) * CHUNK_SAMPLES, np.float32), each, WINDOW, HOP, 100)
        starts.append([window.start for window in windows])
    assert [start + before * CHUNK_SAMPLES for start in starts[0]] == starts[1]


def test_the_first_window_starts_a_tenth_of_a_second_before_speech() -> None:
    mask = np.zeros(1_000, np.bool_)
    mask[100:] = True
    windows = placed(np.zeros(512_000, np.float32), mask, WINDOW, HOP, 64)
    assert windows[0].start == 100 * CHUNK_SAMPLES - LEAD_SAMPLES
    assert np.diff([window.start for window in windows[:-1]]).tolist() == [HOP] * (len(windows) - 2)


def test_a_clip_of_exactly_a_window_is_returned_unchanged() -> None:
    samples = np.random.default_rng(0).standard_normal(WINDOW).astype(np.float32)
    (window,) = placed(samples, np.ones(-(-WINDOW // CHUNK_SAMPLES), np.bool_), WINDOW, HOP, 10)
    assert np.array_equal(window.samples, samples)
    assert (window.start, window.length) == (0, WINDOW)


def test_a_recording_shorter_than_a_window_is_repeated() -> None:
    samples = np.random.default_rng(0).standard_normal(20_000).astype(np.float32)
    mask = np.zeros(40, np.bool_)
    mask[15:35] = True
    (window,) = placed(samples, mask, WINDOW, HOP, 10)
    assert np.array_equal(window.samples, np.tile(samples, WINDOW // 20_000 + 1)[:WINDOW])
    assert (window.start, window.length, window.speech_samples) == (0, 20_000, 20 * CHUNK_SAMPLES)


def test_the_last_window_ends_where_the_recording_does() -> None:
    length = 100_000
    windows = placed(np.zeros(length, np.float32), np.ones(196, np.bool_), WINDOW, WINDOW, 196)
    assert [window.start for window in windows] == [0, length - WINDOW]


def test_a_window_with_little_new_speech_is_dropped_unless_it_is_the_only_one() -> None:
    mask = np.zeros(2_000, np.bool_)
    mask[300:305] = True
    (only,) = placed(np.zeros(2_000 * CHUNK_SAMPLES, np.float32), mask, WINDOW, HOP, 100)
    assert only.speech_samples == 5 * CHUNK_SAMPLES
    mask[1_000:1_100] = True
    (kept,) = placed(np.zeros(2_000 * CHUNK_SAMPLES, np.float32), mask, WINDOW, HOP, 100)
    assert kept.start == 1_000 * CHUNK_SAMPLES - LEAD_SAMPLES


def test_no_speech_gives_no_window() -> None:
    assert placed(np.zeros(512_000, np.float32), np.zeros(1_000, np.bool_), WINDOW, HOP, 100) == []


def test_no_more_than_a_window_is_kept_between_pushes() -> None:
    placer = WindowPlacer(WINDOW, HOP)
    for _ in range(200):
        list(placer.push(np.zeros(51_200, np.float32), np.ones(100, np.bool_)))
        assert len(placer._samples) <= WINDOW
        assert len(placer._mask) <= WINDOW // CHUNK_SAMPLES + 2


@pytest.mark.parametrize(("window", "hop"), [(0, 1), (1, 0), (-5, 5)])
def test_windows_and_hops_are_positive(window: int, hop: int) -> None:
    with pytest.raises(ValueError, match="1 sample or more"):
        WindowPlacer(window, hop)


def test_a_window_that_is_begun_is_what_there_is_of_it_repeated() -> None:
    samples = np.arange(100 * CHUNK_SAMPLES, dtype=np.float32)
    mask = np.arange(100) >= 20
    placer = WindowPlacer(WINDOW, HOP)
    assert placer.unfinished() is None
    assert not list(placer.push(samples[: 20 * CHUNK_SAMPLES], mask[:20]))
    assert placer.unfinished() is None
    assert not list(placer.push(samples[20 * CHUNK_SAMPLES :], mask[20:]))
    begun = placer.unfinished()
    assert begun is not None
    start = 20 * CHUNK_SAMPLES - LEAD_SAMPLES
    assert (begun.start, begun.length, begun.speech_samples) == (start, len(samples) - start, 80 * CHUNK_SAMPLES)
    assert np.array_equal(begun.samples, np.resize(samples[start:], WINDOW))
    (window,) = placer.finish()
    assert (window.start, window.length) == (0, len(samples))
