"""Short-time spectra, mel filters and exact resampling: what vocoders of our own and the matching of pairs stand on."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from aasist.session import Float32

Float64 = NDArray[np.float64]
Complex = NDArray[np.complexfloating]


@functools.cache
def hann(size: int) -> Float64:
    """Periodic Hann window (size,)."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)


def frames_of(samples: NDArray[np.floating], size: int, hop: int) -> NDArray[np.floating]:
    """Samples (N,) -> views (F, size), ``hop`` apart, from the first sample on; what fills no frame is left out."""
    return np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]


def overlap_added(frames: NDArray[np.floating], hop: int) -> Float64:
    """Frames (F, size) summed ``hop`` apart -> ((F - 1) * hop + size,); size is a multiple of hop."""
    count, size = frames.shape
    total = np.zeros((count + size // hop - 1, hop))
    for part in range(size // hop):
        total[part : part + count] += frames[:, part * hop : (part + 1) * hop]
    return total.reshape(-1)


def spectra_of(samples: NDArray[np.floating], size: int, hop: int) -> Complex:
    """Samples (N,) -> Hann-windowed spectra (F, size // 2 + 1), with zeros before and behind."""
    padded = np.pad(samples, (size, size + -len(samples) % hop))
    return np.fft.rfft(frames_of(padded, size, hop) * hann(size))


def signal_of(spectra: Complex, size: int, hop: int, count: int) -> Float64:
    """Spectra as `spectra_of` gives them -> samples (count,), by the least squares of Griffin and Lim (1984)."""
    window = hann(size)
    added = overlap_added(np.fft.irfft(spectra, size) * window, hop)
    weight = overlap_added(np.broadcast_to(window**2, (len(spectra), size)), hop)
    return (added / np.maximum(weight, 1e-3))[size : size + count]


def with_phases(
    magnitudes: Float64, size: int, hop: int, count: int, rounds: int, random: np.random.Generator
) -> Float64:
    """Magnitudes (F, size // 2 + 1) -> samples (count,): random phases, made consistent in ``rounds`` iterations.

    (Griffin and Lim, Signal estimation from modified short-time Fourier transform, 1984.)
    """
    phases = np.exp(2j * np.pi * random.random(magnitudes.shape))
    for _ in range(rounds):
        found = spectra_of(signal_of(magnitudes * phases, size, hop, count), size, hop)
        phases = found / np.maximum(np.abs(found), 1e-9)
    return signal_of(magnitudes * phases, size, hop, count)


@functools.cache
def mel_filters(rate_hz: int, size: int, bands: int, low_hz: float, high_hz: float) -> Float64:
    """Triangular filters of equal area on Slaney's mel scale, as librosa and HiFi-GAN have them -> (bands, size // 2 + 1)."""
    edges = _hz(np.linspace(_mel(low_hz), _mel(high_hz), bands + 2))
    bins = np.linspace(0.0, rate_hz / 2, size // 2 + 1)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.maximum(0.0, np.minimum(rise, fall)) * (2.0 / (edges[2:] - edges[:-2]))[:, None]


_LINEAR_HZ, _BREAK_MEL, _LOG_STEP = 200.0 / 3, 15.0, float(np.log(6.4)) / 27
"""Slaney's scale: linear below 1 kHz, logarithmic above."""


def _mel(hz: float) -> float:
    return hz / _LINEAR_HZ if hz < 1000.0 else _BREAK_MEL + float(np.log(hz / 1000.0)) / _LOG_STEP


def _hz(mels: Float64) -> Float64:
    return np.where(mels < _BREAK_MEL, mels * _LINEAR_HZ, 1000.0 * np.exp(_LOG_STEP * (mels - _BREAK_MEL)))


def topped(samples: Float32, other: Float32, from_hz: float, rate_hz: int) -> Float32:
    """``samples`` (N,) with what ``other`` (N or more) has from ``from_hz`` up.

    Formants that were moved down leave an empty band below 8 kHz; the recording's own hiss goes there.
    """
    size, hop = 512, 128
    spectra, top = spectra_of(samples, size, hop), spectra_of(other[: len(samples)], size, hop)
    first = int(from_hz / rate_hz * size)
    spectra[: len(top), first:] = top[: len(spectra), first:]
    return signal_of(spectra, size, hop, len(samples)).astype(np.float32)


def resampled(samples: Float32, from_hz: int, to_hz: int) -> Float32:
    """Samples (N,) -> (N * to_hz // from_hz,), flat up to the lower Nyquist frequency, by FFT.

    soxr and its like begin to fall 4 to 9 % below it: a copy that went through them and an original that did not would
    differ in their top 400 Hz, whatever the vocoder (docs/log.md).
    """
    if from_hz == to_hz:
        return samples
    divisor = int(np.gcd(from_hz, to_hz))
    down, up = from_hz // divisor, to_hz // divisor
    before = down * -(-256 // down)
    behind = before + -len(samples) % down
    mode = "reflect" if len(samples) > behind else "constant"
    wide = np.pad(samples.astype(np.float64), (before, behind), mode=mode)  # type: ignore[call-overload]
    count = len(wide) // down * up
    spectrum = np.fft.rfft(wide)
    kept = min(len(wide), count) // 2 + 1
    fast = np.fft.irfft(np.pad(spectrum[:kept], (0, count // 2 + 1 - kept)), count) * (count / len(wide))
    start = before // down * up
    return fast[start : start + len(samples) * to_hz // from_hz].astype(np.float32)
