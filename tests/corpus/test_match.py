"""Matching a spoof to its partner: level, band edge, noise, silences."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aasist.corpus.engine import EngineError
from aasist.corpus.match import (
    active_rms,
    band_edge,
    band_limited,
    cast_of,
    fitted,
    long_term_spectrum,
    matched_copy,
    matched_speech,
    noise_like,
    rms,
    silences,
    within_band,
    without_rumble,
)

from ..corpora import SAMPLE_RATE, Signal
from .spoken import voice


def low_passed(samples: Signal, edge_hz: float) -> Signal:
    """Without anything above ``edge_hz``."""
    spectrum = np.fft.rfft(samples)
    spectrum[np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE) > edge_hz] = 0
    return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


def rounded(samples: Signal) -> Signal:
    """As 16 bits hold it."""
    return np.round(samples * 32768).astype(np.float32) / 32768


def level_db(samples: Signal, low_hz: float, high_hz: float) -> float:
    """Long-term level between two frequencies."""
    spectrum = long_term_spectrum(samples)
    bins = slice(int(low_hz / 31.25), int(high_hz / 31.25))
    return float(10 * np.log10(spectrum[bins].mean() + 1e-20))


@pytest.mark.parametrize("edge_hz", [3_400, 4_000, 5_500, 7_200, 7_650])
def test_the_edge_of_a_band_is_found_and_full_band_speech_has_none(edge_hz: int) -> None:
    edge = band_edge(long_term_spectrum(rounded(low_passed(voice(1, 3.0), edge_hz))))
    assert edge is not None
    assert 31.25 * edge == pytest.approx(edge_hz, abs=300)
    assert band_edge(long_term_spectrum(rounded(voice(1, 3.0)))) is None


@pytest.mark.parametrize("edge_hz", [3_400, 5_500, 7_200, 7_650])
def test_no_band_edge_gives_the_class_away(edge_hz: int) -> None:
    """Above the edge, and at it, a copy that fills the whole band ends up within 3 dB of its partner."""
    partner = rounded(low_passed(voice(2, 3.0), edge_hz))
    copy = rounded(matched_copy(voice(2, 3.0, noise=2e-3), partner))
    for low, high in ((edge_hz + 150, 8_000), (edge_hz - 500, edge_hz - 100)):
        assert level_db(copy, low, high) == pytest.approx(level_db(partner, low, high), abs=3.0)
    full = rounded(voice(3, 3.0))
    assert within_band(full, rounded(voice(4, 3.0))) is full


def test_a_narrow_partner_is_as_narrow_as_a_copy_that_came_at_that_rate() -> None:
    narrow = rounded(band_limited(voice(5, 2.0), 8_000))
    assert len(narrow) == len(voice(5, 2.0))
    assert level_db(narrow, 4_300, 8_000) < level_db(narrow, 3_000, 3_800) - 30
    copy = rounded(matched_copy(narrow + band_limited(voice(6, 2.0), 8_000) * 0.3, narrow))
    assert level_db(copy, 4_300, 8_000) == pytest.approx(level_db(narrow, 4_300, 8_000), abs=3.0)


@given(st.integers(0, 1_000), st.floats(0.05, 20.0), st.integers(-3_000, 3_000))
@settings(max_examples=20)
def test_a_copy_has_its_partners_level_whatever_its_own(seed: int, gain: float, longer: int) -> None:
    partner = voice(seed, 1.0)
    copy = fitted(np.float32(gain) * voice(seed + 1, 1.0 + max(0, longer) / SAMPLE_RATE), len(partner))
    made = matched_copy(copy, partner)
    assert made.shape == partner.shape
    assert rms(made) == pytest.approx(rms(partner), rel=1e-3)


def test_below_speech_a_spoof_has_the_rumble_of_its_partner() -> None:
    hum = 0.02 * np.sin(2 * np.pi * 40 * np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    partner = voice(20, 2.0) + hum
    for made in (
        matched_copy(voice(20, 2.0) + 0.1, partner),
        matched_speech(voice(21, 4.0) + 0.1, partner, np.random.default_rng(0)),
    ):
        assert np.abs((made - without_rumble(made)) - (partner - without_rumble(partner))).max() < 1e-3


def test_a_copy_that_would_clip_or_is_no_sound_is_refused() -> None:
    partner = voice(7) * 5
    click = np.zeros_like(partner)
    click[1_000] = 1.0
    for copy, said in ((click, "would clip"), (partner * np.nan, "NaN"), (0 * partner, "silence")):
        with pytest.raises(EngineError, match=said):
            matched_copy(copy, partner)
    with pytest.raises(EngineError, match="shape"):
        matched_copy(partner[None], partner)


@pytest.mark.parametrize("noise", [1e-5, 1e-3, 1e-2])
def test_silences_are_found_over_noise_of_any_level(noise: float) -> None:
    lead, trail = silences(voice(11, 2.0, noise=noise, lead=0.5, trail=0.4))
    assert 7_500 <= lead <= 11_000
    assert 6_000 <= trail <= 10_000


@given(st.integers(0, 1_000), st.floats(0.2, 6.0), st.floats(0.0, 0.4), st.floats(0.0, 0.4))
@settings(max_examples=20)
def test_speech_of_any_length_takes_its_partners_length_silences_and_level(
    seed: int, seconds: float, lead: float, trail: float
) -> None:
    partner = voice(seed, 1.5, lead=lead, trail=trail)
    spoken = 3 * voice(seed + 1, seconds + 0.4, noise=0.0)
    try:
        made = matched_speech(spoken, partner, np.random.default_rng(seed))
    except EngineError as error:
        assert "said only" in error.message
        return
    assert made.shape == partner.shape
    assert np.all(np.isfinite(made))
    assert active_rms(made) == pytest.approx(active_rms(partner), rel=0.4)
    # A syllable may begin softly.
    assert abs(silences(made)[0] - silences(partner)[0]) < 4_000


def test_speech_that_ends_abruptly_does_not_ring_in_the_silence_before_it() -> None:
    made = np.zeros(SAMPLE_RATE, np.float32)
    made[SAMPLE_RATE // 2 :] = np.sin(2 * np.pi * 90 * np.arange(SAMPLE_RATE // 2) / SAMPLE_RATE + 1.0)
    assert rms(without_rumble(made)[: SAMPLE_RATE // 20]) < 1e-2 * rms(made)


def test_the_noise_beneath_is_that_of_the_partners_pauses() -> None:
    partner = low_passed(voice(8, 3.0, noise=3e-3, lead=0.4, trail=0.4), 5_000)
    noise = noise_like(partner, np.random.default_rng(0))
    pause = partner[400:5_800]
    assert level_db(noise, 5_500, 8_000) < -110  # below what 16 bits hold
    for low, high in ((200, 1_000), (1_000, 4_500)):
        assert level_db(noise, low, high) == pytest.approx(level_db(pause, low, high), abs=3.0)
    assert rms(noise) == pytest.approx(rms(pause), rel=0.3)


def test_speech_ends_in_a_pause_where_its_partner_ends_in_silence() -> None:
    partner = voice(9, 2.0, lead=0.2, trail=0.3)
    made = matched_speech(voice(10, 4.0, noise=0.0), partner, np.random.default_rng(0))
    cast = cast_of(partner)
    behind = made[cast.lead + cast.body + 160 :]
    assert rms(behind) == pytest.approx(rms(partner[-len(behind) :]), rel=0.4)
