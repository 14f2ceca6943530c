"""Pitch by autocorrelation, for vocoders that need no better."""

from __future__ import annotations

import numpy as np

from aasist.corpus.spectra import Float64, frames_of, hann
from aasist.session import SAMPLE_RATE, Float32

LOWEST_HZ, HIGHEST_HZ = 65.0, 400.0
FRAME = 640
"""40 ms: two and a half periods of the lowest pitch."""

OCTAVE_COST = 0.06
HARMONICS_HZ = 900.0

VOICED = 0.45
"""Normalised autocorrelation from which a frame is voiced."""


def pitch_of(samples: Float32, hop: int) -> Float64:
    """Samples (N,) at 16 kHz -> Hz (ceil(N / hop),), frame by frame, 0 where unvoiced.

    (Boersma, Accurate short-term analysis of the fundamental frequency, 1993: the autocorrelation of the windowed frame
    over that of the window; here without its search for the best path, but a median over three frames.)
    """
    count = -(-len(samples) // hop)
    padded = np.pad(samples.astype(np.float64), (FRAME // 2, FRAME + hop))
    frames = frames_of(padded, FRAME, hop)[:count]
    frames = (frames - frames.mean(axis=1, keepdims=True)) * hann(FRAME)
    size = 2 * FRAME
    powers = np.abs(np.fft.rfft(frames, size)) ** 2
    # Few harmonics: a period that is no whole number of samples would be no likeness in the high ones.
    powers[:, round(HARMONICS_HZ / SAMPLE_RATE * size) :] = 0.0
    own = np.fft.irfft(powers, size)
    window = np.fft.irfft(np.abs(np.fft.rfft(hann(FRAME), size)) ** 2, size)
    first, last = int(SAMPLE_RATE / HIGHEST_HZ), int(SAMPLE_RATE / LOWEST_HZ)
    likeness = own[:, first:last] / np.maximum(own[:, :1], 1e-9) / (window[first:last] / window[0])
    # Of two octaves that are about as good, the shorter period.
    best = np.argmax(likeness - OCTAVE_COST * np.log2(np.arange(first, last) / first), axis=1)
    voiced = (likeness[np.arange(count), best] > VOICED) & (own[:, 0] > 1e-6 * own[:, 0].max(initial=0.0) + 1e-9)
    pitch = np.where(voiced, SAMPLE_RATE / (first + best), 0.0)
    neighbours = np.stack([np.roll(pitch, 1), pitch, np.roll(pitch, -1)])
    return np.asarray(np.median(neighbours, axis=0))
