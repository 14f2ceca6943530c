"""Samples that arrive come out as a recording's would, however they are cut, and what is wrong is refused whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from signals import sine

from aasist.audio.intake import Intake
from aasist.audio.read import read
from aasist.errors import AudioError


def taken(intake: Intake, samples: NDArray[np.generic], sizes: list[int]) -> NDArray[np.float32]:
    parts, first, number = [], 0, 0
    while first < len(samples):
        size = sizes[number % len(sizes)]
        parts.append(intake.push(samples[first : first + size]))
        first, number = first + size, number + 1
    return np.concatenate([*parts, intake.finish()])


@settings(max_examples=25)
@given(
    st.sampled_from([8_000, 11_025, 16_000, 44_100, 48_000]), st.lists(st.integers(1, 9_000), min_size=1, max_size=5)
)
def test_how_a_stream_is_cut_changes_nothing_and_it_is_what_a_recording_gives(rate: int, sizes: list[int]) -> None:
    samples = sine(rate, 1.3, 300.0)
    whole = taken(Intake(rate), samples, [len(samples)])
    assert np.allclose(taken(Intake(rate), samples, sizes), whole, rtol=0, atol=1e-6)
    expected = read((samples, rate))
    assert len(whole) == len(expected)
    assert np.allclose(whole, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "scale", "zero"),
    [(np.int16, 32_767, 0), (np.int32, 2**31 - 1, 0), (np.uint8, 127, 128), (np.float64, 1, 0), (np.float16, 1, 0)],
)
def test_every_type_of_sample_is_brought_to_full_scale_1(dtype: type, scale: float, zero: int) -> None:
    signal = sine(16_000, 0.5)
    samples = (signal.astype(np.float64) * scale + zero).astype(dtype)
    assert np.allclose(taken(Intake(16_000), samples, [700]), signal, atol=0.02)


def test_channels_are_mixed_or_one_is_picked() -> None:
    left, right = sine(16_000, 0.5, 200.0), sine(16_000, 0.5, 300.0)
    both = np.stack([left, right], axis=1)
    assert np.allclose(taken(Intake(16_000), both, [333]), (left + right) / 2)
    assert np.array_equal(taken(Intake(16_000, channel=1), both, [333]), right)


@pytest.mark.parametrize("rate", [3_999, 192_001, 0, -1, 16_000.0, True, "16000", None])
def test_a_rate_out_of_range_is_refused(rate: object) -> None:
    with pytest.raises(AudioError) as caught:
        Intake(rate)  # type: ignore[arg-type]
    assert caught.value.code == "sample_rate"


BAD = [
    (np.array([0.0, np.nan], np.float32), "not_finite"),
    (np.array([0.0, np.inf], np.float64), "not_finite"),
    (np.array([1e30], np.float32), "not_finite"),
    (np.zeros(5, np.int64), "unreadable"),
    (np.zeros(5, np.complex64), "unreadable"),
    (np.zeros((2, 3, 4), np.float32), "unreadable"),
    (np.float32(1.0), "unreadable"),
    ([0.0, 1.0], "unreadable"),
    (b"\0\0", "unreadable"),
    (None, "unreadable"),
    (np.zeros((5, 2), np.float32), "channels"),
    (np.zeros((5, 33), np.float32), "channels"),
]


@pytest.mark.parametrize(("piece", "code"), BAD)
def test_a_bad_piece_is_refused_whole_and_the_stream_goes_on(piece: object, code: str) -> None:
    signal = sine(16_000, 1.0)
    intake = Intake(16_000)
    parts = [intake.push(signal[:5_000])]
    with pytest.raises(AudioError) as caught:
        intake.push(piece)  # type: ignore[arg-type]
    assert caught.value.code == code
    parts += [intake.push(signal[5_000:]), intake.finish()]
    assert np.array_equal(np.concatenate(parts), signal)
    assert intake.duration_seconds == 1.0


def test_a_channel_that_is_not_there_is_refused() -> None:
    with pytest.raises(AudioError, match="the stream has 0 to 0"):
        Intake(16_000, channel=1).push(np.zeros(5, np.float32))


def test_an_empty_piece_is_none() -> None:
    intake = Intake(16_000)
    assert not len(intake.push(np.zeros(0, np.float32)))
    assert not len(intake.push(np.zeros((0, 2), np.int16)))
    assert (intake.channels, intake.duration_seconds) == (0, 0.0)
    assert not len(intake.finish())


def test_the_samples_of_a_caller_may_be_written_over() -> None:
    """A ring buffer is."""
    signal, buffer = sine(16_000, 1.0), np.zeros(100, np.float32)
    intake, parts = Intake(16_000), []
    for first in range(0, len(signal), 100):
        buffer[:] = signal[first : first + 100]
        parts.append(intake.push(buffer))
    assert np.array_equal(np.concatenate([*parts, intake.finish()]), signal)


def test_a_gap_is_silence_as_long_as_it_lasted() -> None:
    signal, intake = sine(8_000, 1.0), Intake(8_000)
    parts = [intake.push(signal), intake.skip(0.5), intake.push(signal), intake.finish()]
    expected = read((np.concatenate((signal, np.zeros(4_000, np.float32), signal)), 8_000))
    assert np.allclose(np.concatenate(parts), expected, atol=1e-6)
    assert (intake.duration_seconds, intake.gap_seconds) == (2.5, 0.5)


@pytest.mark.parametrize("seconds", [-0.1, 3_601.0, np.nan, np.inf])
def test_a_gap_of_no_time_or_of_hours_is_refused(seconds: float) -> None:
    intake = Intake(16_000)
    with pytest.raises(AudioError, match="a gap must be 0 to 3,600 s"):
        intake.skip(seconds)
    assert intake.duration_seconds == 0.0


def test_clipping_is_found_however_small_the_pieces() -> None:
    clipped = np.clip(sine(16_000, 2.0, 150.0, 3.0), -1.0, 1.0)
    counts = set()
    for size in (1, 320, len(clipped)):
        intake = Intake(16_000)
        taken(intake, clipped, [size])
        counts.add(intake.quality.clipped_samples)
    (count,) = counts
    assert count > 10_000
