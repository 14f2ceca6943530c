"""Speech activity: speech is found, nothing else is, and the mask depends on the audio alone."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from signals import Signal

from aasist.audio import speech
from aasist.audio.read import read
from aasist.audio.silero import CHUNK_SAMPLES
from aasist.audio.speech import (
    MAX_GAP_CHUNKS,
    MIN_BURST_CHUNKS,
    SPEECH_OFF,
    SPEECH_ON,
    Mask,
    Smoother,
    SpeechStream,
    chunk_powers,
    speech_mask,
    speech_probabilities,
)


def streamed(samples: Signal, sizes: list[int], threads: int = 1) -> tuple[Signal, Mask]:
    """Audio and mask as a stream gives them back, pushed in blocks of the given sizes in turn."""
    stream = SpeechStream(threads=threads)
    parts, place, turn = [], 0, 0
    while place < len(samples):
        size = sizes[turn % len(sizes)]
        parts += list(stream.push(samples[place : place + size]))
        place, turn = place + size, turn + 1
    parts += list(stream.finish())
    for samples_part, mask in parts[:-1]:
        assert len(samples_part) == len(mask) * CHUNK_SAMPLES
    return np.concatenate([part for part, _ in parts]), np.concatenate([mask for _, mask in parts])


@pytest.fixture(scope="module")
def talk(recordings: list[Path]) -> Signal:
    """Two minutes of clips with two seconds of faint noise between them."""
    rng = np.random.default_rng(0)
    parts: list[Signal] = []
    for path in recordings:
        parts += [read(path), (1e-3 * rng.standard_normal(32_000)).astype(np.float32)]
    return np.concatenate(parts)[: 120 * 16_000]


@pytest.fixture
def small_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans of 21 s, so that short audio crosses several."""
    monkeypatch.setattr(speech, "_SPAN_SAMPLES", 2 * speech._STRIPE_SAMPLES)


def test_speech_is_found_in_recordings(recordings: list[Path]) -> None:
    shares = [float(speech_mask(read(path)).mean()) for path in recordings]
    assert min(shares) > 0.1
    assert np.median(shares) > 0.6


def test_speech_is_found_between_pauses_and_not_in_them(recordings: list[Path]) -> None:
    clip = read(recordings[0])
    quiet = (1e-3 * np.random.default_rng(0).standard_normal(64_000)).astype(np.float32)
    mask = speech_mask(np.concatenate((quiet, clip, quiet)))
    first, last = 64_000 // CHUNK_SAMPLES, (64_000 + len(clip)) // CHUNK_SAMPLES
    assert mask[: first - 5].sum() == 0
    assert mask[last + 10 :].sum() == 0
    assert mask[first:last].mean() > 0.5


@pytest.mark.parametrize("scale", [0.01, 0.1, 1.0, 30_000.0])
def test_the_level_of_a_recording_hardly_matters(talk: Signal, scale: float) -> None:
    at_one = speech_mask(talk[:480_000])
    scaled = speech_mask(talk[:480_000] * np.float32(scale))
    assert np.mean(at_one != scaled) < (0.12 if scale < 0.1 else 0.03)


@pytest.mark.parametrize("level", [0.0, 1e-4, 0.01, 0.3])
def test_silence_and_noise_are_not_speech(level: float) -> None:
    noise = (level * np.random.default_rng(1).standard_normal(160_000)).astype(np.float32)
    assert not speech_mask(noise).any()


def test_tones_and_hum_are_not_speech() -> None:
    time = np.arange(160_000) / 16_000
    hum = sum(np.sin(2 * np.pi * 50 * k * time) / k for k in range(1, 20))
    for signal in (0.5 * np.sin(2 * np.pi * 1_000 * time), 0.1 * hum):
        assert speech_mask(signal.astype(np.float32)).mean() < 0.02


def test_silence_never_reaches_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "network", lambda: pytest.fail("the model was run on silence"))
    assert not speech_mask(np.zeros(16_000 * 60, np.float32)).any()
    assert not speech_mask(np.full(16_000 * 60, 5e-5, np.float32)).any()


