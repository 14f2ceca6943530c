"""How much each channel of the residual encoder matters: by what the loss would change, or by its weights alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from aasist.export.channels import ChannelGroup, channel_groups, width_of
from aasist.model.aasist import Aasist
from aasist.model.encoder import ResidualBlock

Importance = Mapping[ChannelGroup, Tensor]
"""Importance (C,) float64, 0 or more, of the channels of some layers."""

MEMORY_BYTES = 1 << 29
"""What the windows that are heard at once may take, about: maps and their gradients."""


def rows_at_once(model: Aasist) -> int:
    """Windows of the model that gradients are taken through together."""
    return max(1, MEMORY_BYTES // (2 * model.architecture.activation_bytes))


def by_taylor(
    model: Aasist, windows: Tensor, labels: Tensor, progress: Callable[[int], None] = lambda done: None
) -> dict[ChannelGroup, Tensor]:
    """Windows (N, T) float32, labels (N,) int64, 1 = bona fide -> importance of every layer's channels.

    That of a channel is the mean over windows of ``|sum of activation x gradient|`` of the cross-entropy: to first order
    what the loss of a window changes by when the channel is zero for all that read it (Molchanov et al., CVPR 2019,
    eq. 8, by absolute values as in their ICLR 2017 paper). Norms are frozen, so windows do not mix, and only some are
    heard at a time (`MEMORY_BYTES`). ``progress`` is told how many are done.
    """
    a = model.architecture
    totals = {layer: torch.zeros(width_of(a, layer), dtype=torch.float64) for layer in channel_groups(a)}
    rows = rows_at_once(model)
    for start in range(0, len(windows), rows):
        for layer, changes in _changes(model, windows[start : start + rows], labels[start : start + rows]).items():
            totals[layer] += changes.abs().double().sum(0)
        progress(min(start + rows, len(windows)))
    return {layer: total / len(windows) for layer, total in totals.items()}


def _changes(model: Aasist, windows: Tensor, labels: Tensor) -> dict[ChannelGroup, Tensor]:
    """What the loss of each window would change by, to first order, without each channel: (B, C) of every layer."""
    seen: list[tuple[ChannelGroup, Tensor, Callable[[Tensor], Tensor]]] = []

    def read(
        layer: ChannelGroup, reduce: Callable[[Tensor], Tensor], _: nn.Module, given: tuple[Tensor]
    ) -> tuple[Tensor]:
        # A view of its own for each reader: its gradient is what this one alone would lose.
        (whole,) = given
        own = whole.view_as(whole) if whole.requires_grad else whole.detach().requires_grad_()
        seen.append((layer, own, reduce))
        return (own,)

    handles = [
        module.register_forward_pre_hook(partial(read, layer, reduce)) for module, layer, reduce in _readers(model)
    ]
    try:
        with torch.enable_grad():
            loss = functional.cross_entropy(model(windows), labels, reduction="sum")
            gradients = torch.autograd.grad(loss, [own for _, own, _ in seen])
    finally:
        for handle in handles:
            handle.remove()
    found: dict[ChannelGroup, Tensor] = {}
    with torch.no_grad():
        for (layer, own, reduce), gradient in zip(seen, gradients, strict=True):
            found[layer] = found.get(layer, 0) + reduce(own * gradient)
    return found


def _readers(model: Aasist) -> list[tuple[nn.Module, ChannelGroup, Callable[[Tensor], Tensor]]]:
    """Each module that reads channels of a layer, and how what it is given sums up to those: (B, ...) -> (B, C)."""
    a = model.architecture
    outer = {block: layer for layer in channel_groups(a) if not layer.inner for block in layer.blocks}
    readers: list[tuple[nn.Module, ChannelGroup, Callable[[Tensor], Tensor]]] = []
    blocks = [block for block in model.encoder.blocks if isinstance(block, ResidualBlock)]
    for number, block in enumerate(blocks):
        readers.append((block.conv2, ChannelGroup((number,), inner=True), _of_map))
        if number - 1 in outer:
            into = outer[number - 1]
            readers += [(part, into, _of_map) for part in (block.conv1, block.shortcut) if part is not None]
        if block.excitation is not None and number in outer:
            readers.append((block.excitation, outer[number], _of_means))
    if len(blocks) - 1 in outer:
        last = outer[len(blocks) - 1]
        readers += [(graph, last, _of_nodes) for graph in (model.spectral_attention, model.temporal_attention)]
        if a.statistics:
            start, shape = 5 * a.graph_dims[1], (3, a.channels[-1], a.spectral_nodes)
            readers.append((model.out, last, partial(_of_statistics, start, shape)))
    return readers


def _of_map(products: Tensor) -> Tensor:
    return products.sum((2, 3))


def _of_means(products: Tensor) -> Tensor:
    return products


def _of_nodes(products: Tensor) -> Tensor:
    return products.sum(1)


def _of_statistics(start: int, shape: tuple[int, int, int], products: Tensor) -> Tensor:
    statistics = products[:, start : start + shape[0] * shape[1] * shape[2]]
    return statistics.reshape(len(products), *shape).sum((1, 3))


def by_magnitude(model: Aasist) -> dict[ChannelGroup, Tensor]:
    """Importance by weights alone: the squares of those that make a channel (Li et al., ICLR 2017, there by absolutes)."""
    found = {}
    for layer in channel_groups(model.architecture):
        total = torch.zeros(width_of(model.architecture, layer), dtype=torch.float64)
        for block in layer.blocks:
            for part in ("conv1",) if layer.inner else ("conv2", "shortcut"):
                made = getattr(model.encoder.blocks[block], part)
                if made is not None:
                    total += made.weight.detach().double().square().sum((1, 2, 3)).cpu()
        found[layer] = total
    return found


def by_norm(model: Aasist) -> dict[ChannelGroup, Tensor]:
    """Importance by the squared scale of the batch norm behind it (Liu et al., ICCV 2017): of inner channels alone, for no
    norm follows the sums."""
    return {
        layer: model.encoder.blocks[layer.blocks[0]].norm.weight.detach().double().square().cpu()  # type: ignore[union-attr, operator]
        for layer in channel_groups(model.architecture)
        if layer.inner
    }
