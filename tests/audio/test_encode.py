"""Channel codecs lose what they must, keep length and time, and say so when they are missing."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aasist.audio import encode
from aasist.audio.encode import (
    GSM_FULL_RATE,
    MU_LAW,
    ChannelCodec,
    EncoderMissing,
    aac,
    amr_narrow_band,
    coded,
    coded_at_rate,
    mp3,
    opus,
)
from aasist.audio.read import read
from aasist.errors import AasistError, AudioError

Samples = NDArray[np.float32]

TELEPHONE = [MU_LAW, GSM_FULL_RATE, amr_narrow_band(12_200), amr_narrow_band(4_750)]
MEDIA = [make(1_000 * kilobits) for make in (mp3, aac) for kilobits in (128, 64, 32)]
MEDIA += [opus(1_000 * kilobits) for kilobits in (64, 24, 12)]


def title(codec: ChannelCodec) -> str:
    return f"{codec.name}-{codec.bits_per_second or ''}"


@pytest.fixture(params=TELEPHONE + MEDIA, ids=title)
def codec(request: pytest.FixtureRequest) -> ChannelCodec:
    if (reason := encode.missing(request.param)) is not None:
        pytest.skip(reason)
    return request.param


@pytest.fixture(scope="module")
def speech(recording: Path) -> Samples:
    return read(recording)


def delay_seconds(original: Samples, late: Samples, rate_hz: int) -> float:
    """Where the cross-correlation peaks, to a fraction of a sample; positive: ``late`` is late."""
    size, finer = 1 << (2 * len(original)).bit_length(), 4
    cross = np.fft.rfft(late, size) * np.conj(np.fft.rfft(original, size))
    lag = int(np.fft.irfft(cross, size * finer).argmax())
    return (lag - size * finer if lag > size * finer // 2 else lag) / (rate_hz * finer)


def distance_db(original: Samples, changed: Samples) -> float:
    """Mean distance of log power spectra over frames that sound: what a waveform's phase has no part in."""
    frames = [np.lib.stride_tricks.sliding_window_view(x, 512)[::256] * np.hanning(512) for x in (original, changed)]
    first, second = (np.abs(np.fft.rfft(part)) ** 2 for part in frames)
    loud = first.sum(1) > 1e-3 * first.sum(1).max()
    ratio_db = 10 * np.log10((second[loud] + 1e-6) / (first[loud] + 1e-6))
    return float(np.sqrt(np.mean(ratio_db**2)))


def test_the_measure_of_delay_sees_three_samples(speech: Samples) -> None:
    assert delay_seconds(speech, np.roll(speech, 3), 16_000) == pytest.approx(3 / 16_000)
    assert delay_seconds(speech, np.roll(speech, -3), 16_000) == pytest.approx(-3 / 16_000)


def test_a_round_trip_keeps_length_time_and_level_and_changes_the_samples(codec: ChannelCodec, speech: Samples) -> None:
    before = speech.copy()
    result = coded(speech, codec)
    assert np.array_equal(speech, before)
    assert result.dtype == np.float32
    assert len(result) == len(speech)
    assert abs(delay_seconds(speech, result, 16_000)) < 0.002
    assert abs(10 * np.log10(np.mean(result**2) / np.mean(speech**2))) < 2.0
    assert not np.allclose(result, speech, atol=1e-4)


