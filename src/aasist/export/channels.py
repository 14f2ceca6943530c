"""Channels of the residual encoder that can leave together, and a model without some of them.

Two kinds. *Inner* channels lie between the two convolutions of one block, and no other block knows of them. *Outer*
channels come out of a block; where the next one adds its input to its output as it is, both have the same, and so do all
blocks up to the next convolution around a block: such a channel leaves every one of them, or none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from aasist.model.aasist import DEVIATION_FLOOR, Aasist
from aasist.recipe import Architecture


class ChannelGroup(NamedTuple):
    """Channels of one width: the inner ones of a block, or the outer ones of ``blocks`` (from 0) that are tied by sums."""

    blocks: tuple[int, ...]
    inner: bool

    def __str__(self) -> str:
        numbers = [str(block + 1) for block in self.blocks]
        if self.inner:
            return f"between the convolutions of block {numbers[0]}"
        return f"out of block{'s' if numbers[1:] else ''} {' and '.join(numbers)}"


Kept = Mapping[ChannelGroup, Tensor]
"""Indices (K,), ascending, of the channels that stay, of some layers or all."""


def channel_groups(architecture: Architecture) -> tuple[ChannelGroup, ...]:
    """The layers that may lose channels, from the waveform on.

    With context blocks the last outer channels are none: heads share them, and their norms are over all of them.
    """
    tied: list[tuple[int, ...]] = []
    for block, shortcut in enumerate(architecture.shortcuts):
        if shortcut or not tied:
            tied.append((block,))
        else:
            tied[-1] = (*tied[-1], block)
    outer = {
        blocks[0]: ChannelGroup(blocks, inner=False) for blocks in (tied[:-1] if architecture.context_blocks else tied)
    }
    layers = []
    for block in range(len(architecture.channels)):
        layers.append(ChannelGroup((block,), inner=True))
        if block in outer:
            layers.append(outer[block])
    return tuple(layers)


def width_of(architecture: Architecture, layer: ChannelGroup) -> int:
    """How many channels a layer has."""
    return (architecture.inner_widths if layer.inner else architecture.channels)[layer.blocks[0]]


def narrower(architecture: Architecture, widths: Mapping[ChannelGroup, int]) -> Architecture:
    """The architecture with other ``widths`` of some layers, without the norms that nothing applies."""
    channels, inner = list(architecture.channels), list(architecture.inner_widths)
    for layer, width in widths.items():
        for block in layer.blocks:
            (inner if layer.inner else channels)[block] = width
    into = [1, *channels[:-1]]
    # A convolution around a block stays, though by now as many channels may go in as come out.
    around = [
        block + 1 for block, has_one in enumerate(architecture.shortcuts) if has_one and into[block] == channels[block]
    ]
    return replace(
        architecture,
        channels=tuple(channels),
        inner_channels=() if inner == channels else tuple(inner),
        shortcut_blocks=tuple(around),
        unused_norms=False,
    )


@torch.no_grad()
def thinned(model: Aasist, kept: Kept) -> Aasist:
    """A new model, in eval mode, that has the channels ``kept`` and no others of those layers.

    It computes what ``model`` does with those channels at zero, to rounding, but for three cases: the hidden units of
    squeeze-excitation go down with the channels, those of the least weights first; with a readout of unit length, what
    the deviation of a channel at zero says is left out; and the positions of the spectral nodes leave with their channels.
    """
    old = model.architecture
    new = narrower(old, {layer: len(indices) for layer, indices in kept.items()})
    inner = [torch.arange(width) for width in old.inner_widths]
    outer = [torch.arange(width) for width in old.channels]
    for layer, indices in kept.items():
        for block in layer.blocks:
            (inner if layer.inner else outer)[block] = indices
    state = {name: tensor for name, tensor in model.state_dict().items() if "unused_norm" not in name}

    def keep(name: str, *indices: Tensor | None) -> None:
        """Of a tensor keep ``indices`` along each dimension, None: all."""
        for dimension, index in enumerate(indices):
            if index is not None:
                state[name] = state[name].index_select(dimension, index)

    for block, (within, out) in enumerate(zip(inner, outer, strict=True)):
        name, into = f"encoder.blocks.{block}", outer[block - 1] if block else None
        keep(f"{name}.conv1.weight", within, into)
        for vector in ("conv1.bias", "norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"):
            keep(f"{name}.{vector}", within)
        keep(f"{name}.conv2.weight", out, within)
        keep(f"{name}.conv2.bias", out)
        if old.shortcuts[block]:
            keep(f"{name}.shortcut.weight", out, into)
            keep(f"{name}.shortcut.bias", out)
        if old.squeeze:
            keep(f"{name}.excitation.squeezed.weight", None, out)
            keep(f"{name}.excitation.excited.weight", out)
            keep(f"{name}.excitation.excited.bias", out)
            units = _strongest_units(state, f"{name}.excitation", max(len(out) // old.squeeze, 1))
            keep(f"{name}.excitation.squeezed.weight", units)
            keep(f"{name}.excitation.squeezed.bias", units)
            keep(f"{name}.excitation.excited.weight", None, units)
    last = outer[-1]
    keep("spectral_position", None, None, last)
    for graph in ("spectral_attention", "temporal_attention"):
        for linear in ("pair_projection", "attended", "own"):
            keep(f"{graph}.{linear}.weight", None, last)
    if old.statistics:
        _keep_statistics(state, old, last)
    thin = Aasist(new, model.speech_encoder).to(model.spectral_position)
    thin.load_state_dict(state)
    return thin.eval()


def _strongest_units(state: Mapping[str, Tensor], name: str, count: int) -> Tensor:
    """Indices (count,), ascending, of the hidden units whose weights, into them times out of them, are largest."""
    strength = state[f"{name}.squeezed.weight"].norm(dim=1) * state[f"{name}.excited.weight"].norm(dim=0)
    units: Tensor = strength.argsort(descending=True, stable=True)[:count].sort().values
    return units


def _keep_statistics(state: dict[str, Tensor], architecture: Architecture, last: Tensor) -> None:
    """Of the last layer's weights keep those for statistics of the channels ``last``; what the deviation of one at zero
    says, the floor under its root, goes into the bias."""
    a, weight = architecture, state["out.weight"]
    start, channels, bands = 5 * a.graph_dims[1], a.channels[-1], a.spectral_nodes
    stop = start + 3 * channels * bands
    by_channel = weight[:, start:stop].reshape(len(weight), 3, channels, bands)
    gone = torch.ones(channels, dtype=torch.bool)
    gone[last] = False
    if a.readout != "cosine":
        state["out.bias"] = state["out.bias"] + DEVIATION_FLOOR**0.5 * by_channel[:, 1, gone].sum((1, 2))
    state["out.weight"] = torch.cat([weight[:, :start], by_channel[:, :, last].flatten(1), weight[:, stop:]], dim=1)
