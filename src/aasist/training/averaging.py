"""Averages of the weights: of the best epochs, of the last ones (SWA), or running (EMA)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from aasist.keys import key
from aasist.model.aasist import Aasist


@dataclass(frozen=True)
class Averaging:
    """Which weights are averaged into ``averaged.safetensors``."""

    kind: str = key(
        "best",
        "best: each epoch whose dev EER is as good as the best so far and within best_below, as published; swa: each epoch"
        " of the last part; ema: running, after each step, and then scored on dev in place of the last weights; none",
        choices=("best", "swa", "ema", "none"),
    )
    best_below: float | None = key(
        0.01,
        "of best: an epoch counts by a dev EER no higher than this; until one has, those that are as good as the best so"
        " far count all the same; none: no such bound",
        low=0.0,
        high=1.0,
    )
    decay: float = key(0.999, "of ema; step n takes n / (n + 10) where that is less", low=0.0, high=1.0)
    swa_from: float = key(0.75, "of swa: the share of the epochs after which it begins", low=0.0, high=0.999)
    norm_batches: int | None = key(
        None, "from which the batch norms of best and swa are estimated anew; none: an epoch", unit="batches", low=1
    )


class Average:
    """A mean of models, number by number: of ``count`` with equal weights, or running."""

    def __init__(self, model: Aasist) -> None:
        self.count = 0
        self.tensors = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}

    def after_epoch(self, keys: Averaging, model: Aasist, *, eer: float, best_eer: float | None, done: float) -> None:
        """Take in an epoch, by its dev EER and the ``best_eer`` before it, with a share ``done`` of the epochs behind.

        The published code begins with a best dev EER of 1 %: only what comes to that is averaged, and where nothing does
        the last weights are its result. Here the average is then that of the best epochs whatever their EER; the first
        that comes to ``best_below`` begins it anew.
        """
        if keys.kind == "swa" and done > keys.swa_from:
            self.add(model)
        if keys.kind == "best" and (best_eer is None or eer <= best_eer):
            if best_eer is not None and keys.best_below is not None and eer <= keys.best_below < best_eer:
                self.count = 0
            self.add(model)

    def add(self, model: Aasist) -> None:
        """One more model, with the weight of each before it."""
        self.count += 1
        self._towards(model, 1 / self.count)

    def follow(self, model: Aasist, decay: float) -> None:
        """The running mean after one more step: what was weighs ``decay``, less in the first steps."""
        self.count += 1
        self._towards(model, 1 - min(decay, self.count / (self.count + 10)))

    @torch.no_grad()
    def _towards(self, model: Aasist, share: float) -> None:
        for name, new in model.state_dict().items():
            kept = self.tensors[name]
            if kept.dtype.is_floating_point and share < 1:
                kept.lerp_(new, share)
            else:
                kept.copy_(new)

    def put_into(self, model: Aasist) -> Aasist:
        """``model`` with the averaged weights."""
        model.load_state_dict(self.tensors)
        return model


def norms_of(model: nn.Module) -> list[_BatchNorm]:
    """The batch norms of a model, in order."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def estimate_norms(model: nn.Module, batches: Iterable[tuple[Tensor, Tensor | None]]) -> None:
    """Means and variances of the batch norms of a model or a form of it, anew and in place, over batches of waveforms (B, T) and band masks.

    What averaged weights need before they are used: the statistics of their parts belong to other weights (Izmailov et
    al., UAI 2018). A norm that nothing goes through stays as it is.
    """
    norms = norms_of(model)
    momenta, kept = [norm.momentum for norm in norms], [_statistics(norm) for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    model.train()
    with torch.no_grad():
        for waveforms, mask in batches:
            model(waveforms, mask)
    model.eval()
    for norm, momentum, statistics in zip(norms, momenta, kept, strict=True):
        norm.momentum = momentum
        if norm.num_batches_tracked is not None and not int(norm.num_batches_tracked):
            norm.load_state_dict(statistics, strict=False)


def _statistics(norm: _BatchNorm) -> dict[str, Tensor]:
    return {name: buffer.clone() for name, buffer in norm.named_buffers()}
