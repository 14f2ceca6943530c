"""Our engines, where what they call is installed: what they make is speech, the same every time, and fits its pair."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aasist.audio.read import read
from aasist.corpus.catalogue import engines
from aasist.corpus.engine import Copier, Engine, EngineError, Speaker
from aasist.corpus.engines import ENGINES
from aasist.corpus.engines.festival import Festival
from aasist.corpus.engines.hifigan import HifiGanFolder, Mel
from aasist.corpus.engines.lpc import predicted
from aasist.corpus.match import active_rms, fitted, long_term_spectrum, matched_copy, matched_speech, rms, sounding
from aasist.corpus.spectra import resampled
from aasist.corpus.texts import sentence
from aasist.session import SAMPLE_RATE, Float32

KNOWN = engines()
COPIERS = sorted(name for name in ENGINES if isinstance(KNOWN[name], Copier))
SPEAKERS = sorted(name for name in ENGINES if isinstance(KNOWN[name], Speaker))

ENVELOPE_LIKENESS = 0.75
"""Correlation of the log energies of a copy's frames with the recording's: the same is said at the same time."""


def installed(name: str) -> Engine:
    if line := KNOWN[name].missing():
        pytest.skip(f"{name} is not here: {line}")
    return KNOWN[name]


@pytest.fixture(scope="module")
def speech(recording: Path) -> Float32:
    """Two seconds of a human, with the peak at 0.35."""
    samples = read(recording)[16_000:48_000]
    return samples * np.float32(0.35 / np.abs(samples).max())


def energies(samples: Float32) -> np.ndarray:
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    return 10 * np.log10(np.mean(frames.astype(np.float64) ** 2, axis=1) + 1e-6)


@pytest.fixture(scope="module")
def copied(speech: Float32) -> Callable[[str], tuple[Float32, int]]:
    """The speech as an engine copies it, made once."""

    @functools.cache
    def copy(name: str) -> tuple[Float32, int]:
        engine = installed(name)
        assert isinstance(engine, Copier)
        return engine.copy(speech, np.random.default_rng(1))

    return copy


@pytest.mark.parametrize("name", COPIERS)
def test_a_copy_says_the_same_at_the_same_time_and_is_no_mere_repetition(
    name: str, speech: Float32, copied: Callable[[str], tuple[Float32, int]]
) -> None:
    engine = installed(name)
    assert isinstance(engine, Copier)
    sound, rate = copied(name)
    again, _ = engine.copy(speech, np.random.default_rng(1))
    assert np.array_equal(sound, again), "another copy from the same draws"
    assert rate >= engine.rate_hz
    assert len(sound) / rate == pytest.approx(2.0, abs=0.1)
    copy = matched_copy(fitted(resampled(np.asarray(sound, np.float32), rate, SAMPLE_RATE), len(speech)), speech)
    assert rms(copy) == pytest.approx(rms(speech), rel=1e-3)
    shifted = max(
        float(np.corrcoef(energies(speech)[2:-2], np.roll(energies(copy), shift)[2:-2])[0, 1])
        for shift in (-2, -1, 0, 1)
    )
    assert shifted > ENVELOPE_LIKENESS
    assert rms(copy - speech) > 0.05 * rms(speech)


@pytest.mark.parametrize(
    "name", [name for name in COPIERS if KNOWN[name].kind == "vocoder" or name.endswith("-tokens")]
)
def test_no_band_edge_near_8_khz_gives_a_copy_away(
    name: str, speech: Float32, copied: Callable[[str], tuple[Float32, int]]
) -> None:
    """In the top 500 Hz copies lie within 12 dB of the recording: a resampler's hole is 20 dB or more."""
    sound, rate = copied(name)
    copy = matched_copy(fitted(resampled(np.asarray(sound, np.float32), rate, SAMPLE_RATE), len(speech)), speech)
    for low_hz, high_hz in ((7_000, 7_500), (7_500, 7_900)):
        bins = slice(int(low_hz / 31.25), int(high_hz / 31.25))
        change = 10 * np.log10(long_term_spectrum(copy)[bins].mean() / long_term_spectrum(speech)[bins].mean())
        assert abs(change) < 12, f"{change:.1f} dB at {low_hz} Hz"


