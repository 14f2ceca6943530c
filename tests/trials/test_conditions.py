"""Conditions do what their description says, to every input."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aasist.audio.read import read
from aasist.errors import AudioError
from aasist.trials import channel
from aasist.trials.stress import (
    CONDITIONS,
    conditions,
    degraded,
)

Samples = NDArray[np.float32]

NAMES = list(CONDITIONS)
RANDOM = ["noise-20db", "noise-10db", "noise-0db", "reverberation", "replay"]


@pytest.fixture(scope="module")
def speech(recording: Path) -> Samples:
    return read(recording)


def under(name: str, samples: Samples, seed: int = 1, trial_id: str = "trial") -> Samples:
    if (reason := CONDITIONS[name].unavailable) is not None:
        pytest.skip(reason)
    return degraded(samples, CONDITIONS[name], trial_id, seed)


def share_db(samples: Samples, above_hz: float, below_hz: float = 8_000.0) -> float:
    """Power between two frequencies against the whole, in dB."""
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / 16_000)
    return float(10 * np.log10(spectrum[(hertz > above_hz) & (hertz <= below_hz)].sum() / spectrum.sum() + 1e-12))


def test_the_conditions_are_those_of_the_report_in_its_order() -> None:
    expected = (
        "clean no-silence gain-20db gain-12db gain-6db gain+6db phone-mulaw phone-gsm phone-amr-12.2 phone-amr-4.75"
    )
    expected += " mp3-128 mp3-64 mp3-32 aac-128 aac-64 aac-32 opus-64 opus-24 opus-12 resample-22050"
    expected += " noise-20db noise-10db noise-0db reverberation replay speed-0.9 speed-1.1 first-1s first-2s first-3s"
    assert expected.split() == NAMES
    assert all(name == condition.name for name, condition in CONDITIONS.items())
    assert len({condition.description for condition in CONDITIONS.values()}) == len(NAMES)


AWKWARD = {
    "one sample": np.array([0.3], np.float32),
    "two samples": np.array([1.0, -1.0], np.float32),
    "silence": np.zeros(4_000, np.float32),
    "direct current": np.ones(3_001, np.float32),
    "a click in silence": np.eye(1, 5_000, 2_500, dtype=np.float32)[0],
    "far above full scale": np.resize(np.array([3e38, -3e38, 0.0], np.float32), 2_000),
    "next to nothing": np.full(2_000, 1e-42, np.float32),
}


@pytest.mark.parametrize("name", NAMES)
def test_any_finite_input_gives_a_finite_output_that_is_not_empty(name: str) -> None:
    for what, samples in AWKWARD.items():
        before = samples.copy()
        result = under(name, samples)
        assert result.dtype == np.float32, what
        assert result.ndim == 1 and len(result) > 0, what
        assert np.isfinite(result).all(), what
        assert np.array_equal(samples, before), what


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_repeats_to_the_bit_and_only_length_conditions_change_the_length(
    name: str, speech: Samples
) -> None:
    clip = np.pad(speech[:24_000], (0, 4_000))
    result = under(name, clip)
    assert np.array_equal(result, under(name, clip))
    if not name.startswith(("speed", "first", "no-silence")):
        assert len(result) == len(clip)
    assert np.array_equal(result, clip) == (name in {"clean", "first-2s", "first-3s"})


@pytest.mark.parametrize("bad", [np.zeros(0, np.float32), np.zeros((2, 100), np.float32)])
def test_nothing_and_two_channels_are_refused(bad: Samples) -> None:
    with pytest.raises(AudioError, match=r"clean: expected mono samples \(N,\)"):
        CONDITIONS["clean"].apply(bad, np.random.default_rng(0))


def test_nan_is_refused() -> None:
    with pytest.raises(AudioError, match="clean: expected finite samples") as caught:
        CONDITIONS["clean"].apply(np.array([0.0, np.nan], np.float32), np.random.default_rng(0))
    assert caught.value.code == "not_finite"


# What each condition promises


def test_silence_goes_from_both_ends_and_stays_in_the_middle(speech: Samples) -> None:
    start = 320 * (int(np.abs(speech).argmax()) // 320)
    sound = speech[start : start + 3_200]
    faint = 1e-4 * np.random.default_rng(0).standard_normal(16_000).astype(np.float32) * np.abs(sound).max()
    padded = np.concatenate((faint, sound, faint[:6_400], sound, faint))
    result = under("no-silence", padded)
    assert abs(len(result) - (2 * 3_200 + 6_400)) <= 2 * 320
    assert np.array_equal(under("no-silence", np.float32(0.01) * padded), np.float32(0.01) * result)
    assert np.array_equal(under("no-silence", result), result)


@pytest.mark.parametrize("gain_db", [-20, -12, -6, 6])
def test_a_gain_is_met_and_clipped_at_full_scale(gain_db: int, speech: Samples) -> None:
    loud = speech / np.abs(speech).max() * np.float32(0.9)
    result = under(f"gain{gain_db:+d}db", loud)
    quiet = np.abs(loud) < 0.4
    assert np.allclose(result[quiet], loud[quiet] * 10 ** (gain_db / 20), atol=1e-6)
    assert np.abs(result).max() == pytest.approx(min(1.0, 0.9 * 10 ** (gain_db / 20)))
    assert (np.count_nonzero(np.abs(result) == 1.0) > 0) == (gain_db > 0)


@pytest.mark.parametrize("name", ["phone-mulaw", "phone-gsm", "phone-amr-12.2", "phone-amr-4.75"])
def test_a_telephone_passes_300_to_3400_hz_and_nothing_above_3600(name: str) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)
    result = under(name, noise)
    assert share_db(result, 3_600) < -45
    assert share_db(result, -1, 200) < -45
    assert share_db(result, 300, 3_400) > -0.2


def test_media_codecs_keep_the_band_that_a_telephone_loses(speech: Samples) -> None:
    for name in ("mp3-64", "aac-64", "opus-64"):
        assert abs(share_db(under(name, speech), 3_600) - share_db(speech, 3_600)) < 1.0
    assert share_db(under("phone-mulaw", speech), 3_600) < -50 < share_db(speech, 3_600)


def test_mp3_at_32_loses_more_than_at_128(speech: Samples) -> None:
    def loss(name: str) -> float:
        coded = under(name, speech)
        scale = float(coded @ speech / (coded @ coded))  # LAME turns its input down by 5 %
        return float(np.mean((scale * coded - speech) ** 2))

    assert loss("mp3-32") > 3 * loss("mp3-128")


def test_resampling_there_and_back_touches_only_the_top_of_the_band(speech: Samples) -> None:
    window = np.hanning(len(speech))
    changed, original = (
        np.abs(np.fft.rfft(x * window)) ** 2 for x in (under("resample-22050", speech) - speech, speech)
    )
    hertz = np.fft.rfftfreq(len(speech), 1 / 16_000)
    low, top = hertz < 6_500, hertz > 7_600
    assert 10 * np.log10(changed[low].sum() / original[low].sum()) < -90
    assert 10 * np.log10(changed[top].sum() / original[top].sum()) > -10


@pytest.mark.parametrize("snr_db", [20, 10, 0])
def test_the_snr_is_met_and_silence_around_the_speech_does_not_move_it(snr_db: int, speech: Samples) -> None:
    """The level of the speech is taken here by a plain percentile of frame powers, not by the code under test."""
    steady = np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000).astype(np.float32) * np.float32(0.3)
    for samples in (steady, np.pad(steady, 16_000)):
        noise = under(f"noise-{snr_db}db", samples) - samples
        assert abs(10 * np.log10(0.3**2 / 2 / np.mean(noise**2)) - snr_db) < 0.5
    noise = under(f"noise-{snr_db}db", speech) - speech
    assert 0 <= 10 * np.log10(np.mean(speech**2) / np.mean(noise**2)) - snr_db + 3 < 3.1


def test_pink_noise_falls_by_three_decibels_an_octave() -> None:
    noise = channel.pink_noise(160_000, np.random.default_rng(0)).astype(np.float32)
    octaves = [share_db(noise, hz, 2 * hz) for hz in (125, 250, 500, 1_000, 2_000, 4_000)]
    assert np.ptp(octaves) < 0.6  # the same power in every octave
    assert share_db(noise, -1, 45) < -30


@pytest.mark.parametrize(("t60_seconds", "direct_db"), [(0.3, 6.0), (0.6, 0.0), (1.2, -3.0)])
def test_a_room_decays_by_60_db_in_its_t60(t60_seconds: float, direct_db: float) -> None:
    """Schroeder's backward integration, read off between -5 and -35 dB as ISO 3382 does for T30."""
    found = []
    for seed in range(8):
        response = channel.room_response(np.random.default_rng(seed), t60_seconds, direct_db)
        tail = response[1:]
        assert 10 * np.log10(response[0] ** 2 / np.sum(tail**2)) == pytest.approx(direct_db)
        decay_db = 10 * np.log10(np.cumsum(tail[::-1] ** 2)[::-1] / np.sum(tail**2))
        span = (decay_db < -5) & (decay_db > -35)
        slope = np.polyfit(np.flatnonzero(span) / 16_000, decay_db[span], 1)[0]
        found.append(-60 / slope)
    assert np.mean(found) == pytest.approx(t60_seconds, rel=0.05)


