"""Griffin-Lim: a magnitude spectrogram back to speech, its phases found by iteration (Griffin and Lim, 1984)."""

from __future__ import annotations

import functools

import numpy as np

from aasist.corpus.engine import Copier, Sound
from aasist.corpus.spectra import Float64, mel_filters, resampled, spectra_of, with_phases
from aasist.session import SAMPLE_RATE, Float32

SIZE, HOP, ROUNDS = 1024, 256, 32

MEL_HZ, MEL_BANDS = 22_050, 100
"""The mel spectrum reaches up to 11 kHz: filters that ended at 8 kHz would leave a hole below it."""


class GriffinLim(Copier):
    """From the linear spectrogram, of 32 or 64 ms frames."""

    name = generator = "griffin-lim"
    technology = "phase recovery, linear spectrogram"
    licence = "MIT"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At 16 kHz."""
        size = int(generator.choice((512, 1024)))
        magnitudes = np.abs(spectra_of(samples, size, size // 4)).astype(np.float64)
        copied = with_phases(magnitudes, size, size // 4, len(samples), ROUNDS, generator)
        return copied.astype(np.float32), SAMPLE_RATE


class GriffinLimMel(Copier):
    """From 100 mel bands, as text-to-speech without a neural vocoder has it (Tacotron)."""

    name = "griffin-lim-mel"
    generator = "griffin-lim"
    technology = "phase recovery, mel spectrogram"
    licence = "MIT"
    rate_hz = MEL_HZ

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At 22.05 kHz."""
        fast = resampled(samples, SAMPLE_RATE, MEL_HZ)
        mel = np.abs(spectra_of(fast, SIZE, HOP)) @ _filters().T
        magnitudes = np.maximum(0.0, mel @ _inverse().T)
        return with_phases(magnitudes, SIZE, HOP, len(fast), ROUNDS, generator).astype(np.float32), MEL_HZ


def _filters() -> Float64:
    return mel_filters(MEL_HZ, SIZE, MEL_BANDS, 0.0, MEL_HZ / 2)


@functools.cache
def _inverse() -> Float64:
    """Pseudo-inverse of the filters, (513, 100)."""
    return np.asarray(np.linalg.pinv(_filters()), np.float64)
