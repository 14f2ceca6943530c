"""Which layers bear int8: each rounded alone and scored on windows held out, then as many together as the score allows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

import numpy as np

from aasist.evaluation.tables import Table
from aasist.evaluation.tally import Float64
from aasist.export.layers import GraphLayer, of_kind


class Rounder(Protocol):
    """What `aasist.export.quantize.Rounding` is to the sweep."""

    layers: tuple[GraphLayer, ...]

    def rounded(self, layers: tuple[GraphLayer, ...]) -> bytes:
        """The model with these layers in int8."""
        ...


@dataclass(frozen=True)
class Difference:
    """Of llr from those of the float model, over windows: the mean and the largest, without their sign."""

    mean: float
    largest: float

    @classmethod
    def of(cls, llrs: Float64, reference: Float64) -> Difference:
        """Of llr (N,) from a ``reference`` (N,); what is no number is infinitely far."""
        apart = np.nan_to_num(np.abs(llrs - reference), nan=np.inf, posinf=np.inf)
        return cls(float(apart.mean()), float(apart.max()))

    def to_dict(self) -> dict[str, float | None]:
        """For a report, which holds no infinity."""
        return {f"{name}_llr": value if np.isfinite(value) else None for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Sensitivity:
    """What a layer in int8, and no other, does to the llr; and what became of it."""

    layer: GraphLayer
    alone: Difference
    rounded: bool = False


@dataclass(frozen=True)
class Sweep:
    """The sweep over all layers, and what those that were rounded do together. ``tolerance`` in llr, of the mean."""

    layers: tuple[Sensitivity, ...]
    together: Difference
    tolerance: float
    windows: int

    @property
    def chosen(self) -> tuple[GraphLayer, ...]:
        """The layers in int8."""
        return tuple(one.layer for one in self.layers if one.rounded)

    def without_worst(self) -> tuple[GraphLayer, ...]:
        """The chosen layers but the one that does most alone."""
        worst = max((one for one in self.layers if one.rounded), key=lambda one: one.alone.mean)
        return tuple(layer for layer in self.chosen if layer != worst.layer)

    def rounding(self, layers: tuple[GraphLayer, ...], together: Difference) -> Sweep:
        """The same with another choice."""
        return replace(
            self, layers=tuple(replace(one, rounded=one.layer in layers) for one in self.layers), together=together
        )

    def to_dict(self) -> dict[str, Any]:
        """For a report; ``layers`` in the graph's order."""
        rows = [
            {"layer": one.layer.name, "kind": one.layer.kind, "weights": one.layer.weights, "rounded": one.rounded}
            | one.alone.to_dict()
            for one in self.layers
        ]
        return {
            "windows": self.windows,
            "tolerance_llr": self.tolerance,
            "together": self.together.to_dict(),
            "layers": rows,
        }

    def table(self) -> Table:
        """For people: the layers that do least first."""
        rows = [
            (
                one.layer.name,
                f"{one.layer.weights:,}",
                f"{one.alone.mean:.4f}",
                f"{one.alone.largest:.4f}",
                "int8" if one.rounded else "fp32",
            )
            for one in sorted(self.layers, key=lambda one: one.alone.mean)
        ]
        weights = sum(layer.weights for layer in self.chosen)
        rows.append(("together", f"{weights:,}", f"{self.together.mean:.4f}", f"{self.together.largest:.4f}", ""))
        return Table(("layer", "weights", "mean llr apart", "largest", "stored as"), tuple(rows))


def swept(
    rounder: Rounder,
    llrs_of: Callable[[bytes], Float64],
    *,
    tolerance: float,
    every_layer: bool = False,
    progress: Callable[[int], None] | None = None,
) -> Sweep:
    """Measure each layer alone, then choose.

    ``llrs_of`` gives the llr (N,) of the held-out windows by a model. All convolutions are rounded together first; while
    their mean difference is above ``tolerance``, the one that does most alone goes back to float. With ``every_layer`` the
    narrow ones, the sinc layer, the graph layers and the readout join then, those that do least first, each where the tolerance holds.
    ``progress`` is called with the models scored so far, `steps` at the least.
    """
    done = 0

    def difference(layers: tuple[GraphLayer, ...]) -> Difference:
        nonlocal done
        found = Difference.of(llrs_of(rounder.rounded(layers)), reference)
        done += 1
        if progress is not None:
            progress(done)
        return found

    reference = llrs_of(rounder.rounded(()))
    alone = {layer: difference((layer,)) for layer in rounder.layers}
    chosen = of_kind(rounder.layers, "convolution")
    together = difference(chosen)
    while chosen and not together.mean <= tolerance:
        worst = max(chosen, key=lambda layer: alone[layer].mean)
        chosen = tuple(layer for layer in chosen if layer != worst)
        together = difference(chosen) if chosen else Difference(0.0, 0.0)
    others = sorted((layer for layer in alone if layer.kind != "convolution"), key=lambda layer: alone[layer].mean)
    for layer in others if every_layer and chosen else ():
        if alone[layer].mean <= tolerance:
            more = difference((*chosen, layer))
            if more.mean <= tolerance:
                chosen, together = (*chosen, layer), more
    rows = tuple(Sensitivity(layer, alone[layer], layer in chosen) for layer in rounder.layers)
    return Sweep(rows, together, tolerance, len(reference))


def steps(rounder: Rounder) -> int:
    """Models that a sweep scores, where no layer has to go back to float."""
    return len(rounder.layers) + 1