@pytest.mark.parametrize("name", SPEAKERS)
def test_a_voice_says_a_sentence_the_same_way_twice(name: str, speech: Float32) -> None:
    engine = installed(name)
    assert isinstance(engine, Speaker)
    voices = engine.voices()
    assert voices
    assert len({voice.name for voice in voices}) == len(voices)
    voice = next((voice for voice in voices if voice.language == "en"), voices[0])
    text = "Call me at ten." if voice.language == "en" else sentence(voice.language, np.random.default_rng(0))
    (sound, rate), (again, _) = (engine.speak(text, voice, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(sound, again), "another sound from the same draws"
    assert rate >= min(voice.rate_hz, SAMPLE_RATE)
    spoken = resampled(np.asarray(sound, np.float32), rate, SAMPLE_RATE)
    assert 0.5 < sounding(spoken).mean() * len(spoken) / SAMPLE_RATE < 20
    made = matched_speech(spoken, speech, np.random.default_rng(3))
    assert active_rms(made) == pytest.approx(active_rms(speech), rel=0.3)


def test_levinson_solves_the_normal_equations() -> None:
    frames = np.random.default_rng(0).standard_normal((5, 480))
    predictors, power = predicted(frames, 8)
    for frame, predictor, left in zip(frames, predictors, power, strict=True):
        lags = np.array([frame[: 480 - lag] @ frame[lag:] for lag in range(9)])
        matrix = lags[np.abs(np.subtract.outer(range(8), range(8)))] + np.eye(8) * lags[0] * 1e-5
        solved = np.linalg.solve(matrix, -lags[1:])
        assert np.allclose(predictor[1:], solved, atol=1e-6)
        assert left == pytest.approx(lags[0] * (1 + 1e-5) + solved @ lags[1:], rel=1e-6)


def generator_onnx(path: Path, hop: int) -> None:
    """A 'generator' that repeats the first mel band over each hop."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Gather", ["mel", "first"], ["band"], axis=1),
        helper.make_node("Exp", ["band"], ["loud"]),
        helper.make_node("Transpose", ["loud"], ["column"], perm=[0, 2, 1]),
        helper.make_node("Tile", ["column", "repeats"], ["wide"]),
        helper.make_node("Reshape", ["wide", "shape"], ["audio"]),
    ]
    constants = {
        "first": np.array([0]), "repeats": np.array([1, 1, hop]), "shape": np.array([1, 1, -1])
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "generator",
        [helper.make_tensor_value_info("mel", TensorProto.FLOAT, [1, "bands", "frames"])],
        [helper.make_tensor_value_info("audio", TensorProto.FLOAT, [1, 1, "samples"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]), path)


def test_a_folder_with_a_generator_is_an_engine(tmp_path: Path, speech: Float32) -> None:
    folder = tmp_path / "Mine"
    folder.mkdir()
    with pytest.raises(EngineError, match=r"expected one generator, NAME\.onnx, got 0"):
        HifiGanFolder(folder)
    generator_onnx(folder / "generator.onnx", 200)
    facts = {
        "sampling_rate": 24_000,
        "hop_size": 200,
        "win_size": 800,
        "n_fft": 1024,
        "num_mels": 80,
        "fmin": 0,
        "fmax": 12_000,
    }
    (folder / "config.json").write_text(json.dumps({**facts, "resblock": "1", "seed": 1234}))
    engine = HifiGanFolder(folder)
    assert (engine.name, engine.rate_hz, engine.mel.hop_size) == ("hifigan-mine", 24_000, 200)
    sound, rate = engine.copy(speech, np.random.default_rng(0))
    assert rate == 24_000
    assert len(sound) == 48_000
    (folder / "config.json").write_text("[]")
    with pytest.raises(EngineError, match="not the configuration"):
        HifiGanFolder(folder)


def test_the_mel_spectrum_has_a_frame_a_hop_and_a_floor() -> None:
    mel = Mel().of(np.zeros(2_560, np.float32))
    assert mel.shape == (80, 10)
    assert np.allclose(mel, np.log(1e-5), atol=3.0)
    tone = np.sin(2 * np.pi * 1_000 * np.arange(25_600) / 22_050).astype(np.float32)
    assert np.argmax(Mel().of(tone).mean(axis=1)) in range(24, 32)


@pytest.mark.parametrize(("found", "voices"), [("nil", []), ("(kal_diphone someones_own)", ["kal_diphone"])])
def test_festival_has_the_voices_that_it_lists_and_not_those_that_it_looked_for(
    found: str, voices: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f"Could not find any of these voices:\n(kal_diphone ked_diphone)\n\nvoices: {found}\n"
    for name in ("festival", "text2wave"):
        (tmp_path / name).write_text(f"#!/bin/sh\nprintf '%s' '{said}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    engine = Festival()
    assert [voice.name for voice in engine.voices()] == voices
    assert bool(engine.missing()) is not bool(voices)
