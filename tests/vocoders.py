"""Two simple vocoders that make a spoof of a recording: Griffin-Lim, and linear prediction with a buzz."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .corpora import SAMPLE_RATE, Signal

SIZE, HOP = 512, 128
ORDER = 16


def griffin_lim(samples: Signal, *, bins: int = 60, rounds: int = 20, seed: int = 0) -> Signal:
    """Samples (N,) -> the same from a smoothed spectrogram of ``bins`` bands, its phases found by iteration.

    (Griffin and Lim, Signal estimation from modified short-time Fourier transform, 1984.)
    """
    magnitudes = np.abs(_spectra(samples))
    centres = np.linspace(0, magnitudes.shape[1] - 1, bins)
    every = np.arange(magnitudes.shape[1])
    magnitudes = np.stack([np.interp(every, centres, frame[centres.astype(int)]) for frame in magnitudes])
    phases = np.exp(2j * np.pi * np.random.default_rng(seed).random(magnitudes.shape))
    for _ in range(rounds):
        found = _spectra(_signal(magnitudes * phases, len(samples)))
        phases = found / np.maximum(np.abs(found), 1e-9)
    return _as_loud_as(_signal(magnitudes * phases, len(samples)), samples)


def linear_prediction(samples: Signal, *, pitch_hz: float = 120.0, seed: int = 0) -> Signal:
    """Samples (N,) -> each frame's all-pole filter excited by pulses of one pitch, or by noise where it is noisy."""
    count = len(samples)
    excitation = 0.1 * np.random.default_rng(seed).standard_normal(count)
    excitation[:: round(SAMPLE_RATE / pitch_hz)] += 1.0
    frames, pulses = _frames(samples), _frames(excitation.astype(np.float32))
    spectra = np.fft.rfft(pulses, 2 * SIZE)
    out = np.zeros(count + 3 * SIZE)
    for number, frame in enumerate(frames):
        predictor, error = _levinson(frame)
        shaped = np.fft.irfft(spectra[number] / np.fft.rfft(predictor, 2 * SIZE)) * np.sqrt(max(error, 1e-12))
        out[number * HOP : number * HOP + 2 * SIZE] += shaped
    return _as_loud_as(out[SIZE : SIZE + count].astype(np.float32), samples)


def _levinson(frame: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Frame (SIZE,) -> predictor (ORDER + 1,), its first coefficient 1, and what it leaves unpredicted."""
    correlation = np.array([frame[: SIZE - lag] @ frame[lag:] for lag in range(ORDER + 1)])
    correlation[0] = 1.001 * correlation[0] + 1e-9
    predictor, error = np.array([1.0]), correlation[0]
    for order in range(1, ORDER + 1):
        reflection = -(predictor @ correlation[order:0:-1]) / error
        padded = np.append(predictor, 0.0)
        predictor = padded + reflection * padded[::-1]
        error *= 1 - reflection**2
    return predictor, float(error)


def _frames(samples: Signal) -> NDArray[np.float64]:
    """Samples (N,) -> windowed frames (F, SIZE) every `HOP`, with zeros before and behind."""
    padded = np.pad(samples.astype(np.float64), (SIZE, 2 * SIZE))
    return np.lib.stride_tricks.sliding_window_view(padded, SIZE)[: len(samples) + SIZE : HOP] * np.hanning(SIZE)


def _spectra(samples: Signal) -> NDArray[np.complex128]:
    return np.fft.rfft(_frames(samples))


def _signal(spectra: NDArray[np.complex128], count: int) -> Signal:
    """Spectra (F, SIZE // 2 + 1) -> samples (count,) by windowed overlap and addition."""
    out, weight = np.zeros(count + 4 * SIZE), np.full(count + 4 * SIZE, 1e-6)
    window = np.hanning(SIZE)
    for number, frame in enumerate(np.fft.irfft(spectra) * window):
        out[number * HOP : number * HOP + SIZE] += frame
        weight[number * HOP : number * HOP + SIZE] += window**2
    return (out / weight)[SIZE : SIZE + count].astype(np.float32)


def _as_loud_as(samples: Signal, other: Signal) -> Signal:
    level = np.sqrt(
        np.mean(np.square(other, dtype=np.float64)) / max(np.mean(np.square(samples, dtype=np.float64)), 1e-12)
    )
    return np.clip(samples * level, -0.99, 0.99).astype(np.float32)
