"""Adversarial perturbations: what, added to a waveform within a bound of level, moves a score the furthest.

The bound is a ball of the maximum norm: no sample moves by more than a radius. The radius is said as a ratio in dB, the
waveform's own level (root mean square) above it. A perturbation that is at the bound in every sample has that ratio of
signal to perturbation; all others are weaker.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Ascent = Callable[[Tensor], Tensor]
"""Waveforms (B, T) -> the gradient (B, T) of what is to rise, by each waveform alone."""

FAST_STEP = 1.25
"""Radii that the one step goes behind a random start (Wong, Rice and Kolter, ICLR 2020)."""

REACH = 2.5
"""Radii that all steps of PGD go together, so that an edge is reached from any start (Madry et al., ICLR 2018)."""


def radii(waveforms: Tensor, snr_db: Tensor | float) -> Tensor:
    """Waveforms (B, T) and how far their level lies above the radius, in dB, one number or (B, 1) -> radii (B, 1).

    Silence has a radius of 0, so that nothing is added to it.
    """
    level = waveforms.detach().square().mean(dim=1, keepdim=True).sqrt()
    ratio = torch.as_tensor(snr_db, dtype=level.dtype, device=level.device)
    return level * 10 ** (-ratio / 20)


def within(perturbed: Tensor, waveforms: Tensor, radius: Tensor) -> Tensor:
    """``perturbed`` (B, T), taken back into the ball of ``radius`` (B, 1) around ``waveforms`` (B, T).

    And to full scale, which no file goes beyond; samples that lie beyond it already may stay where they are.
    """
    low = torch.maximum(waveforms - radius, waveforms.clamp_max(-1.0))
    high = torch.minimum(waveforms + radius, waveforms.clamp_min(1.0))
    return torch.minimum(torch.maximum(perturbed, low), high)


def climbed(perturbed: Tensor, waveforms: Tensor, radius: Tensor, gradient: Tensor, step: float) -> Tensor:
    """One step of ``step`` radii along the sign of ``gradient`` (B, T), within the ball (Goodfellow, Shlens and Szegedy,
    ICLR 2015).

    A gradient that is not a number moves nothing: in half precision some overflow.
    """
    return within(perturbed + step * radius * torch.nan_to_num(gradient).sign(), waveforms, radius)


def started(waveforms: Tensor, radius: Tensor, uniform: Tensor) -> Tensor:
    """A random start in the ball, from draws ``uniform`` (B, T) in (0, 1)."""
    return within(waveforms + (2 * uniform - 1) * radius, waveforms, radius)


def ascended(waveforms: Tensor, radius: Tensor, ascent: Ascent, *, start: Tensor, steps: int, step: float) -> Tensor:
    """Projected gradient ascent: ``start`` (B, T) after ``steps`` steps of ``step`` radii -> (B, T), in the ball."""
    perturbed = start
    for _ in range(steps):
        perturbed = climbed(perturbed, waveforms, radius, ascent(perturbed), step)
    return perturbed
