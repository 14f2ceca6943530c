"""Structured pruning of the residual encoder: whole channels leave the tensors, those first that matter least for the work
that they cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from aasist.errors import ModelError
from aasist.export.channels import Kept, narrower, thinned, width_of
from aasist.export.importance import Importance
from aasist.model.aasist import Aasist
from aasist.model.cost import encoder_gflop
from aasist.recipe import Architecture


@dataclass(frozen=True)
class Pruned:
    """A model without the channels that were to leave, in eval mode, and the encoder's work before and after, in GFLOP per
    64,600 samples."""

    model: Aasist
    gflop_before: float
    gflop_after: float

    @property
    def removed(self) -> float:
        """Share of the encoder's work that is gone."""
        return 1 - self.gflop_after / self.gflop_before


def prune(
    model: Aasist,
    remove: float,
    importance: Callable[[Aasist], Importance],
    *,
    relative: bool = False,
    multiple: int = 1,
    rounds: int = 1,
) -> Pruned:
    """``model`` without at least the share ``remove`` of its encoder's work, in (0, 1).

    ``importance`` is asked once a round, of the model as it is by then; each round removes an equal part of the work. Of
    the layers that it names, widths come out as multiples of ``multiple``, or as they were. ``relative``: importances of
    two layers have no common scale; each counts as a share of its layer's, what has left not included (Lee et al., ICLR
    2021).

    The share is of work and not of channels or weights, because work is what a window costs: a channel of the first
    blocks, where maps are long, takes many times what one of the last does.

    Raises ``ModelError`` ``prune``: nothing can leave; so much would leave a layer without a channel (which, and how much
    would not); ``ValueError`` for a share that is none.
    """
    if not 0 < remove < 1:
        raise ValueError(f"remove must be a share in (0, 1), got {remove}")
    before = encoder_gflop(model.architecture)
    for number in range(1, rounds + 1):
        target = before * (1 - remove * number / rounds)
        if encoder_gflop(model.architecture) > target:
            measured = importance(model)
            _require_reachable(model.architecture, measured, remove, before, multiple)
            kept = chosen(model.architecture, measured, target, relative=relative, multiple=multiple)
            model = thinned(model, kept)
    return Pruned(model, before, encoder_gflop(model.architecture))


def chosen(
    architecture: Architecture, importance: Importance, target_gflop: float, *, relative: bool, multiple: int
) -> Kept:
    """The channels that stay when the encoder takes ``target_gflop`` or less, of the layers that lose any.

    One step takes the least important channels of one layer, as many as bring its width to the next multiple; the layer
    is the one that loses least importance for each FLOP saved. Where no step is left, that is what is left.
    """
    ranked = {layer: values.sort(stable=True) for layer, values in importance.items()}
    widths = {layer: width_of(architecture, layer) for layer in importance}
    whole = dict(widths)
    gflop = encoder_gflop(architecture)
    while gflop > target_gflop:
        steps = []
        for number, (layer, width) in enumerate(widths.items()):
            narrow = _narrowed(width, multiple)
            if not narrow:
                continue
            left = ranked[layer].values[whole[layer] - width :]
            lost = float(left[: width - narrow].sum())
            if relative:
                lost /= max(float(left.sum()), 1e-300)
            less = encoder_gflop(narrower(architecture, {**widths, layer: narrow}))
            steps.append((lost / (gflop - less), number, layer, narrow, less))
        if not steps:
            break
        _, _, layer, widths[layer], gflop = min(steps)
    return {layer: _kept(ranked[layer].indices, width) for layer, width in widths.items() if width < whole[layer]}


def _kept(ascending: Tensor, width: int) -> Tensor:
    """Indices of channels from the least important on -> the ``width`` last of them, in the order of the channels."""
    return ascending[len(ascending) - width :].sort().values


def _narrowed(width: int, multiple: int) -> int:
    """The next lower multiple; 0 where there is none."""
    return (width - 1) // multiple * multiple


def _require_reachable(
    architecture: Architecture, importance: Importance, remove: float, before: float, multiple: int
) -> None:
    """Refuse what would leave a layer without a channel."""
    fewest = {layer: min(multiple, width_of(architecture, layer)) for layer in importance}
    least = encoder_gflop(narrower(architecture, fewest))
    if not before * (1 - remove) < least:
        return
    most = 1 - least / before
    of_multiples = f"; widths are multiples of {multiple}, and smaller ones go further" if multiple > 1 else ""
    if all(width == width_of(architecture, layer) for layer, width in fewest.items()):
        raise ModelError("prune", f"nothing to remove: no layer of the encoder has a channel to spare{of_multiples}")
    first = min(importance, key=lambda layer: float(importance[layer].sort().values[-fewest[layer] :].sum()))
    raise ModelError(
        "prune",
        f"without {remove:.4g} of the encoder's work no channel would be left {first}; the most that leaves every layer "
        f"some is {math.floor(1000 * most) / 1000:.3f}{of_multiples}",
    )
