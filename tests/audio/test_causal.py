"""Speech activity as the audio comes agrees with that over the whole recording, and keeps no more than it needs."""

from pathlib import Path

import numpy as np
import pytest
from signals import Signal, voiced

from aasist.audio.causal import LEVEL_CHUNKS, CausalSpeech
from aasist.audio.read import read
from aasist.audio.silero import CHUNK_SAMPLES
from aasist.audio.speech import Mask, speech_mask

STEP = 8_000


def in_steps(samples: Signal, step: int = STEP) -> tuple[Signal, Mask]:
    """Everything given, pushed ``step`` samples at a time."""
    speech = CausalSpeech()
    given = [speech.push(samples[first : first + step]) for first in range(0, len(samples), step)]
    given.append(speech.finish())
    for part, mask in given[:-1]:
        assert len(part) == len(mask) * CHUNK_SAMPLES
    return np.concatenate([part for part, _ in given]), np.concatenate([mask for _, mask in given])


@pytest.mark.parametrize("length", [0, 1, 511, 512, 513, STEP, 50_000, 50_001])
@pytest.mark.parametrize("step", [STEP, 700])
def test_all_samples_come_back_in_order_with_a_decision_for_each_chunk(length: int, step: int) -> None:
    samples = voiced(seconds=4.0)[:length]
    given, mask = in_steps(samples, step)
    assert np.array_equal(given, samples)
    assert len(mask) == -(-length // CHUNK_SAMPLES)


def test_it_agrees_with_speech_activity_over_the_whole_recording(recordings: list[Path]) -> None:
    agreed = []
    for path in recordings:
        samples = read(path)
        agreed.append(in_steps(samples)[1] == speech_mask(samples))
    assert np.concatenate(agreed).mean() > 0.93


def test_speech_that_is_turned_down_is_speech(recordings: list[Path]) -> None:
    samples = np.concatenate([read(path) for path in recordings[:5]])
    loud, quiet = in_steps(samples)[1], in_steps(samples * np.float32(0.1))[1]
    assert (loud == quiet).mean() > 0.97


def test_decisions_look_no_further_ahead_than_their_step() -> None:
    samples = voiced(seconds=6.0)
    other = samples.copy()
    other[6 * STEP :] = 0.0
    speech, other_speech = CausalSpeech(), CausalSpeech()
    for first in range(0, 6 * STEP, STEP):
        one = speech.push(samples[first : first + STEP])[1]
        assert np.array_equal(one, other_speech.push(other[first : first + STEP])[1])


def test_digital_silence_holds_no_speech_and_what_follows_is_heard_as_from_a_start(recordings: list[Path]) -> None:
    speech_alone = read(recordings[1])
    silence = np.zeros(10 * 16 * CHUNK_SAMPLES, np.float32)
    _, alone = in_steps(speech_alone, 16 * CHUNK_SAMPLES)
    _, behind = in_steps(np.concatenate((silence, speech_alone)), 16 * CHUNK_SAMPLES)
    assert not behind[:160].any()
    assert alone.any()
    assert np.array_equal(behind[160:], alone)


def test_memory_does_not_grow_with_what_was_pushed() -> None:
    speech, piece = CausalSpeech(), voiced(seconds=0.5)
    sizes = []
    for _ in range(400):
        speech.push(piece)
        sizes.append(len(speech._waiting) + len(speech._undecided) + len(speech._powers))
    assert max(sizes) < LEVEL_CHUNKS + 20_000
    assert len(speech._powers) == LEVEL_CHUNKS
