"""Speech activity while the audio comes: the network's state is carried from one push to the next, and nothing is looked at
twice."""

import numpy as np

from aasist.audio.silero import CHUNK_SAMPLES, CONTEXT_SAMPLES, network
from aasist.audio.speech import GATE_POWER, Mask, Smoother, chunk_powers, gain_of
from aasist.session import Float32

LEVEL_CHUNKS = 1_875
"""Chunks (60 s) whose powers are kept, for the level that the network hears at: it is that of the last minute."""


class CausalSpeech:
    """Speech activity over audio that is pushed piece by piece, in constant memory.

    `aasist.audio.speech.SpeechStream` gathers minutes and levels them as one; here a piece is judged as it comes, at the level
    of what was heard by then. So decisions depend on the pieces: who wants them the same twice pushes the same twice.
    """

    def __init__(self) -> None:
        self._waiting = np.zeros(CONTEXT_SAMPLES, np.float32)
        self._undecided = np.zeros(0, np.float32)
        self._powers = np.zeros(0, np.float32)
        self._state = _fresh_state()
        self._smoother = Smoother()

    def push(self, samples: Float32) -> tuple[Float32, Mask]:
        """Take mono samples (n,) at 16 kHz -> what is decided by now: samples, whole chunks, and the mask of their chunks.

        Over all calls and `finish` they are the samples pushed. A decision comes with its chunk while speech lasts, and up
        to nine chunks (0.3 s) late in a pause.
        """
        self._waiting = np.concatenate((self._waiting, samples))
        return self._settled(self._smoother.push(self._probabilities()))

    def finish(self) -> tuple[Float32, Mask]:
        """Decide on the rest; the last chunk may be shorter than `CHUNK_SAMPLES`, what misses counts as silence."""
        last = len(self._waiting) - CONTEXT_SAMPLES
        settled = np.zeros(0, np.bool_)
        if last:
            self._waiting = np.pad(self._waiting, (0, CHUNK_SAMPLES - last))
            settled = self._smoother.push(self._probabilities())
            self._undecided = self._undecided[: len(self._undecided) - (CHUNK_SAMPLES - last)]
        return self._settled(np.concatenate((settled, self._smoother.finish())))

    def _probabilities(self) -> Float32:
        """Of speech (n,) in the whole chunks that wait; they are undecided then."""
        chunks = (len(self._waiting) - CONTEXT_SAMPLES) // CHUNK_SAMPLES
        end = CONTEXT_SAMPLES + chunks * CHUNK_SAMPLES
        audible = self._waiting[:end]
        self._undecided = np.concatenate((self._undecided, audible[CONTEXT_SAMPLES:]))
        self._waiting = self._waiting[end - CONTEXT_SAMPLES :].copy()
        powers = chunk_powers(audible[CONTEXT_SAMPLES:])
        self._powers = np.concatenate((self._powers, powers))[-LEVEL_CHUNKS:]
        if not (powers >= GATE_POWER).any():
            # Not asked, and it begins anew behind: the network answers digital silence with whatever it heard last.
            self._state = _fresh_state()
            return np.zeros(chunks, np.float32)
        heard = np.lib.stride_tricks.sliding_window_view(
            audible * gain_of(self._powers), CONTEXT_SAMPLES + CHUNK_SAMPLES
        )
        found, self._state = network().run(heard[::CHUNK_SAMPLES, None], self._state)
        probabilities = found[:, 0]
        probabilities[powers < GATE_POWER] = 0.0
        return probabilities

    def _settled(self, mask: Mask) -> tuple[Float32, Mask]:
        decided = min(len(mask) * CHUNK_SAMPLES, len(self._undecided))
        samples, self._undecided = self._undecided[:decided], self._undecided[decided:].copy()
        return samples, mask


def _fresh_state() -> Float32:
    return np.zeros((2, 1, 128), np.float32)
