"""What acoustic models do to a mel spectrum: each treatment keeps the shape, moves what it says, and repeats by seed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from aasist.corpus import acoustic
from aasist.corpus.spectra import Float64

Treatment = Callable[[Float64, np.random.Generator], Float64]


@pytest.fixture(scope="module")
def mel() -> Float64:
    """80 bands, 201 frames: a few formants that move, harmonics over them, noise."""
    bands, frames = np.arange(80)[:, None], np.arange(201)[None]
    formants = sum(
        np.exp(-0.5 * ((bands - place - 4 * np.sin(frames / 15 + place)) / 5) ** 2) for place in (12, 30, 55)
    )
    harmonics = 0.5 * np.cos(2 * np.pi * bands / 5) * (bands < 40)
    return 4 * formants + harmonics - 6 + 0.1 * np.random.default_rng(0).standard_normal((80, 201))


@pytest.mark.parametrize("treatment", [acoustic.smoothed, acoustic.tokens, acoustic.noisy])
def test_a_treatment_changes_a_spectrum_a_little_and_repeats_by_seed(treatment: Treatment, mel: Float64) -> None:
    before = mel.copy()
    for seed in range(8):
        treated = treatment(mel, np.random.default_rng(seed))
        assert treated.shape == mel.shape
        assert np.array_equal(treated, treatment(mel, np.random.default_rng(seed)))
        assert 0.85 < np.corrcoef(treated.ravel(), mel.ravel())[0, 1] < 0.9999
    assert np.array_equal(mel, before), "the spectrum that was given has changed"


@pytest.mark.parametrize("treatment", [acoustic.smoothed, acoustic.tokens, acoustic.noisy])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_a_treatment_takes_spectra_of_a_few_frames_and_of_silence(treatment: Treatment, frames: int) -> None:
    for seed in range(4):
        treated = treatment(np.full((80, frames), -11.5), np.random.default_rng(seed))
        assert treated.shape == (80, frames)
        assert np.allclose(treated, -11.5)


def test_k_means_finds_the_groups_that_there_are() -> None:
    random = np.random.default_rng(3)
    centres = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0], [8.0, 8.0]])
    rows = np.concatenate([centre + 0.1 * random.standard_normal((50, 2)) for centre in centres])
    found = acoustic.quantised(rows, 16, random)
    assert len(np.unique(found, axis=0)) <= 16
    assert np.abs(found - rows).max() < 1.0
    assert np.array_equal(acoustic.quantised(rows, 400, random), rows), "every row has a code of its own"


def test_formants_move_and_harmonics_stay(mel: Float64) -> None:
    centres_hz = np.linspace(50.0, 7_900.0, 80)
    moved = acoustic.moved(mel, centres_hz, 1.1, 7_700.0)
    envelopes = [acoustic.blurred(one[:, :60].T, 3.0).mean(axis=0) for one in (mel, moved)]
    peaks = [48 + int(np.argmax(envelope[48:66])) for envelope in envelopes]
    assert peaks[1] - peaks[0] in (5, 6)
    harmonics = [np.argmax(np.abs(np.fft.rfft(one[:40].mean(axis=1) * np.hanning(40)))[5:]) for one in (mel, moved)]
    assert harmonics[0] == harmonics[1]


def test_formants_moved_down_leave_no_hole_above_them(mel: Float64) -> None:
    cliff = mel.copy()
    centres_hz = np.linspace(50.0, 7_900.0, 80)
    cliff[centres_hz > 6_500] = -11.5
    moved = acoustic.moved(cliff, centres_hz, 0.9, 6_400.0)
    assert moved[64:].mean() == pytest.approx(cliff[60:64].mean(), abs=1.0)


def test_a_changed_pace_never_strays_further_than_40_ms() -> None:
    clock = np.tile(np.arange(400.0), (2, 1))
    for seed in range(10):
        shift = acoustic.paced(clock, 0.01, np.random.default_rng(seed)) - clock
        assert 0.5 < np.abs(shift).max() <= 4.0 + 1e-9
        assert np.abs(np.diff(shift[:, 10:-10])).max() < 0.09


def test_a_stretched_spectrum_ends_where_the_first_did() -> None:
    clock = np.arange(100.0)[None]
    stretched = acoustic.stretched(clock, 250)
    assert stretched.shape == (1, 250)
    assert stretched[0, -1] == 99.0
    assert np.allclose(np.diff(stretched), 99 / 249)
    assert acoustic.stretched(np.ones((3, 1)), 4).shape == (3, 4)
