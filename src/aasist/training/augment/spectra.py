"""Rows of waveforms to spectra and back, in sizes at which the transform is fast; levels of rows.

What becomes of a row is the same to the last bit whatever stands beside it, and however many rows do. On the CPU that
takes two precautions. A transform or a sum of one row alone is computed in another way than of several and differs in the
last bit: a lone row goes through them twice. And the end of an array goes through other instructions than the rest,
which for products of complex numbers, ``sigmoid`` and ``pow`` (not for ``exp``, ``cos``, ``lerp``: measured) give another
last bit: those are not used on rows.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aasist.session import SAMPLE_RATE

GUARD_SAMPLES = 512
"""Zeros behind a waveform when it is filtered: what rings beyond its ends stays there instead of coming round."""

QUIETEST = 1e-9
"""Root mean square below which a row is taken for silence."""


def fft_size(samples: int) -> int:
    """The smallest size of the form 2^k, 9/8, 5/4 or 3/2 of it (k > 3) that holds so many samples."""
    power = 1 << max(4, samples.bit_length() - 1)
    return next(size for size in (power, power * 9 // 8, power * 5 // 4, power * 3 // 2, 2 * power) if size >= samples)


def filter_size(samples: int) -> int:
    """Size at which waveforms of so many samples are filtered."""
    return fft_size(samples + GUARD_SAMPLES)


def spectrum(waveforms: Tensor, size: int) -> Tensor:
    """Waveforms (n, T), with zeros behind them to ``size`` -> (n, size // 2 + 1) complex."""
    spectra: Tensor = torch.fft.rfft(_never_alone(waveforms), size)[: len(waveforms)]
    return spectra


def waveform(spectra: Tensor, size: int, samples: int) -> Tensor:
    """Spectra (n, size // 2 + 1) -> the first ``samples`` of their waveforms (n, samples)."""
    waveforms: Tensor = torch.fft.irfft(_never_alone(spectra), size)[: len(spectra), :samples]
    return waveforms


def weighted(spectra: Tensor, gain: Tensor) -> Tensor:
    """Spectra (n, ..., F) times a real gain (..., F), in place."""
    out: Tensor = spectra.mul_(gain)
    return out


def product(one: Tensor, other: Tensor) -> Tensor:
    """Spectra (n, F) times others."""
    real = one.real * other.real - one.imag * other.imag
    return torch.complex(real, one.real * other.imag + one.imag * other.real)


def hertz(size: int, device: torch.device) -> Tensor:
    """Frequencies (size // 2 + 1,) of a spectrum."""
    return torch.arange(size // 2 + 1, device=device, dtype=torch.float32) * (SAMPLE_RATE / size)


def filtered(waveforms: Tensor, gain: Tensor, size: int) -> Tensor:
    """Waveforms (n, T) through a filter without delay, its real gain (n or 1, size // 2 + 1)."""
    return waveform(weighted(spectrum(waveforms, size), gain), size, waveforms.shape[1])


def rms(waveforms: Tensor) -> Tensor:
    """Root mean square (n, 1) of rows (n, T)."""
    norms: Tensor = torch.linalg.vector_norm(_never_alone(waveforms), dim=1, keepdim=True)[: len(waveforms)]
    return norms.div_(waveforms.shape[1] ** 0.5)


def mean(waveforms: Tensor) -> Tensor:
    """Mean (n, 1) of rows (n, T)."""
    means: Tensor = _never_alone(waveforms).mean(dim=1, keepdim=True)[: len(waveforms)]
    return means


def as_loud_as(waveforms: Tensor, model: Tensor) -> Tensor:
    """Rows (n, T) scaled to the root mean square of those of ``model`` (n, T); silence stays silence."""
    return waveforms * (rms(model) / rms(waveforms).clamp_min_(QUIETEST))


def added(waveforms: Tensor, other: Tensor, ratio: Tensor) -> Tensor:
    """``other`` (n, T) added so that the rows are ``ratio`` (n, 1) times as loud, both taken over the whole row."""
    scale = rms(waveforms) / (rms(other).clamp_min_(QUIETEST) * ratio)
    return waveforms + other * scale


def peak(waveforms: Tensor) -> Tensor:
    """Largest magnitude (n, 1) of rows (n, T)."""
    return waveforms.abs().amax(dim=1, keepdim=True)


def _never_alone(rows: Tensor) -> Tensor:
    return rows.repeat(2, 1) if len(rows) == 1 else rows
