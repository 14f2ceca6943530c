"""Levels, noise, clipping and bandwidth are measured as they were made, and the rules follow from them."""

from dataclasses import replace

import numpy as np
import pytest
from signals import Signal, sine, voiced, written

from aasist.audio.levels import SourceLevels, SourceMeter, flat_samples
from aasist.audio.quality import Quality, QualityMeter, judge
from aasist.audio.read import open_audio
from aasist.audio.silero import CHUNK_SAMPLES

GOOD = Quality(
    peak_dbfs=-3.0,
    speech_level_dbfs=-20.0,
    noise_level_dbfs=-60.0,
    snr_db=40.0,
    clipped_fraction=0.0,
    bandwidth_hz=8_000.0,
    truncated=False,
)


def source_levels(samples: Signal, piece: int = 16_384) -> SourceLevels:
    meter = SourceMeter()
    for start in range(0, len(samples), piece):
        meter.push(samples[start : start + piece].reshape(len(samples[start : start + piece]), -1))
    return meter.levels()


def measured(samples: Signal, speech: np.ndarray | None = None) -> Quality:
    """Quality of 16 kHz audio whose chunks are all speech, or those of ``speech``."""
    chunks = -(-len(samples) // CHUNK_SAMPLES)
    meter = QualityMeter()
    meter.push(samples, np.ones(chunks, np.bool_) if speech is None else speech)
    return meter.quality(source_levels(samples), len(samples) / 16_000)


def codes(quality: Quality, speech_seconds: float = 5.0) -> tuple[list[str], list[str]]:
    warnings, undecided = judge(quality, speech_seconds)
    return [each.code for each in warnings], [each.code for each in undecided]


@pytest.mark.parametrize("gain", [1.5, 3.0, 10.0])
@pytest.mark.parametrize("turned_down", [1.0, 0.1])
def test_clipped_samples_are_counted_wherever_the_ceiling_is(gain: float, turned_down: float) -> None:
    loud = sine(16_000, 5.0, 150.0, gain)
    clipped = np.clip(loud, -1.0, 1.0)
    levels = source_levels(clipped * np.float32(turned_down))
    assert levels.clipped_samples == pytest.approx((np.abs(loud) >= 1.0).sum(), rel=0.1)
    assert levels.samples == len(loud)
    assert levels.peak == pytest.approx(turned_down)


def test_one_sided_clipping_is_clipping() -> None:
    loud = sine(16_000, 2.0, 150.0, 0.9)
    assert source_levels(np.minimum(loud, 0.5)).clipped_samples > 1_000


def test_sound_recordings_are_not_clipped() -> None:
    for subtype in ("PCM_16", "PCM_24", "FLOAT", "ULAW", "PCM_U8"):
        with open_audio(written(voiced(seconds=5.0), 16_000, "WAV", subtype)) as reader:
            for _ in reader.blocks():
                pass
            assert reader.quality.clipped_samples / reader.quality.samples < 0.005, subtype


def test_silence_and_faint_steps_are_not_clipped() -> None:
    assert source_levels(np.zeros(16_000, np.float32)).clipped_samples == 0
    assert source_levels(np.round(sine(16_000, 1.0, 100.0, 3.0)) / np.float32(32_768)).clipped_samples == 0


def test_clipping_in_one_channel_is_not_hidden_by_mixing() -> None:
    clipped = np.clip(sine(16_000, 2.0, 200.0, 3.0), -0.9, 0.9)
    levels = source_levels(np.stack((clipped, voiced(seconds=2.0)), axis=1))
    assert levels.clipped_samples > 0.3 * len(clipped)
    assert levels.samples == 2 * len(clipped)


def test_only_runs_of_three_equal_samples_are_flat() -> None:
    assert flat_samples(np.array([1, 1, 0, 1, 1, 1, 0, 1], np.float32), 1.0) == 3
    assert flat_samples(np.array([1, 0.9995, 1, 0.9995], np.float32), 1.0) == 0
    assert flat_samples(np.ones(7, np.float32), 1.0) == 7


def test_clipping_is_a_share_of_the_speech_however_long_the_silence() -> None:
    clipped = np.clip(sine(16_000, 2.0, 200.0, 2.0), -0.9, 0.9)
    padded = np.concatenate((np.zeros(16_000 * 60, np.float32), clipped))
    speech = np.zeros(-(-len(padded) // CHUNK_SAMPLES), np.bool_)
    speech[16_000 * 60 // CHUNK_SAMPLES :] = True
    assert measured(padded, speech).clipped_fraction == pytest.approx(measured(clipped).clipped_fraction, rel=0.02)


def test_levels_are_those_of_the_signal() -> None:
    quality = measured(sine(16_000, 3.0, 500.0, 0.5))
    assert quality.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert quality.speech_level_dbfs == pytest.approx(-9.03, abs=0.1)


@pytest.mark.parametrize("snr_db", [0.0, 5.0, 10.0, 20.0, 40.0])
@pytest.mark.parametrize("pauses", [True, False])
def test_the_signal_to_noise_ratio_is_that_of_the_mix(snr_db: float, pauses: bool) -> None:
    """Bursts of tone in steady noise, with pauses marked or the whole taken for speech."""
    rng = np.random.default_rng(0)
    blocks = np.repeat(np.arange(120) % 4 != 3, 5)
    tone = sine(16_000, len(blocks) * CHUNK_SAMPLES / 16_000, 500.0, 0.2) * np.repeat(blocks, CHUNK_SAMPLES)
    power = np.mean(tone**2) / (blocks.mean() if pauses else 1.0)
    noise = rng.standard_normal(len(tone)) * np.sqrt(power / 10 ** (snr_db / 10))
    mixed = (tone + noise).astype(np.float32)
    quality = measured(mixed, blocks if pauses else np.ones(len(blocks), np.bool_))
    assert quality.snr_db == pytest.approx(snr_db, abs=1.0)


def test_digital_silence_around_noisy_speech_does_not_hide_the_noise() -> None:
    rng = np.random.default_rng(0)
    noisy = voiced(seconds=4.0) + (0.3 * rng.standard_normal(64_000)).astype(np.float32)
    padded = np.pad(noisy, (32_000, 32_000)).astype(np.float32)
    speech = np.zeros(-(-len(padded) // CHUNK_SAMPLES), np.bool_)
    speech[63:187] = True
    quality = measured(padded, speech)
    assert quality.snr_db is not None
    assert quality.snr_db < 3.0


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_the_bandwidth_is_that_of_the_narrowest_step(rate: int) -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(rate * 3)).astype(np.float32)
    with open_audio((noise, rate)) as reader:
        samples = np.concatenate(list(reader.blocks()))
    bandwidth_hz = measured(samples).bandwidth_hz
    assert bandwidth_hz == pytest.approx(min(rate / 2, 8_000), abs=250)


def test_without_anything_to_measure_there_is_none() -> None:
    quality = measured(np.zeros(16_000, np.float32), np.zeros(32, np.bool_))
    assert quality.peak_dbfs == -120.0
    assert (quality.speech_level_dbfs, quality.noise_level_dbfs, quality.snr_db, quality.bandwidth_hz) == (None,) * 4
    assert quality.clipped_fraction == 0.0


def test_a_good_recording_has_no_findings() -> None:
    assert codes(GOOD) == ([], [])


@pytest.mark.parametrize(
    ("change", "speech_seconds", "warnings", "undecided"),
    [
        ({"peak_dbfs": -70.0}, 0.0, [], ["silence"]),
        ({"peak_dbfs": -70.0, "truncated": True}, 0.0, ["truncated"], ["silence"]),
        ({}, 0.0, [], ["no_speech"]),
        ({}, 0.9, [], ["little_speech"]),
        ({}, 1.0, [], []),
        ({"clipped_fraction": 0.05}, 5.0, ["clipped"], []),
        ({"clipped_fraction": 0.2}, 5.0, [], ["clipped"]),
        ({"snr_db": 5.0}, 5.0, ["noisy"], []),
        ({"snr_db": -3.0}, 5.0, [], ["noisy"]),
        ({"snr_db": None}, 5.0, [], []),
        ({"bandwidth_hz": 4_000.0}, 5.0, ["narrow_band"], []),
        ({"truncated": True}, 5.0, ["truncated"], []),
        ({"peak_dbfs": 30.0}, 5.0, ["over_scale"], []),
        ({"clipped_fraction": 0.5, "snr_db": -1.0}, 0.5, [], ["little_speech", "clipped", "noisy"]),
    ],
)
def test_the_rules_tell_warnings_from_reasons_to_stay_undecided(
    change: dict[str, float], speech_seconds: float, warnings: list[str], undecided: list[str]
) -> None:
    assert codes(replace(GOOD, **change), speech_seconds) == (warnings, undecided)  # type: ignore[arg-type]


def test_recent_chunks_alone_count_where_they_are_asked_for_and_no_more_are_kept() -> None:
    noise = np.random.default_rng(0).standard_normal(100 * CHUNK_SAMPLES).astype(np.float32)
    recent, all_of_them = QualityMeter(recent_chunks=100), QualityMeter()
    for gain in (0.3, 0.03, 0.003):
        for first in range(0, len(noise), 10 * CHUNK_SAMPLES):
            piece = noise[first : first + 10 * CHUNK_SAMPLES] * np.float32(gain)
            for meter in (recent, all_of_them):
                meter.push(piece, np.ones(10, np.bool_))
    source = source_levels(noise)
    assert recent.quality(source, 9.6).speech_level_dbfs == pytest.approx(20 * np.log10(0.003), abs=0.2)
    assert all_of_them.quality(source, 9.6).speech_level_dbfs == pytest.approx(20 * np.log10(0.3) - 4.7, abs=0.2)
    assert sum(map(len, recent._powers)) <= 200