def test_the_last_syllable_is_not_swallowed(codec: ChannelCodec, speech: Samples) -> None:
    # Up to the loudest stretch, and whole frames of AMR and GSM long: no filling up of the last frame hides a loss.
    end = 320 * (int(np.convolve(speech**2, np.ones(800), "valid").argmax() + 800) // 320)
    result = coded(speech[:end], codec)
    for span in (slice(-400, None), slice(-48, -16)):
        change_db = 10 * np.log10(np.mean(result[span] ** 2) / np.mean(speech[:end][span] ** 2))
        assert abs(change_db) < (6.0 if span.stop is None else 15.0)


def test_the_same_samples_are_coded_alike_every_time(codec: ChannelCodec, speech: Samples) -> None:
    assert np.array_equal(coded(speech[:16_000], codec), coded(speech[:16_000], codec))


@pytest.mark.parametrize("length", [1, 2, 159, 1_023])
def test_a_few_samples_come_out_as_few_and_finite(codec: ChannelCodec, length: int) -> None:
    for samples in (np.zeros(length, np.float32), np.full(length, 1e9, np.float32)):
        result = coded(samples, codec)
        assert result.shape == (length,)
        assert np.isfinite(result).all()


def test_louder_than_full_scale_is_clipped_before_the_codec(codec: ChannelCodec, speech: Samples) -> None:
    narrow = 20 * speech[:16_000]
    assert np.array_equal(coded_at_rate(narrow, codec), coded_at_rate(np.clip(narrow, -1, 1), codec))


def test_nan_and_infinity_never_reach_the_libraries(codec: ChannelCodec) -> None:
    for bad in (np.nan, np.inf):
        samples = np.array([0.0, bad, 0.0], np.float32)
        with pytest.raises(AudioError, match=f"{codec.name}: expected finite samples") as caught:
            coded_at_rate(samples, codec)
        assert caught.value.code == "not_finite"


def test_full_scale_noise_and_squares_are_coded_too(codec: ChannelCodec) -> None:
    noise = np.random.default_rng(0).standard_normal(8_000).astype(np.float32)
    for samples in (3 * noise, np.sign(noise), np.resize(np.repeat([1.0, -1.0], 8).astype(np.float32), 8_000)):
        result = coded_at_rate(samples, codec)
        assert np.isfinite(result).all()
        assert 0.0 < np.abs(result).max() <= 1.0  # AMR's encoder at 12.2 kbit/s all but mutes overloaded noise


@pytest.mark.parametrize("make", [mp3, aac, opus], ids=["mp3", "aac", "opus"])
def test_a_quarter_of_the_bits_loses_more(make: object, speech: Samples) -> None:
    many, few = (make(rate) for rate in ((64_000, 16_000) if make is opus else (128_000, 32_000)))  # type: ignore[operator]
    for codec in (many, few):
        if (reason := encode.missing(codec)) is not None:
            pytest.skip(reason)
    assert distance_db(speech, coded(speech, few)) > distance_db(speech, coded(speech, many)) + 1.0


def test_amr_at_4_75_loses_more_than_at_12_2(speech: Samples) -> None:
    if (reason := encode.missing(amr_narrow_band(12_200))) is not None:
        pytest.skip(reason)
    many, few = (distance_db(speech, coded(speech, amr_narrow_band(rate))) for rate in (12_200, 4_750))
    assert few > many + 0.2


def test_mu_law_is_that_of_g711() -> None:
    """Levels and decision values by the formulas of G.711 (14 bits): three bits of segment, four of step."""
    codes = np.arange(128)
    levels = (((codes & 15) * 2 + 33) << (codes >> 4)) - 33
    decisions = np.maximum((((codes & 15) * 2 + 32) << (codes >> 4)) - 33, 0)
    given = np.linspace(-1, 1, 20_001, dtype=np.float32)
    result = coded_at_rate(given, MU_LAW) * 2**13
    size = np.abs(given) * 2**13
    lowest, highest = (levels[np.searchsorted(decisions, np.maximum(size + step, 0), "right") - 1] for step in (-1, 1))
    assert np.isin(np.abs(result), levels).all()
    assert np.all((np.abs(result) >= lowest) & (np.abs(result) <= highest))  # one step of 14 bits may fall either way
    assert np.all((np.sign(result) == np.sign(given)) | (size <= 1))


@pytest.mark.parametrize(
    ("codec", "says"),
    [
        (ChannelCodec("EVS", "libevs", 16_000, "evs", "3gp"), "FFmpeg's encoder 'libevs'"),
        (dataclasses.replace(mp3(64_000), decoder="mp5"), "FFmpeg's decoder 'mp5'"),
        (dataclasses.replace(mp3(64_000), container="mp5"), "FFmpeg's container 'mp5'"),
        (ChannelCodec("GSM half rate", "GSM620", 8_000), "libsndfile that writes GSM620"),
    ],
    ids=["encoder", "decoder", "container", "libsndfile"],
)
def test_what_is_missing_is_named_and_never_passed_over(codec: ChannelCodec, says: str) -> None:
    assert says in (encode.missing(codec) or "")
    with pytest.raises(EncoderMissing, match=says) as caught:
        coded(np.zeros(100, np.float32), codec)
    assert caught.value.code == "encoder_missing"


def test_a_library_that_fails_is_an_error_of_ours() -> None:
    wrong_rate = dataclasses.replace(mp3(64_000), rate_hz=12_345)
    with pytest.raises(AasistError, match="MP3 could not code 100 samples") as caught:
        coded_at_rate(np.zeros(100, np.float32), wrong_rate)
    assert caught.value.code == "codec_failed"


def test_the_version_names_the_library_that_codes() -> None:
    assert MU_LAW.library_version.startswith("libsndfile ")
    assert mp3(64_000).library_version.startswith("libavcodec ")
