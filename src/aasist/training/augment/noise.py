"""Noise and music added at a ratio: recorded, or made with a slope of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aasist.keys import key
from aasist.training.augment.bank import NoiseBank
from aasist.training.augment.spectra import added, fft_size, hertz, waveform, weighted
from aasist.training.draws import Draws

FLAT_BELOW_HZ = 100.0
"""Coloured noise rises towards low frequencies down to here."""


@dataclass(frozen=True)
class Noise:
    """Stationary or recorded noise."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    snr_db: tuple[float, float] = key((8.0, 40.0), "Speech above noise, both over the whole row", unit="dB",
                                      low=-20.0, high=100.0)  # fmt: skip
    recorded: float = key(0.5, "Share of it that is recorded, where the bank has any", low=0.0, high=1.0)
    slope_db: tuple[float, float] = key((0.0, 6.0), "Fall of noise that is made: 0 is white, 3 pink, 6 brown",
                                        unit="dB an octave", low=-12.0, high=12.0)  # fmt: skip


@dataclass(frozen=True)
class Music:
    """Music behind the speech."""

    probability: float = key(0.0, "Share of the rows that it happens to (needs music in the bank)", low=0.0, high=1.0)
    snr_db: tuple[float, float] = key((5.0, 25.0), "Speech above music, both over the whole row", unit="dB",
                                      low=-20.0, high=100.0)  # fmt: skip


def noisy(waveforms: Tensor, draws: Draws, recipe: Noise, bank: NoiseBank | None) -> Tensor:
    """Rows (n, T) with noise; silence stays silence, and sums beyond full scale are left so."""
    samples = waveforms.shape[1]
    recorded = draws.fraction("recorded") < (recipe.recorded if bank is not None and bank.count("noise") else 0.0)
    noise = torch.empty_like(waveforms)
    for chosen, is_recorded in ((np.flatnonzero(recorded), True), (np.flatnonzero(~recorded), False)):
        if len(chosen):
            some = draws.of(chosen)
            if is_recorded:
                assert bank is not None
                part = bank.excerpts("noise", some, samples)
            else:
                part = coloured(some, samples, some.column("slope", recipe.slope_db))
            noise[torch.from_numpy(chosen).to(waveforms.device)] = part
    return added(waveforms, noise, draws.ratio("snr", recipe.snr_db))


def with_music(waveforms: Tensor, draws: Draws, recipe: Music, bank: NoiseBank) -> Tensor:
    """Rows (n, T) with an excerpt of music each."""
    music = bank.excerpts("music", draws, waveforms.shape[1])
    return added(waveforms, music, draws.ratio("snr", recipe.snr_db))


def coloured(draws: Draws, samples: int, slope_db: Tensor) -> Tensor:
    """Noise (n, samples) whose power falls by ``slope_db`` (n, 1) an octave above `FLAT_BELOW_HZ`; its level is arbitrary.

    Made as a spectrum and transformed once: normal in time too.
    """
    size = fft_size(samples)
    octaves = torch.log2(hertz(size, draws.device).clamp_min_(FLAT_BELOW_HZ) / FLAT_BELOW_HZ)
    parts = draws.normal("noise", size + 2).reshape(len(draws), -1, 2)
    gain = torch.exp(octaves * (slope_db * (-np.log(10) / 20)))
    return waveform(weighted(torch.view_as_complex(parts), gain), size, samples)