def test_reverberation_rings_on_in_time_and_at_the_same_level() -> None:
    click = np.zeros(16_000, np.float32)
    click[1_000] = 0.5
    result = under("reverberation", click)
    assert int(np.abs(result).argmax()) == 1_000
    assert np.allclose(result[:1_000], 0.0, atol=1e-7)
    assert np.mean(result**2) == pytest.approx(np.mean(click**2), rel=1e-4)
    assert np.sum(result[1_001:] ** 2) / np.sum(result**2) == pytest.approx(0.5, abs=0.01)  # 0 dB


def test_a_loudspeaker_adds_harmonics_whatever_the_level() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000).astype(np.float32)
    for level in (1.0, 0.01):
        played = channel.played_by_loudspeaker(np.float32(level) * tone)
        spectrum = np.abs(np.fft.rfft(played[:16_000]))
        fundamental, second, third = (spectrum[hz - 2 : hz + 3].max() for hz in (500, 1_000, 1_500))
        assert 0.005 < second / fundamental < 0.2
        assert 0.02 < third / fundamental < 0.2
    low = np.sin(2 * np.pi * 60 * np.arange(16_000) / 16_000).astype(np.float32)
    fundamental = np.abs(np.fft.rfft(channel.played_by_loudspeaker(low) * np.hanning(16_000)))[55:66].max()
    assert fundamental < 0.01 * np.abs(np.fft.rfft(low * np.hanning(16_000))).max()


