"""Prosodic frames: against tones and glides that are known exactly, the definition written out, and two programs."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from aasist.model.prosody import (
    FAINT,
    FEATURES,
    FRAME_SAMPLES,
    HIGHEST_HZ,
    HOP_SAMPLES,
    RHYTHM_HZ,
    STEPS_PER_OCTAVE,
    ProsodicFrames,
    statistics,
    voiced_share,
)
from aasist.session import SAMPLE_RATE

SECONDS = 1.5
CENTRES = HOP_SAMPLES * np.arange(int(SECONDS * SAMPLE_RATE) // HOP_SAMPLES) + HOP_SAMPLES // 2
INNER = slice(8, -8)
"""Frames that do not reach beyond the waveform, nor their paths."""

Float64 = NDArray[np.float64]


@pytest.fixture(scope="module")
def prosody() -> ProsodicFrames:
    return ProsodicFrames()


def voice(hertz: Float64 | float, swell: Float64 | float = 1.0) -> Tensor:
    """Eight harmonics of a pitch (T,) or of one that stays -> (1, T)."""
    track = np.broadcast_to(np.asarray(hertz, dtype=np.float64), (int(SECONDS * SAMPLE_RATE),))
    phase = 2 * np.pi * np.cumsum(track) / SAMPLE_RATE
    wave = sum(np.cos(n * phase + n * n) / n for n in range(1, 9))
    return torch.from_numpy((0.05 * swell * wave).astype(np.float32)).unsqueeze(0)


def glide(start_hz: float, end_hz: float) -> Float64:
    """A pitch (T,) in hertz that moves by equal steps in octaves."""
    return start_hz * (end_hz / start_hz) ** np.linspace(0, 1, int(SECONDS * SAMPLE_RATE))


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def pitch_of(prosody: ProsodicFrames, waveform: Tensor) -> tuple[Float64, Float64]:
    """Voicing and hertz of each frame of a waveform (1, T)."""
    level = waveform.square().mean().sqrt().clamp_min(1e-5)
    voicing, octaves = prosody.pitch(prosody.spectra(waveform / level))
    return voicing[0].double().numpy(), 2.0 ** octaves[0].double().numpy()


def told(prosody: ProsodicFrames, waveform: Tensor, feature: str) -> Tensor:
    """One feature (F,) of a waveform (1, T)."""
    return prosody(waveform)[0, :, FEATURES.index(feature)]


@pytest.mark.parametrize("hertz", [70.0, 100.0, 123.4, 220.0, 333.0, 490.0])
def test_the_pitch_of_a_steady_voice_is_found_within_2_cents(hertz: float, prosody: ProsodicFrames) -> None:
    voicing, found = pitch_of(prosody, voice(hertz))
    assert np.abs(1_200 * np.log2(found[INNER] / hertz)).max() < 2
    assert voicing[INNER].min() > 0.99


@pytest.mark.parametrize(("start", "end"), [(100, 200), (300, 150), (80, 400), (450, 90)])
def test_a_glide_is_followed_within_2_cents_and_its_slope_is_told(
    start: int, end: int, prosody: ProsodicFrames
) -> None:
    track = glide(start, end)
    voicing, found = pitch_of(prosody, voice(track))
    assert np.abs(1_200 * np.log2(found / track[CENTRES]))[INNER].max() < 2
    assert voicing[INNER].min() > 0.98
    slope = math.log2(end / start) / SECONDS / 10
    torch.testing.assert_close(
        told(prosody, voice(track), "pitch slope")[INNER], torch.full((134,), slope), rtol=0.03, atol=0
    )
    # Octaves above the mean, which is that of the middle of the glide.
    pitch, expected = told(prosody, voice(track), "pitch")[INNER].numpy(), np.log2(track / track.mean())[CENTRES][INNER]
    np.testing.assert_allclose(pitch - pitch.mean(), expected - expected.mean(), atol=0.01)
    assert abs(pitch.mean()) < 0.05


@pytest.mark.parametrize("row", [0, 1])
def test_likeness_is_the_autocorrelation_of_the_windowed_frame_over_that_of_its_window(
    row: int, prosody: ProsodicFrames
) -> None:
    """By the definition, in the time domain, of a sum of tones that is known at every lag; all within the pass band."""
    random = np.random.default_rng(row)
    hertz, phases = random.uniform(120, 800, 5), random.uniform(0, 6, 5)

    def sounded(places: Float64) -> Float64:
        return np.cos(2 * np.pi * np.outer(places, hertz) / SAMPLE_RATE + phases).sum(1)

    def window(places: Float64) -> Float64:
        within = (places >= 0) & (places <= FRAME_SAMPLES - 1)
        return np.where(within, 0.5 - 0.5 * np.cos(2 * np.pi * places / (FRAME_SAMPLES - 1)), 0.0)

    waveform = torch.from_numpy(sounded(np.arange(8_000.0)))[None]
    found = prosody.double().likenesses(prosody.spectra(waveform))[0]
    prosody.float()
    frame, places = 20, np.arange(float(FRAME_SAMPLES))
    start = frame * HOP_SAMPLES - (FRAME_SAMPLES - HOP_SAMPLES) // 2
    here, expected = sounded(start + places) * window(places), []
    lags = 2.0 ** (np.arange(-1, len(found) - 1) / STEPS_PER_OCTAVE) / HIGHEST_HZ * SAMPLE_RATE
    for lag in lags:
        later = sounded(start + places + lag) * window(places + lag)
        of_window = (window(places) * window(places + lag)).sum() / (window(places) ** 2).sum()
        expected.append((here * later).sum() / (here * here).sum() / of_window)
    assert np.ptp(expected) > 0.5
    # Each frame's power is a little less than all the power it is held to.
    powers = (prosody.double().power @ prosody.spectra(waveform))[0, 0]
    prosody.float()
    share = float(powers[frame] / (powers[frame] + FAINT * powers.mean()))
    np.testing.assert_allclose(found[:, frame].numpy(), share * np.array(expected), atol=5e-3)


def test_noise_has_hardly_any_voice_and_what_needs_one_is_0(prosody: ProsodicFrames) -> None:
    frames = prosody(noise(4, 64_000))
    unvoiced = voiced_share(frames[:, :, 0]) == 0
    assert unvoiced.float().mean() > 0.98
    for feature in ("pitch", "pitch slope", "jitter", "shimmer"):
        assert not frames[:, :, FEATURES.index(feature)][unvoiced].any()


def test_a_steady_voice_and_a_glide_have_no_jitter_and_a_rough_one_has(prosody: ProsodicFrames) -> None:
    random = np.random.default_rng(0)
    period = SAMPLE_RATE // 100
    for track in (120.0, glide(100, 200)):
        assert told(prosody, voice(track), "jitter")[INNER].max() < 0.01
        assert told(prosody, voice(track), "shimmer")[INNER].max() < 0.01
    rough = np.repeat(100 * (1 + 0.03 * random.standard_normal(1 + int(SECONDS * 100))), period)
    jittery = told(prosody, voice(rough[: int(SECONDS * SAMPLE_RATE)]), "jitter")[INNER]
    assert jittery.mean() > 0.1
    uneven = np.repeat(1 + 0.2 * random.standard_normal(1 + int(SECONDS * 100)), period)
    shimmery = told(prosody, voice(100.0, uneven[: int(SECONDS * SAMPLE_RATE)]), "shimmer")[INNER]
    assert shimmery.mean() > 0.3


def test_a_steady_swell_has_a_slope_of_energy_and_no_shimmer(prosody: ProsodicFrames) -> None:
    swelling = voice(200.0, 10 ** np.linspace(-1, 0, int(SECONDS * SAMPLE_RATE)))
    assert told(prosody, swelling, "shimmer")[INNER].max() < 0.01
    # A factor of 100 in power: two decades in the whole time.
    slope = told(prosody, swelling, "energy slope")[INNER]
    torch.testing.assert_close(slope, torch.full_like(slope, 2 / SECONDS / 10), rtol=0, atol=0.01)


def test_energy_is_the_power_about_a_frame_over_that_of_the_window(prosody: ProsodicFrames) -> None:
    waveform = noise(1, 16_000)
    waveform[:, 8_000:] *= 0.1
    energy = told(prosody, waveform, "energy")
    assert energy[10:40].mean() - energy[60:90].mean() == pytest.approx(2.0, abs=0.05)
    assert (10 ** energy[3:-3].double()).mean() == pytest.approx(1.0, abs=0.08)
    assert told(prosody, torch.cat([waveform, torch.zeros(1, 4_000)], 1), "energy")[-5:].max() == -6


@pytest.mark.parametrize(("hertz", "least", "most"), [(RHYTHM_HZ, 0.95, 1.05), (2.0, 0.15, 0.6), (15.0, 0.0, 0.05)])
def test_rhythm_is_the_amplitude_of_what_swings_at_the_rate_of_syllables(
    hertz: float, least: float, most: float, prosody: ProsodicFrames
) -> None:
    depth = 0.3
    seconds = np.arange(int(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE
    swung = voice(200.0, 10 ** (depth / 2 * np.sin(2 * np.pi * hertz * seconds)))
    rhythm = told(prosody, swung, "rhythm")[40:-40]
    assert least * depth <= rhythm.min() and rhythm.max() <= most * depth


def test_frames_do_not_depend_on_the_level_and_silence_is_finite(prosody: ProsodicFrames) -> None:
    waveform = voice(glide(100, 200)) + noise(1, int(SECONDS * SAMPLE_RATE), seed=1) / 10
    frames = prosody(waveform)
    for gain in (1e-2, 30.0):
        torch.testing.assert_close(prosody(gain * waveform), frames, rtol=0, atol=1e-3)
    for level in (0.0, 1e-30, 1e-7):
        assert torch.isfinite(prosody(level * waveform)).all()
    assert not voiced_share(prosody(torch.zeros(1, 4_000))[:, :, 0]).any()


def test_a_later_waveform_has_the_same_frames_later_and_rows_of_a_batch_do_not_meet(prosody: ProsodicFrames) -> None:
    long = voice(glide(90, 240), 10 ** np.sin(np.linspace(0, 20, int(SECONDS * SAMPLE_RATE))))
    level = long.square().mean().sqrt()
    one, other = (prosody.energies(part / level) for part in (long[:, :16_000], long[:, 1_600:]))
    torch.testing.assert_close(one[:, 15:90], other[:, 5:80], rtol=0, atol=1e-4)
    batch = torch.cat([long, noise(*long.shape), 0.1 * long.flip(1)])
    together, alone = prosody(batch), torch.cat([prosody(row[None]) for row in batch])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-3)


@pytest.mark.parametrize(("samples", "frames"), [(480, 3), (639, 3), (640, 4), (16_000, 100), (64_600, 403)])
def test_there_is_a_frame_for_every_whole_10_ms(samples: int, frames: int, prosody: ProsodicFrames) -> None:
    assert prosody(noise(2, samples)).shape == (2, frames, len(FEATURES))


def test_statistics_are_those_of_a_loop_over_frames() -> None:
    random = np.random.default_rng(0)
    frames, voiced = random.standard_normal((2, 9, 3)), random.random((2, 9))
    found = statistics(torch.from_numpy(frames), torch.from_numpy(voiced)).numpy()
    for row in range(2):
        expected = [[], [], [], [], []]
        for values in frames[row].T:
            weighted = np.average(values, weights=voiced[row])
            expected[0].append(values.mean())
            expected[1].append(values.std())
            expected[2].append(np.abs(np.diff(values)).sum() / 9)
            expected[3].append(weighted)
            expected[4].append(math.sqrt(np.average((values - weighted) ** 2, weights=voiced[row])))
        np.testing.assert_allclose(found[row], np.concatenate(expected), atol=1e-9)
    unvoiced = statistics(torch.from_numpy(frames), torch.zeros(2, 9, dtype=torch.float64))
    assert torch.isfinite(unvoiced).all() and not unvoiced[:, 9:12].any()


def spoken() -> Tensor:
    """Phrases of a voice whose pitch and level move, over noise, with pauses between them: (1, 48000)."""
    seconds = np.arange(48_000) / SAMPLE_RATE
    track = 140 * 2 ** (0.5 * np.sin(2 * np.pi * 0.9 * seconds) + 0.1 * np.sin(2 * np.pi * 3.1 * seconds))
    phase = 2 * np.pi * np.cumsum(track) / SAMPLE_RATE
    wave = sum(np.cos(n * phase + n) / n**0.7 for n in range(1, 15))
    loud = np.clip(0.5 + 2 * np.sin(2 * np.pi * 1.3 * seconds), 0, 1)
    samples = 0.1 * loud * wave + 0.002 * np.random.default_rng(0).standard_normal(48_000)
    return torch.from_numpy(samples.astype(np.float32))[None]


def test_pitch_and_voicing_agree_with_praat(prosody: ProsodicFrames) -> None:
    parselmouth = pytest.importorskip("parselmouth", reason="needs Praat: pip install praat-parselmouth")
    waveform = spoken()
    pitch = parselmouth.Sound(waveform[0].double().numpy(), SAMPLE_RATE).to_pitch_ac(
        time_step=0.001, pitch_floor=60, pitch_ceiling=500
    )
    times = (HOP_SAMPLES * np.arange(300) + HOP_SAMPLES / 2) / SAMPLE_RATE
    theirs = pitch.selected_array["frequency"][np.abs(pitch.xs()[None] - times[:, None]).argmin(1)]
    voicing, ours = pitch_of(prosody, waveform)
    sure = (theirs > 0) & (voicing > 0.6)
    assert 100 < sure.sum() < 280
    assert (voicing > 0.6).astype(bool)[theirs > 0].mean() > 0.9
    assert np.median(np.abs(1_200 * np.log2(ours[sure] / theirs[sure]))) < 10
    assert (np.abs(np.log2(ours[sure] / theirs[sure])) > math.log2(1.2)).mean() < 0.02


def test_pitch_agrees_with_world(prosody: ProsodicFrames) -> None:
    if importlib.util.find_spec("pyworld") is None:
        pytest.skip("needs WORLD: pip install pyworld")
    from aasist.corpus.engines.world import _pyworld

    waveform = spoken()
    track, times = _pyworld().harvest(waveform[0].double().numpy(), SAMPLE_RATE, 60.0, 500.0, 5.0)
    centres = (HOP_SAMPLES * np.arange(300) + HOP_SAMPLES / 2) / SAMPLE_RATE
    theirs = track[np.abs(times[None] - centres[:, None]).argmin(1)]
    voicing, ours = pitch_of(prosody, waveform)
    sure = (theirs > 0) & (voicing > 0.6)
    assert sure.sum() > 100
    assert np.median(np.abs(1_200 * np.log2(ours[sure] / theirs[sure]))) < 10
    assert (np.abs(np.log2(ours[sure] / theirs[sure])) > math.log2(1.2)).mean() < 0.02