def test_stripes_agree_with_one_sequential_run(talk: Signal) -> None:
    chunks = len(talk) // CHUNK_SAMPLES
    talk = talk[: chunks * CHUNK_SAMPLES]
    lead = np.zeros(speech._LEAD_SAMPLES, np.float32)
    gain = speech.gain_of(chunk_powers(talk))
    whole = speech._run_batch((np.concatenate((lead, talk)) * gain)[None], np.array([0]), chunks)[0]
    striped = speech_probabilities(talk)
    masks = []
    for probabilities in (whole, striped):
        smoother = Smoother()
        masks.append(np.concatenate((smoother.push(probabilities), smoother.finish())))
    assert np.mean(masks[0] != masks[1]) < 0.01


@pytest.mark.usefixtures("small_spans")
@pytest.mark.parametrize("sizes", [[511], [160_000], [1, 100_000, 7], [10**9]])
def test_the_mask_does_not_depend_on_the_blocks(talk: Signal, sizes: list[int]) -> None:
    samples = talk[: 50 * 16_000 + 123]
    audio, mask = streamed(samples, sizes)
    assert np.array_equal(audio, samples)
    assert len(mask) == -(-len(samples) // CHUNK_SAMPLES)
    assert np.array_equal(mask, speech_mask(samples))


def test_threads_change_nothing(talk: Signal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speech, "BATCH_STRIPES", 1)
    assert np.array_equal(speech_probabilities(talk, threads=1), speech_probabilities(talk, threads=2))


def test_silence_before_and_after_a_recording_moves_no_decision(talk: Signal) -> None:
    clip = talk[: 20 * CHUNK_SAMPLES * 16]
    alone = speech_mask(clip)
    padded = speech_mask(np.pad(clip, (100 * CHUNK_SAMPLES, 200 * CHUNK_SAMPLES)))
    assert np.array_equal(padded[100 : 100 + len(alone)], alone)
    assert not padded[:100].any()
    assert not padded[-190:].any()


@pytest.mark.parametrize("length", [0, 1, 511, 512, 513, 8_000])
def test_short_and_uneven_lengths_have_a_chunk_for_every_sample(length: int) -> None:
    assert speech_mask(np.zeros(length, np.float32)).shape == (-(-length // CHUNK_SAMPLES),)
    noise = np.random.default_rng(0).standard_normal(length).astype(np.float32)
    assert speech_mask(noise).shape == (-(-length // CHUNK_SAMPLES),)


def slow_smooth(probabilities: list[float]) -> list[bool]:
    """Hysteresis, then short gaps filled, then short bursts dropped, over the whole at once."""
    active, on = [], False
    for probability in probabilities:
        on = probability >= (SPEECH_OFF if on else SPEECH_ON)
        active.append(on)
    speech_at = [index for index, each in enumerate(active) if each]
    for left, right in pairwise(speech_at):
        if right - left - 1 <= MAX_GAP_CHUNKS:
            active[left:right] = [True] * (right - left)
    start = None
    for index, each in enumerate([*active, False]):
        if each and start is None:
            start = index
        elif not each and start is not None:
            if index - start < MIN_BURST_CHUNKS:
                active[start:index] = [False] * (index - start)
            start = None
    return active


@given(
    runs=st.lists(st.tuples(st.sampled_from([0.1, 0.4, 0.9]), st.integers(1, 12)), max_size=30),
    size=st.integers(1, 40),
)
def test_the_smoother_decides_as_its_slow_twin_however_it_is_fed(runs: list[tuple[float, int]], size: int) -> None:
    probabilities = [value for value, length in runs for _ in range(length)]
    smoother = Smoother()
    settled: list[bool] = []
    for first in range(0, len(probabilities), size):
        settled += smoother.push(np.array(probabilities[first : first + size], np.float32)).tolist()
        assert first + size - len(settled) <= MIN_BURST_CHUNKS + MAX_GAP_CHUNKS + size
    settled += smoother.finish().tolist()
    assert settled == slow_smooth(np.array(probabilities, np.float32).tolist())


def test_chunk_powers_are_mean_squares() -> None:
    samples = np.concatenate((np.full(512, 0.5), np.full(256, 1.0))).astype(np.float32)
    assert chunk_powers(samples).tolist() == [0.25, 0.5]
