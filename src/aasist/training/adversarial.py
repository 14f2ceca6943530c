"""Adversarial training: some rows of a batch are moved, within a bound, to where the model errs most (Madry et al., 2018).

Each row is attacked for itself, in the model as it would be used: batch norms take their running statistics and dropout
is off. So what is done to a row is a function of its samples, its label and its draws; neither of the rows beside it (its
partner in a pair among them), nor of how ranks share a batch; running statistics see what is trained on alone; and no
rank waits for another. Wong, Rice and Kolter and Madry et al. attack the training mode, where the rows of a batch move
each other's norms and dropout draws noise into the gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aasist.keys import RecipeError, key
from aasist.model.perturbation import FAST_STEP, REACH, ascended, radii, started
from aasist.session import BONAFIDE, SPOOF
from aasist.training.draws import Draws, Integers

Logits = Callable[[Tensor, Tensor | None], Tensor]
"""Waveforms (B, T) and band masks -> logits (B, 2)."""


@dataclass(frozen=True)
class Adversarial:
    """How a part of each batch is attacked (a section of a recipe)."""

    probability: float = key(
        0.0, "share of the rows that are perturbed; 0: adversarial training is off", low=0.0, high=1.0
    )
    kind: str = key(
        "fast",
        "fast: a random start and one step of the gradient's sign (Wong et al., ICLR 2020); pgd: several steps (Madry et al.,"
        " ICLR 2018)",
        choices=("fast", "pgd"),
    )
    pgd_steps: int = key(3, "of pgd; each costs a forward and a backward pass of the rows perturbed", low=1, high=100)
    snr_db: tuple[float, float] = key(
        (50.0, 70.0),
        "level of the row above the largest change of a sample, drawn evenly in dB, so the radius log-uniformly",
        unit="dB", low=0.0, high=120.0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        low, high = self.snr_db
        if low > high:
            raise RecipeError(f"adversarial.snr_db must go from low to high, got {low:g} to {high:g}")

    @property
    def wanted(self) -> bool:
        """Whether anything is attacked."""
        return self.probability > 0


@torch.enable_grad()
def attacked(
    recipe: Adversarial,
    logits_of: Logits,
    waveforms: Tensor,
    labels: Tensor,
    mask: Tensor | None,
    keys: Integers,
    *,
    scaled: Callable[[Tensor], Tensor] = lambda value: value,
) -> Tensor:
    """Waveforms (B, T) with some rows perturbed; the input stays as it was, and so do gradients of weights.

    ``labels`` (B,) 1 = bona fide, ``mask`` (B, bands) or None, ``keys`` (B,) of the rows' draws. What rises is the
    difference of the logits towards the wrong class: for two classes the cross-entropy rises with it, and its gradient
    vanishes nowhere, where that of cross-entropy does for a model that is sure. ``scaled`` makes it larger where small
    gradients would be zero (fp16). ``logits_of`` has to be in eval mode.
    """
    rows = np.flatnonzero(Draws(keys, "adversarial").fraction("happens") < recipe.probability)
    if not len(rows):
        return waveforms
    draws = Draws(keys[rows], "adversarial", waveforms.device)
    index = torch.from_numpy(rows).to(waveforms.device)
    clean, masked = waveforms.detach()[index], None if mask is None else mask[index]
    wrong = torch.where(labels[index] == BONAFIDE, -1.0, 1.0).to(clean.dtype)

    def ascent(perturbed: Tensor) -> Tensor:
        asked = perturbed.detach().requires_grad_()
        logits = logits_of(asked, masked)
        risen = (wrong * (logits[:, BONAFIDE] - logits[:, SPOOF])).sum()
        return torch.autograd.grad(scaled(risen), asked)[0]

    radius = radii(clean, draws.column("snr", recipe.snr_db))
    start = started(clean, radius, draws.uniform("start", clean.shape[1]))
    steps, step = (1, FAST_STEP) if recipe.kind == "fast" else (recipe.pgd_steps, REACH / recipe.pgd_steps)
    out = waveforms.detach().clone()
    out[index] = ascended(clean, radius, ascent, start=start, steps=steps, step=step)
    return out
