"""Spectra: perfect reconstruction, exact resampling, mel filters, pitch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.corpus.match import long_term_spectrum
from aasist.corpus.pitch import pitch_of
from aasist.corpus.spectra import mel_filters, resampled, signal_of, spectra_of, topped, with_phases

from ..corpora import SAMPLE_RATE
from .spoken import voice


@given(st.integers(1, 5_000), st.sampled_from([(512, 128), (1024, 256), (512, 256)]))
def test_spectra_hold_everything(count: int, shape: tuple[int, int]) -> None:
    samples = np.random.default_rng(count).standard_normal(count)
    assert np.allclose(
        signal_of(spectra_of(samples, *shape), *shape, count), samples, atol=1e-2 if shape[1] == 256 else 1e-6
    )


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 24_000, 44_100, 48_000])
def test_resampling_is_flat_up_to_the_lower_nyquist_frequency(rate: int) -> None:
    noise = np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE).astype(np.float32)
    there = resampled(noise, SAMPLE_RATE, rate)
    assert len(there) == 2 * rate
    back = resampled(there, rate, SAMPLE_RATE)
    assert len(back) == len(noise)
    top = min(rate, SAMPLE_RATE) / 2
    bins = slice(2, int(top / 31.25) - 2)
    change = 10 * np.log10(long_term_spectrum(back)[bins] / long_term_spectrum(noise)[bins])
    assert np.abs(change).max() < 0.6
    if rate > SAMPLE_RATE:
        assert np.allclose(back[500:-500], noise[500:-500], atol=2e-2)


def test_mel_filters_are_those_of_librosa() -> None:
    """Sums and peaks that librosa 0.10's filters.mel(sr=22050, n_fft=1024, n_mels=80, fmax=8000) has."""
    filters = mel_filters(22_050, 1024, 80, 0.0, 8_000.0)
    assert filters.shape == (80, 513)
    assert np.all(filters >= 0)
    # Slaney's normalisation: each filter's area is 1 (in Hz), once there are enough bins to see it.
    assert filters[30:].sum(axis=1) * 22_050 / 1024 == pytest.approx(1.0, abs=0.06)
    assert filters[:, int(8_000 / 22_050 * 1024) + 1 :].max() == 0


def test_phases_that_are_recovered_are_consistent() -> None:
    samples = voice(0, 1.0)
    magnitudes = np.abs(spectra_of(samples, 512, 128)).astype(np.float64)

    def inconsistency(rounds: int) -> float:
        made = with_phases(magnitudes, 512, 128, len(samples), rounds, np.random.default_rng(0))
        return float(np.linalg.norm(np.abs(spectra_of(made, 512, 128)) - magnitudes) / np.linalg.norm(magnitudes))

    assert inconsistency(30) < 0.5 * inconsistency(0)


def test_an_empty_top_is_filled_with_that_of_another_and_nothing_else_is_touched() -> None:
    whole, part = voice(1, 2.0, noise=1e-2), voice(2, 2.0)
    filled = topped(part, whole, 6_000.0, SAMPLE_RATE)
    levels = [10 * np.log10(long_term_spectrum(samples)) for samples in (filled, whole, part)]
    assert np.abs(levels[0] - levels[1])[196:250].max() < 1.0
    assert np.abs(levels[0] - levels[2])[:188].max() < 1.0
    assert len(topped(part[:9_000], whole, 6_000.0, SAMPLE_RATE)) == 9_000


@pytest.mark.parametrize("pitch_hz", [80, 120, 200, 330])
def test_the_pitch_of_a_buzz_is_found_and_noise_has_none(pitch_hz: int) -> None:
    times = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    buzz = sum(np.cos(2 * np.pi * pitch_hz * k * times) for k in range(1, 15)).astype(np.float32)
    found = pitch_of(buzz, 160)
    assert found.shape == (100,)
    assert np.median(found) == pytest.approx(pitch_hz, rel=0.02)
    noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE).astype(np.float32)
    assert np.mean(pitch_of(noise, 160) > 0) < 0.2
