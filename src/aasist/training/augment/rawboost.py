"""RawBoost: convolutive, impulsive and stationary noise as telephony makes them (Tak et al., ICASSP 2022).

Written from the paper; parameters and their ranges are its own. Filters are finite, of 10 to 100 coefficients, several
band-stops in a row; they have no delay here, and rows are filtered in blocks (overlap-save).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aasist.keys import key
from aasist.session import SAMPLE_RATE
from aasist.training.augment.spectra import added, mean, peak, spectrum, waveform, weighted
from aasist.training.draws import Draws

_FORMS = {1: (1,), 2: (2,), 3: (3,), 4: (1, 2, 3), 5: (1, 2), 6: (1, 3), 7: (2, 3)}
"""Series of the three algorithms by the number of the form."""

PARALLEL = 8
"""The form in which the first two algorithms are applied side by side and added."""


@dataclass(frozen=True)
class RawBoost:
    """RawBoost's algorithms, in series or in parallel."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    form: int = key(
        5, "1 convolutive, 2 impulsive, 3 stationary noise; in series: 4 all, 5 is 1 and 2, 6 is 1 and 3, 7 is 2 and 3; "
        "8 is 1 and 2 in parallel", low=1, high=8,
    )  # fmt: skip
    notches: int = key(5, "Band-stops of each filter", low=1, high=20)
    centre_hz: tuple[float, float] = key((20.0, 8_000.0), "Centre of each", unit="Hz", low=0.0, high=8_000.0)
    width_hz: tuple[float, float] = key((100.0, 1_000.0), "Width of each", unit="Hz", low=1.0, high=8_000.0)
    coefficients: tuple[int, int] = key((10, 100), "Coefficients of each, made odd", low=3, high=1_000)
    gain_db: tuple[float, float] = key((0.0, 0.0), "Of the linear filter and of that of stationary noise", unit="dB",
                                       low=-60.0, high=20.0)  # fmt: skip
    orders: int = key(
        5, "Powers of the signal that are filtered and added, each by a filter of its own", low=1, high=10
    )
    order_gain_db: tuple[float, float] = key((-20.0, -5.0), "Of the filters of all powers but the first", unit="dB",
                                             low=-80.0, high=20.0)  # fmt: skip
    impulse_share: float = key(0.1, "Share of the samples that impulses meet, at the most", low=0.0, high=1.0)
    impulse_gain: float = key(2.0, "Of impulses, against the sample they meet", low=0.0, high=100.0)
    snr_db: tuple[float, float] = key((10.0, 40.0), "Speech above stationary noise", unit="dB", low=-20.0, high=100.0)


def boosted(waveforms: Tensor, draws: Draws, recipe: RawBoost) -> Tensor:
    """Rows (n, T) through the algorithms of the recipe's form; rows beyond full scale are scaled to it first."""
    waveforms = _within_full_scale(waveforms)
    if recipe.form == PARALLEL:
        both = convolutive(waveforms, draws, recipe) + impulsive(waveforms, draws, recipe)
        return _within_full_scale(both)
    for algorithm in _FORMS[recipe.form]:
        waveforms = (convolutive, impulsive, stationary)[algorithm - 1](waveforms, draws, recipe)
    return waveforms


def convolutive(waveforms: Tensor, draws: Draws, recipe: RawBoost) -> Tensor:
    """Algorithm 1, linear and non-linear convolutive noise (eq. 1): a Hammerstein model, the powers of the signal
    filtered and added. Rows (n, T) lose their mean, and what exceeds full scale is scaled to it."""
    blocks = Blocks(waveforms.shape[1], recipe)
    total = weighted(blocks.spectra(waveforms), notch_gains(draws, "order 1", recipe, recipe.gain_db, blocks.size))
    power = waveforms
    for order in range(2, recipe.orders + 1):
        power = power * waveforms
        gains = notch_gains(draws, f"order {order}", recipe, recipe.order_gain_db, blocks.size)
        total += weighted(blocks.spectra(power), gains)
    out = blocks.waveforms(total, len(waveforms))
    return _within_full_scale(out - mean(out))