def test_a_replay_comes_back_up_to_12_db_quieter_and_with_noise_in_its_pauses(speech: Samples) -> None:
    quiet = np.concatenate((speech, np.zeros(16_000, np.float32)))
    drops_db = []
    for number in range(12):
        result = under("replay", quiet, trial_id=str(number))
        drops_db.append(10 * np.log10(channel.active_power(result) / channel.active_power(quiet)))
        floor_db = 10 * np.log10(np.mean(result[-4_000:] ** 2) / channel.active_power(result))
        assert -31 < floor_db < -28
    assert -12.5 < min(drops_db) < -6 < max(drops_db) < 0.1


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_changes_length_and_pitch_by_the_factor(factor: float) -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(32_000) / 16_000).astype(np.float32)
    result = under(f"speed-{factor}", tone)
    assert len(result) == round(32_000 / factor)
    peak_hz = np.abs(np.fft.rfft(result * np.hanning(len(result)))).argmax() * 16_000 / len(result)
    assert peak_hz == pytest.approx(1_000 * factor, abs=1.0)


@pytest.mark.parametrize("seconds", [1, 2, 3])
def test_only_the_first_seconds_are_left(seconds: int, speech: Samples) -> None:
    assert np.array_equal(under(f"first-{seconds}s", speech), speech[: seconds * 16_000])
    assert np.array_equal(under(f"first-{seconds}s", speech[:8_000]), speech[:8_000])


@given(st.integers(1, 3_000), st.integers(0, 2**32))
@settings(max_examples=40)
def test_sounding_frames_meet_a_slow_twin(length: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    samples = (rng.standard_normal(length) * 10 ** rng.uniform(-4, 0, length)).astype(np.float32)
    samples[: rng.integers(length)] *= np.float32(1e-3)
    powers = [np.mean(samples[at : at + 320].astype(float) ** 2) for at in range(0, length, 320)]
    assert channel.sounding_frames(samples).tolist() == [power > max(powers) * 1e-4 for power in powers]


# Recorded material


def test_recorded_noise_and_rooms_replace_the_synthetic_ones_and_change_the_version(speech: Samples) -> None:
    hum = np.sin(2 * np.pi * 50 * np.arange(1_600) / 16_000).astype(np.float32)
    room = np.zeros(400, np.float32)
    room[[100, 300]] = 1.0, 0.5
    own = conditions(noises=[hum], responses=[room])
    assert list(own) == NAMES
    noise = degraded(speech, own["noise-0db"], "trial", 1) - speech
    assert share_db(noise, 40, 60) > -0.1
    echoed = degraded(speech, own["reverberation"], "trial", 1)
    expected = speech + 0.5 * np.pad(speech, (200, 0))[: len(speech)]
    assert np.corrcoef(echoed, expected)[0, 1] > 0.999999  # in time with the strongest arrival
    changed = {name for name in NAMES if own[name].version != CONDITIONS[name].version}
    assert changed == set(RANDOM)
    assert conditions(noises=[hum * 2])["noise-0db"].version != own["noise-0db"].version


@pytest.mark.parametrize("bad", [np.zeros(100), np.ones((2, 50)), np.array([np.nan, 1.0]), np.zeros(0)])
def test_unusable_recordings_are_named_by_their_number(bad: NDArray[np.float64]) -> None:
    good = np.ones(10, np.float32)
    with pytest.raises(AudioError, match="noise 2 of 2: expected mono samples"):
        conditions(noises=[good, bad.astype(np.float32)])
    with pytest.raises(AudioError, match="room response 1 of 1: expected mono samples"):
        conditions(responses=[bad.astype(np.float32)])
