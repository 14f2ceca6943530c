"""Coding without a codec: mu-law, fewer bits, and packets that were lost."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aasist.keys import key
from aasist.session import SAMPLE_RATE
from aasist.training.augment.bands import windowed_sinc
from aasist.training.augment.spectra import QUIETEST, filter_size, peak, spectrum, waveform, weighted
from aasist.training.draws import Draws

_MU = 255.0
_TELEPHONE_HZ = 8_000.0


@dataclass(frozen=True)
class MuLaw:
    """Mu-law companding to 8 bits (the formula of ITU-T G.711, without its straight segments)."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    peak: tuple[float, float] = key((0.1, 1.0), "Level at which a row is coded: its peak against full scale",
                                    low=0.001, high=1.0)  # fmt: skip
    narrow: float = key(1.0, "Share of them that are coded at 8 kHz, as telephones are", low=0.0, high=1.0)


@dataclass(frozen=True)
class Quantise:
    """Fewer bits, without dither."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    bits: tuple[float, float] = key((8.0, 14.0), "Between minus and plus the peak", unit="bits", low=2.0, high=24.0)


@dataclass(frozen=True)
class Gaps:
    """Lost packets: spans that are silent."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    spans: tuple[int, int] = key((1, 5), "How many", low=1, high=50)
    seconds: tuple[float, float] = key((0.01, 0.06), "Length of each", unit="s", low=0.001, high=2.0)


def companded(waveforms: Tensor, draws: Draws, recipe: MuLaw) -> Tensor:
    """Rows (n, T) coded at a drawn level and decoded, as loud as before."""
    narrow = draws.fraction("narrow") < recipe.narrow
    scale = draws.column("peak", recipe.peak) / peak(waveforms).clamp_min_(QUIETEST)
    if narrow.all():
        return _at_8_khz(waveforms, scale)
    out = torch.empty_like(waveforms)
    for chosen, coded in ((np.flatnonzero(narrow), _at_8_khz), (np.flatnonzero(~narrow), _at_level)):
        if len(chosen):
            rows = torch.from_numpy(chosen).to(waveforms.device)
            out[rows] = coded(waveforms[rows], scale[rows])
    return out


def _at_level(waveforms: Tensor, scale: Tensor) -> Tensor:
    """Rows (n, T) coded ``scale`` (n, 1) times as loud, as loud as before."""
    return mu_law(waveforms * scale).div_(scale)


def _at_8_khz(waveforms: Tensor, scale: Tensor) -> Tensor:
    """Every second sample behind a low-pass coded, and the same low-pass over what comes back with zeros between.

    Both in the spectrum: of every second sample it is folded at its middle, q, and with zeros between it is mirrored.
    """
    size = filter_size(waveforms.shape[1])
    gain, q = _telephone_gain(size, waveforms.device), size // 4
    wide = weighted(spectrum(waveforms, size), gain)
    folded = wide[:, q:].flip(1).conj_physical_().add_(wide[:, : q + 1])
    narrow = waveform(folded, size // 2, size // 2)
    received = spectrum(mu_law(narrow.mul_(0.5 * scale)).div_(scale), size // 2)
    mirrored = torch.cat([received, received[:, :-1].flip(1).conj()], dim=1)
    return waveform(weighted(mirrored, 2.0 * gain), size, waveforms.shape[1])


@functools.lru_cache(8)
def _telephone_gain(size: int, device: torch.device) -> Tensor:
    """The low-pass (1, size // 2 + 1) between 16 and 8 kHz."""
    return windowed_sinc(np.array([_TELEPHONE_HZ]), np.array([32.0]), size, device)


def mu_law(waveforms: Tensor) -> Tensor:
    """Waveforms in [-1, 1] to 8 bits and back; what is louder is clipped."""
    code = waveforms.abs().clamp_max_(1.0).mul_(_MU).log1p_().mul_(127.0 / math.log1p(_MU)).round_()
    return code.mul_(math.log1p(_MU) / 127.0).expm1_().div_(_MU).copysign_(waveforms)


def quantised(waveforms: Tensor, draws: Draws, recipe: Quantise) -> Tensor:
    """Rows (n, T) rounded to 2 ** (bits - 1) steps from zero to the peak."""
    step = peak(waveforms).clamp_min_(QUIETEST) / draws.on_device(np.exp2(draws.between("bits", recipe.bits) - 1))
    return torch.round(waveforms / step) * step


def gapped(waveforms: Tensor, draws: Draws, recipe: Gaps) -> Tensor:
    """Rows (n, T) with hard-edged spans of zeros, anywhere; they may overlap."""
    samples, most = waveforms.shape[1], recipe.spans[1]
    count = draws.integer("spans", *recipe.spans)
    length = np.stack([draws.between(f"seconds {span}", recipe.seconds) for span in range(most)], 1) * SAMPLE_RATE
    length = np.rint(length) * (np.arange(most) < count[:, None])
    first = np.floor(np.stack([draws.fraction(f"start {span}") for span in range(most)], 1) * samples)
    ends = np.minimum(np.stack([first, first + length]), samples).astype(np.int64)
    begin, end = torch.from_numpy(ends).to(waveforms.device)
    # How many spans a sample lies in: one more from each beginning on, one less from each end.
    steps = torch.zeros(len(waveforms), samples + 1, dtype=torch.int32, device=waveforms.device)
    one = torch.ones_like(begin, dtype=torch.int32)
    within = steps.scatter_add_(1, begin, one).scatter_add_(1, end, -one).cumsum(1, dtype=torch.int32)
    return waveforms.masked_fill(within[:, :samples] > 0, 0.0)
