"""Speed: played faster or slower, pitch and formants moving along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aasist.keys import key
from aasist.training.augment.spectra import GUARD_SAMPLES, spectrum, waveform, weighted
from aasist.training.draws import Draws, Integers

_ROLL_OFF = 0.03
"""Share of the band that is kept over which its upper end falls to nothing."""


@dataclass(frozen=True)
class Speed:
    """Speed perturbation (Ko et al., Interspeech 2015)."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    factor: tuple[float, float] = key((0.9, 1.1), "Times as fast, to the nearest of some 14 steps", low=0.5, high=2.0)


def sped(waveforms: Tensor, draws: Draws, recipe: Speed) -> Tensor:
    """Rows (n, T) resampled to be heard ``factor`` times as fast, T samples again.

    A spectrum of one size is read back in another: exact for what lies below both Nyquist frequencies. Sizes are
    products of 2, 3 and 5, at which the transform is fast, so factors come in steps of 3 % at the most. Played
    faster, a row ends early and begins again, as a short recording is repeated; played slower, its end is cut off.
    """
    samples = waveforms.shape[1]
    size = smooth_sizes(samples + GUARD_SAMPLES, 2 * samples + 4 * GUARD_SAMPLES)[0]
    factors = draws.between("factor", recipe.factor)
    low, high = min(recipe.factor), max(recipe.factor)
    sizes = smooth_sizes(int(np.ceil(size / high)), int(size / low))
    if not len(sizes):
        sizes = np.array([size])
    read_in = sizes[np.abs(sizes[None, :] - size / factors[:, None]).argmin(axis=1)]
    spectra = spectrum(waveforms, int(size))
    out = torch.empty_like(waveforms)
    for other in np.unique(read_in).tolist():
        rows = torch.from_numpy(np.flatnonzero(read_in == other)).to(waveforms.device)
        bins = min(other, int(size)) // 2 + 1
        part = spectra[rows, :bins]
        taper = _taper(bins, waveforms.device)
        weighted(part[:, -len(taper) :], taper)
        heard = min(samples, max(1, round(samples * other / int(size))))
        whole = waveform(part, other, heard).mul_(other / size)
        out[rows] = whole if heard == samples else whole.repeat(1, -(-samples // heard))[:, :samples]
    return out


def smooth_sizes(low: int, high: int) -> Integers:
    """Even products of powers of 2, 3 and 5 between two bounds, both included, in order."""
    powers = [np.array([base**exponent for exponent in range(40) if base**exponent <= high]) for base in (2, 3, 5)]
    products = np.multiply.outer(np.multiply.outer(powers[0][1:], powers[1]), powers[2]).ravel()
    return np.sort(products[(products >= low) & (products <= high)]).astype(np.int64)


def _taper(bins: int, device: torch.device) -> Tensor:
    """What the last of so many bins are weighted by: a fall from 1 to 0 in half a cosine."""
    width = max(1, int(_ROLL_OFF * bins))
    return 0.5 + 0.5 * torch.cos(torch.linspace(0, torch.pi, width, device=device))
