"""Linear prediction: each frame's all-pole filter, driven by pulses at the pitch or by noise (LPC-10 and its heirs)."""

from __future__ import annotations

import numpy as np

from aasist.corpus.engine import Copier, Sound
from aasist.corpus.pitch import pitch_of
from aasist.corpus.spectra import Float64, frames_of, hann, overlap_added
from aasist.session import SAMPLE_RATE, Float32

HOP, SIZE = 160, 480
"""10 and 30 ms."""

DRIVEN = 4 * HOP
"""Of the excitation, so much goes through a frame's filter: a hop before the frame fades in, to fill its memory."""

RESPONSE = 2048
"""Points of the filter's spectrum: its response has 88 ms to fade in."""


class LinearPrediction(Copier):
    """Order 14 to 20; the buzz and the noise of old telephony coders."""

    name = "lpc"
    technology = "linear prediction, pulses and noise"
    licence = "MIT"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At 16 kHz."""
        order, noisy = int(generator.integers(14, 21)), generator.uniform(0.05, 0.3)
        count = len(samples) + -len(samples) % HOP
        padded = np.pad(samples.astype(np.float64), (SIZE, SIZE + count - len(samples)))
        # Frame f is centred on sample f * HOP of the padded signal's middle part.
        heard = frames_of(padded[SIZE // 2 :], SIZE, HOP)[: count // HOP + 3] * hann(SIZE)
        pitch = np.repeat(pitch_of(samples, HOP), HOP)[:count]
        pitch = np.pad(pitch, (0, count - len(pitch)), mode="edge")
        predictors, power = predicted(heard, order)
        excitation = np.pad(_excitation(pitch, noisy, generator), 2 * HOP + SIZE)
        driven = frames_of(excitation[SIZE // 2 + HOP :], DRIVEN, HOP)[: len(heard)]
        gains = np.sqrt(power / np.sum(hann(SIZE) ** 2))
        spectra = np.fft.rfft(driven, RESPONSE) / np.fft.rfft(predictors, RESPONSE)
        spoken = np.fft.irfft(spectra, RESPONSE)[:, HOP : 3 * HOP] * gains[:, None] * hann(2 * HOP)
        added = overlap_added(spoken, HOP)
        start = SIZE // 2 + HOP
        return added[start : start + len(samples)].astype(np.float32), SAMPLE_RATE


def predicted(frames: Float64, order: int) -> tuple[Float64, Float64]:
    """Windowed frames (F, SIZE) -> predictors (F, order + 1), the first coefficient 1, and the power they leave (F,).

    Levinson and Durbin's recursion over all frames at once; a little white noise keeps it from dividing by nothing.
    """
    lags = np.stack([np.einsum("ij,ij->i", frames[:, : SIZE - lag], frames[:, lag:]) for lag in range(order + 1)], 1)
    error = lags[:, 0] * (1 + 1e-5) + 1e-9
    predictors = np.zeros_like(lags)
    predictors[:, 0] = 1.0
    for step in range(1, order + 1):
        reflection = -np.einsum("ij,ij->i", predictors[:, :step], lags[:, step:0:-1]) / error
        predictors[:, : step + 1] += reflection[:, None] * predictors[:, step::-1]
        error = error * (1 - reflection**2)
    return predictors, np.maximum(error - 1e-9, 0.0)


def _excitation(pitch: Float64, noisy: float, generator: np.random.Generator) -> Float64:
    """Pitch (N,) in Hz, 0 where unvoiced -> pulses of unit power with some noise, or noise (N,)."""
    cycles = np.floor(np.cumsum(pitch / SAMPLE_RATE))
    pulses = np.diff(cycles, prepend=0.0) * np.sqrt(SAMPLE_RATE / np.maximum(pitch, 50.0))
    noise = generator.standard_normal(len(pitch))
    return np.where(pitch > 0, np.sqrt(1 - noisy**2) * pulses + noisy * noise, noise)