def impulsive(waveforms: Tensor, draws: Draws, recipe: RawBoost) -> Tensor:
    """Algorithm 2, impulsive signal-dependent noise (eq. 2): some samples x become x + g u v x, u and v in (-1, 1).

    One draw decides whether a sample is met, and what is left of its digits gives both factors.
    """
    share = draws.column("impulse share", (0.0, recipe.impulse_share))
    drawn = draws.uniform("impulses", waveforms.shape[1]).div_(share.clamp_min_(1e-6))
    fine = (drawn * 1_024).frac_()
    met = drawn < 1
    change = drawn.mul_(2).sub_(1).mul_(fine.mul_(2).sub_(1)).mul_(recipe.impulse_gain).mul_(waveforms)
    return _within_full_scale(waveforms + change.masked_fill_(~met, 0.0))


def stationary(waveforms: Tensor, draws: Draws, recipe: RawBoost) -> Tensor:
    """Algorithm 3, stationary signal-independent noise (eq. 3): white noise, filtered, at a signal-to-noise ratio."""
    samples = waveforms.shape[1]
    blocks = Blocks(samples, recipe)
    gains = notch_gains(draws, "stationary", recipe, recipe.gain_db, blocks.size)
    noise = blocks.waveforms(weighted(blocks.spectra(draws.normal("stationary", samples)), gains), len(draws))
    return added(waveforms, noise, draws.ratio("snr", recipe.snr_db))


def notch_gains(draws: Draws, name: str, recipe: RawBoost, gain_db: tuple[float, float], size: int) -> Tensor:
    """Gain (n, 1, size // 2 + 1) of each row's filter: its band-stops multiplied, the largest magnitude at ``gain_db``."""
    reach = recipe.coefficients[1] // 2
    steps = torch.arange(reach + 1, device=draws.device, dtype=torch.float32)
    gains = torch.ones(len(draws), size // 2 + 1, device=draws.device)
    for notch in range(recipe.notches):
        centre = draws.between(f"{name} centre {notch}", recipe.centre_hz)
        width = draws.between(f"{name} width {notch}", recipe.width_hz)
        low = draws.on_device(np.maximum(centre - width / 2, 0.0) * 2 / SAMPLE_RATE)
        high = draws.on_device(np.minimum(centre + width / 2, SAMPLE_RATE / 2) * 2 / SAMPLE_RATE)
        half = draws.on_device((draws.integer(f"{name} coefficients {notch}", *recipe.coefficients) // 2).astype(float))
        # An ideal band-stop is an impulse less the difference of two low-passes; then a Hamming window.
        ideal = low * torch.sinc(low * steps) - high * torch.sinc(high * steps)
        ideal[:, 0] += 1.0
        side = ideal * (0.54 + 0.46 * torch.cos(torch.pi * steps / half)) * (steps <= half)
        kernel = torch.zeros(len(draws), size, device=draws.device)
        kernel[:, : reach + 1] = side
        kernel[:, size - reach :] = side[:, 1:].flip(1)
        gains *= spectrum(kernel, size).real
    scale = draws.ratio(f"{name} gain", gain_db)
    return (gains * (scale / peak(gains).clamp_min_(1e-6))).unsqueeze(1)


class Blocks:
    """Rows (n, T) cut into overlapping blocks, for filters without delay that reach so far to either side."""

    def __init__(self, samples: int, recipe: RawBoost) -> None:
        self.samples, self.reach = samples, recipe.notches * (recipe.coefficients[1] // 2)
        self.size = 1 << max(6, (8 * self.reach - 1).bit_length())
        self.hop = self.size - 2 * self.reach
        self.count = -(-samples // self.hop)

    def spectra(self, waveforms: Tensor) -> Tensor:
        """Rows (n, T) -> (n, blocks, size // 2 + 1)."""
        behind = self.count * self.hop + self.reach - self.samples
        padded = torch.nn.functional.pad(waveforms, (self.reach, behind))
        blocks = padded.unfold(1, self.size, self.hop).reshape(-1, self.size)
        return spectrum(blocks, self.size).view(len(waveforms), self.count, -1)

    def waveforms(self, spectra: Tensor, rows: int) -> Tensor:
        """Filtered spectra (n, blocks, size // 2 + 1) -> rows (n, T)."""
        blocks = waveform(spectra.flatten(0, 1), self.size, self.size)[:, self.reach : self.reach + self.hop]
        return blocks.reshape(rows, -1)[:, : self.samples]


def _within_full_scale(waveforms: Tensor) -> Tensor:
    """Rows (n, T) whose peak lies beyond full scale, scaled to it."""
    return waveforms / peak(waveforms).clamp_min_(1.0)
