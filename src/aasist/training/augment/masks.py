"""Masks: neighbouring sinc bands, and spans of time, taken away from the model in training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aasist.keys import key
from aasist.session import SAMPLE_RATE
from aasist.training.draws import Draws, Integers

FADE_SECONDS = 0.005
"""Of a masked span's ends: no click."""


@dataclass(frozen=True)
class BandMask:
    """Neighbouring sinc filters silenced (Jung et al., ICASSP 2022; there one mask for a whole batch, here one a row)."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    fewest: int = key(0, "Filters in a mask, at the least", unit="filters", low=0, high=512)
    most: int = key(19, "Filters in a mask, at the most", unit="filters", low=0, high=512)


@dataclass(frozen=True)
class TimeMask:
    """One span faded out (Park et al., SpecAugment, Interspeech 2019, in the waveform)."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    seconds: tuple[float, float] = key((0.1, 0.6), "Length of the span", unit="s", low=0.01, high=10.0)


def masks_of(recipe: BandMask, keys: Integers, bands: int) -> Tensor | None:
    """Keys (B,) -> masks (B, bands) of 0 and 1 on the CPU, or None where nothing is masked.

    A mask's width is drawn evenly from ``fewest`` to ``most``, then its place among those where it fits.
    """
    draws = Draws(keys, "bands")
    width = np.minimum(draws.integer("width", recipe.fewest, recipe.most), bands)
    width[draws.fraction("happens") >= recipe.probability] = 0
    if not width.any():
        return None
    first = np.minimum((draws.fraction("first") * (bands - width + 1)).astype(np.int64), bands - width)[:, None]
    index = np.arange(bands)
    masked = (index >= first) & (index < first + width[:, None])
    return torch.from_numpy((~masked).astype(np.float32))


def time_masked(waveforms: Tensor, draws: Draws, recipe: TimeMask) -> Tensor:
    """Rows (n, T) with a span of zeros each, its ends faded; it may reach beyond either end of the row."""
    samples = waveforms.shape[1]
    half = draws.column("seconds", recipe.seconds) * (SAMPLE_RATE / 2)
    centre = draws.column("centre", (0.0, float(samples)))
    distance = (torch.arange(samples, device=waveforms.device, dtype=torch.float32) - centre).abs_()
    return waveforms * ((distance - half) / (FADE_SECONDS * SAMPLE_RATE)).clamp_(0, 1)
