"""Levels: gain, clipping and polarity."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from aasist.keys import key
from aasist.training.draws import Draws

EVERY = 8
"""Of so many samples one is looked at to find the level at which a share of them is clipped."""


@dataclass(frozen=True)
class Gain:
    """Another level; beyond full scale it is clipped, as converters do."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    gain_db: tuple[float, float] = key((-20.0, 6.0), "Gain", unit="dB", low=-80.0, high=40.0)


@dataclass(frozen=True)
class Clip:
    """Saturation of the loudest samples."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    share: tuple[float, float] = key((0.0005, 0.03), "Share of the samples that are cut off", low=0.0, high=0.5)


@dataclass(frozen=True)
class Polarity:
    """Upside down."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)


def amplified(waveforms: Tensor, draws: Draws, recipe: Gain) -> Tensor:
    """Rows (n, T) at another level; those that were beyond full scale before may be as loud as they were."""
    top = waveforms.abs().amax(dim=1, keepdim=True).clamp_min_(1.0)
    gain = draws.ratio("gain", recipe.gain_db)
    return torch.clamp(waveforms * gain, -top, top)


def clipped(waveforms: Tensor, draws: Draws, recipe: Clip) -> Tensor:
    """Rows (n, T) cut off where a drawn share of their samples lies beyond; the share is found on every eighth. Rows in
    which fewer samples than that are not 0 stay as they are."""
    magnitudes = waveforms[:, ::EVERY].abs()
    count = magnitudes.shape[1]
    most = min(count, int(recipe.share[1] * count) + 1)
    loudest = magnitudes.topk(most, dim=1).values
    index = (draws.between("share", recipe.share) * count).astype("int64").clip(0, most - 1)
    top = loudest.gather(1, torch.from_numpy(index).to(waveforms.device).unsqueeze(1))
    top = top.masked_fill(top == 0, torch.inf)
    return torch.clamp(waveforms, -top, top)


def inverted(waveforms: Tensor, draws: Draws, recipe: Polarity) -> Tensor:
    """Rows (n, T) times -1."""
    return -waveforms
