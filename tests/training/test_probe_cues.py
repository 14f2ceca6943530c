"""Each cue follows what it is named for, and little else."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aasist.session import SAMPLE_RATE, Float32
from aasist.training.probe.cues import CUES, NAMES, measured


def speechlike(seconds: float = 3.0, seed: int = 0) -> Float32:
    """Bursts of noise whose spectrum falls, four a second, over quieter noise."""
    random = np.random.default_rng(seed)
    count = round(seconds * SAMPLE_RATE)
    noise = random.standard_normal(count)
    noise = np.convolve(noise, 0.8 ** np.arange(24), "same")
    loud = (np.arange(count) // 2_000) % 2 == 0
    return (0.05 * noise * np.where(loud, 1.0, 0.02)).astype(np.float32)


def cues(samples: Float32, heard_seconds: float | None = None) -> dict[str, float]:
    return dict(zip(NAMES, measured(samples, heard_seconds).tolist(), strict=True))


def low_passed(samples: Float32, top_hz: float) -> Float32:
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE) > top_hz] = 0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


def test_level_and_noise_follow_the_gain_and_what_is_relative_stays() -> None:
    loud, quiet = cues(speechlike()), cues(speechlike() / 4)
    for name in ("level", "peak", "noise"):
        assert loud[name] - quiet[name] == pytest.approx(20 * math.log10(4), abs=0.1), name
    for name in ("snr", "active", "leading", "band_edge", "edge_drop", "top", "bottom", "tilt", "holes", "distinct"):
        assert loud[name] == pytest.approx(quiet[name], abs=1e-3), name


def test_silence_put_around_a_recording_is_counted_in_its_leading_and_trailing_silence() -> None:
    random = np.random.default_rng(1)
    before, after = (0.001 * random.standard_normal(count).astype(np.float32) for count in (8_000, 16_000))
    plain, padded = cues(speechlike()), cues(np.concatenate([before, speechlike(), after]))
    assert padded["leading"] - plain["leading"] == pytest.approx(0.5, abs=0.05)
    assert padded["trailing"] - plain["trailing"] == pytest.approx(1.0, abs=0.05)
    assert padded["length"] - plain["length"] == pytest.approx(1.5)
    assert padded["active"] == pytest.approx(plain["active"], abs=0.1)


def test_a_low_pass_moves_the_band_edge_and_is_a_steep_fall() -> None:
    whole, cut = cues(speechlike()), cues(low_passed(speechlike(), 5_000))
    assert whole["band_edge"] == 8_000
    assert cut["band_edge"] == pytest.approx(5_000, abs=250)
    assert cut["edge_drop"] > whole["edge_drop"] + 30
    assert cut["top"] < whole["top"] - 30


def test_rumble_is_power_at_the_bottom_and_a_smoother_spectrum_tilts() -> None:
    rumble = 0.3 * np.sin(2 * np.pi * 40 * np.arange(48_000) / SAMPLE_RATE).astype(np.float32)
    assert cues(speechlike() + rumble)["bottom"] > cues(speechlike())["bottom"] + 6
    smooth = np.convolve(speechlike(), 0.95 ** np.arange(64), "same").astype(np.float32)
    assert cues(smooth)["tilt"] < cues(speechlike())["tilt"] - 1


def test_bands_left_out_now_and_then_are_holes() -> None:
    samples = speechlike()
    part = low_passed(samples, 4_000)
    holed = np.where(np.arange(len(samples)) % 16_000 < 4_000, part, samples).astype(np.float32)
    assert cues(samples)["holes"] < 0.01
    assert cues(holed)["holes"] > 0.05


def test_noise_spread_before_onsets_is_pre_echo() -> None:
    """As transform codecs spread it over their window."""
    samples, onsets = speechlike(), np.arange(4_000, 48_000, 4_000)
    spread = samples.copy()
    random = np.random.default_rng(2)
    for onset in onsets:
        spread[onset - 240 : onset] += 0.0012 * random.standard_normal(240).astype(np.float32)
    assert cues(spread)["pre_echo"] > cues(samples)["pre_echo"] + 4


def test_zeros_few_values_and_coarse_steps_are_counted() -> None:
    samples = speechlike()
    coarse = (np.rint(samples * 128) / 128).astype(np.float32)
    fine, rounded = cues(samples), cues(coarse)
    assert rounded["step"] == pytest.approx(20 * math.log10(1 / 128), abs=0.01)
    assert rounded["distinct"] < 0.01 < fine["distinct"]
    assert rounded["zeros"] == pytest.approx(np.mean(coarse == 0))
    assert fine["zeros"] == 0


def test_clipping_is_counted_on_both_sides() -> None:
    samples = speechlike()
    top = np.float32(np.quantile(np.abs(samples), 0.97))
    flat = np.clip(samples, -top, top)
    assert cues(samples)["clipped"] == 0
    assert cues(flat)["clipped"] > 0.005
    assert cues(np.maximum(samples, -top))["clipped"] == pytest.approx(cues(flat)["clipped"] / 2, rel=0.5)


def test_the_length_of_a_window_is_what_is_heard_before_it_repeats() -> None:
    assert cues(speechlike(2.0))["length"] == 2.0
    assert cues(speechlike(2.0), 1.25)["length"] == 1.25


@pytest.mark.parametrize("count", [1, 100, 400, 5_000])
def test_nothing_is_said_of_what_silence_has_not(count: int) -> None:
    silent = cues(np.zeros(count, np.float32))
    assert silent["level"] == silent["peak"] == silent["noise"] == -120
    assert silent["zeros"] == 1
    for name in ("leading", "trailing", "band_edge", "tilt", "pre_echo", "step"):
        assert math.isnan(silent[name]), name


@pytest.mark.parametrize("count", [1, 100, 400, 5_000])
def test_short_recordings_have_finite_cues_or_none(count: int) -> None:
    assert not np.isinf(measured(speechlike()[:count])).any()


def test_every_cue_has_a_name_of_its_own_and_a_meaning() -> None:
    assert len(set(NAMES)) == len(CUES)
    assert all(cue.meaning and cue.group and cue.unit for cue in CUES)
