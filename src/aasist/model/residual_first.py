"""The first residual block for training on a processor: its input has one channel, so hardly anything need be kept.

Its first convolution sees six values at a time, the *patch* of a place. The mean and variance of its output follow from the
mean and covariance of all patches, before a single output is made; its weights take the slope of batch norm in, and give
activations in one small matrix product. Backwards, all that batch norm needs to know of its output follows from the
products of patches and gradients. So the largest maps of the network, two thirds of all that training would keep, are
made in cache, made again for the backward pass, and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from aasist.model.residual import summed
from aasist.model.stretch import (
    Stretch,
    backward_kernel,
    convolved,
    each,
    kernel,
    kernel_gradient,
    pooled,
    reach,
    selu_gradient,
    stretches,
    unpooled,
)

TAPS = 6
"""Of the (2, 3) kernel, numbered 2 * step + band; a patch has two ones after them, for a constant and its rounding."""
SHORTCUT_TAPS = slice(1, TAPS, 2)
"""Those that a (1, 3) kernel at the same band sees."""


class FirstResidual(torch.autograd.Function):
    """Maps (B, T, F) -> (B, T // pool, F, O) in ``dtype``, and mean and variance (O,) as `Residual`."""

    @staticmethod
    def forward(
        ctx: Any,
        maps: Tensor,
        weight1: Tensor,
        bias1: Tensor,
        scale: Tensor,
        shift: Tensor,
        weight2: Tensor,
        bias2: Tensor,
        shortcut: Tensor | None,
        bias_s: Tensor | None,
        frozen: tuple[Tensor, Tensor] | None,
        epsilon: float,
        pool: int,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, steps, bands = maps.shape
        maps, channels, kernel2 = maps.to(dtype), len(weight1), kernel(weight2, dtype)
        parts = stretches(batch, steps, (bands + 1) * channels * maps.element_size(), pool)

        def products(part: Stretch) -> tuple[Tensor]:
            seen = patches(maps[part.row], part.start, part.stop).flatten(1)[: TAPS + 1].to(weight1.dtype)
            return (seen @ seen.T,)

        (moments,) = summed(each(products, parts))
        count = moments[TAPS, TAPS].item()
        mean_patch, taps = moments[TAPS, :TAPS] / count, as_taps(weight1).double()
        covariance = moments[:TAPS, :TAPS] / count - torch.outer(mean_patch, mean_patch)
        if frozen is None:
            mean, variance = mean_patch @ taps, (taps * (covariance @ taps)).sum(0)
        else:
            mean, variance = (frozen[0] - bias1).double(), frozen[1].double()
        inverse = torch.rsqrt(variance + epsilon)
        sloped = (taps * scale * inverse).to(dtype)
        # Rounded to bf16 the weights give another mean, and batch norm takes away the one that is there.
        offset = shift - (mean_patch @ sloped.double() if frozen is None else mean * scale * inverse)
        to_activate = torch.cat([sloped, *high_and_low(offset, dtype)])
        out = maps.new_empty(batch, steps // pool, bands, len(weight2))
        places = torch.empty_like(out, dtype=torch.int8) if pool > 1 else None
        bias = (bias2 if bias_s is None else bias2 + bias_s).to(dtype)
        to_shortcut = shortcut_taps(shortcut).to(dtype)

        def finish(part: Stretch) -> None:
            row, start, stop = part
            seen = patches(maps[row], start - 1, stop + 1)
            found = convolved(activated(seen, to_activate, start, stop, steps), kernel2, 0)
            near = seen[SHORTCUT_TAPS, 1:-1, :bands].flatten(1)
            found.view(-1, len(weight2)).addmm_(near.T, to_shortcut)
            kept = slice(start // pool, stop // pool)
            largest, place = pooled(found, pool)
            torch.add(largest, bias, out=out[row, kept])
            if places is not None and place is not None:
                places[row, kept] = place

        for _ in each(finish, parts):
            pass
        ctx.save_for_backward(maps, places, to_activate, weight1, scale, mean, inverse, weight2, shortcut, moments)
        ctx.parts, ctx.pool, ctx.frozen = parts, pool, frozen is not None
        found_mean, found_variance = (mean + bias1).to(weight1.dtype), variance.to(weight1.dtype)
        ctx.mark_non_differentiable(found_mean, found_variance)
        return out, found_mean, found_variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        maps, places, to_activate, weight1, scale, mean, inverse, weight2, shortcut, moments = ctx.saved_tensors
        parts, pool, dtype, gradient = ctx.parts, ctx.pool, maps.dtype, gradient.contiguous()
        _, steps, bands = maps.shape
        channels = len(weight1)
        kernel2, back2 = kernel(weight2, dtype), backward_kernel(weight2, dtype)
        slope, taps = scale * inverse, as_taps(weight1).double()
        to_patch, to_near = (taps * slope).to(dtype), shortcut_taps(shortcut).to(dtype)
        # Both of what the gradient gives to patches, and what batch norm takes off it, are folded into this.
        to_maps = weight1.new_zeros(len(maps), steps + 2, bands + 2)

        def backwards(part: Stretch) -> tuple[Tensor, ...]:
            row, start, stop = part
            seen = patches(maps[row], start - 1, stop + 1)
            inner = activated(seen, to_activate, start, stop, steps)
            after = unpooled(gradient[row], None if places is None else places[row], pool, start - 1, stop + 1)
            found = selu_gradient(convolved(after, back2, 1), inner[1:-1]).reshape(-1, channels)
            here = after[1:-1].reshape(-1, len(weight2))
            own, near = seen[:, 1:-1].flatten(1), seen[SHORTCUT_TAPS, 1:-1, :bands].flatten(1)
            folded = weight1.new_zeros(stop - start + 2, bands + 2)
            fold((to_patch @ found.T).view(TAPS, stop - start, bands + 1), folded)
            fold_near((to_near @ here.T).view(3, stop - start, bands), folded)
            to_bias = gradient[row, start // pool : stop // pool].to(weight1.dtype).sum((0, 1))
            to_weight2 = kernel_gradient(inner, after[1:-1], kernel2, 0)
            return folded, own[: TAPS + 1] @ found, to_weight2, near @ here, to_bias

        def sums() -> Iterator[tuple[Tensor, ...]]:
            for part, (folded, *others) in zip(parts, each(backwards, parts), strict=True):
                to_maps[part.row, part.start : part.stop + 2] += folded
                yield tuple(others)

        products, to_weight2, to_taps, to_bias2 = summed(sums())
        # The normalised output is this times a patch and its one.
        normal = torch.cat([taps * inverse, (-mean * inverse).unsqueeze(0)])
        to_shift, to_scale = products[TAPS], (normal * products).sum(0)
        if not ctx.frozen:
            count = moments[TAPS, TAPS]
            mean_share, own_share = to_shift / count, to_scale / count
            products = products - torch.outer(moments[:, TAPS], mean_share) - moments @ (normal * own_share)
            back = (taps * slope) @ (normal * own_share).T
            back[:, TAPS] += (taps * slope) @ mean_share

            def take_off(part: Stretch) -> Tensor:
                row, start, stop = part
                seen = patches(maps[row], start, stop)[: TAPS + 1].to(weight1.dtype)
                folded: Tensor = weight1.new_zeros(stop - start + 2, bands + 2)
                fold((-back.to(weight1.dtype) @ seen.flatten(1)).view(TAPS, stop - start, bands + 1), folded)
                return folded

            for part, folded in zip(parts, each(take_off, parts), strict=True):
                to_maps[part.row, part.start : part.stop + 2] += folded
        found = [
            from_taps(slope * products[:TAPS]),
            slope * to_shift if ctx.frozen else torch.zeros_like(slope),
            *(to_scale, to_shift, to_weight2, to_bias2),
            *((None, None) if shortcut is None else (to_taps.T.reshape(shortcut.shape), to_bias2)),
        ]
        found = [None if one is None else one.to(weight1.dtype) for one in found]
        return to_maps[:, 1:-1, 1:-1], *found, None, None, None, None


def as_taps(weight: Tensor) -> Tensor:
    """Weight (O, 1, 2, 3) -> (6, O)."""
    return weight.detach().transpose(2, 3).reshape(len(weight), TAPS).T


def from_taps(taps: Tensor) -> Tensor:
    """(6, O) -> (O, 1, 2, 3)."""
    return taps.T.reshape(-1, 1, 3, 2).transpose(2, 3)


def shortcut_taps(shortcut: Tensor | None) -> Tensor:
    """Weight (O, 1, 1, 3) -> (3, O); without a shortcut, what hands the one channel on."""
    return torch.tensor([[0.0], [1.0], [0.0]]) if shortcut is None else shortcut.detach().reshape(-1, 3).T


def high_and_low(numbers: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Numbers (O,) as the sum of two of ``dtype``, each (1, O)."""
    high = numbers.to(dtype)
    return high.unsqueeze(0), (numbers - high).to(dtype).unsqueeze(0)


def patches(maps: Tensor, start: int, stop: int) -> Tensor:
    """Maps (T, F) -> what the (2, 3) kernel sees at steps ``start`` to ``stop``, and ones: (8, stop - start, F + 1)."""
    steps, bands = stop - start, maps.shape[1]
    around = torch.nn.functional.pad(reach(maps, start - 1, stop + 1), (1, 1))
    seen = maps.new_empty(TAPS + 2, steps, bands + 1)
    for tap in range(TAPS):
        step, band = divmod(tap, 2)
        seen[tap] = around[step : step + steps, band : band + bands + 1]
    seen[TAPS:] = 1
    return seen


def fold(to_patches: Tensor, folded: Tensor) -> None:
    """Gradient of patches (6, T, F + 1), added to that of the maps around them (T + 2, F + 2)."""
    _, steps, bands = to_patches.shape
    for tap, gradient in enumerate(to_patches.to(folded.dtype)):
        step, band = divmod(tap, 2)
        folded[step : step + steps, band : band + bands] += gradient


def fold_near(to_near: Tensor, folded: Tensor) -> None:
    """The same for what the shortcut sees, (3, T, F)."""
    _, steps, bands = to_near.shape
    for step, gradient in enumerate(to_near.to(folded.dtype)):
        folded[step : step + steps, 1 : bands + 1] += gradient


def activated(seen: Tensor, to_activate: Tensor, start: int, stop: int, steps: int) -> Tensor:
    """Patches of steps ``start - 1`` to ``stop + 1`` -> activations there, zeros beyond the ends of all ``steps``."""
    out = torch.selu_(seen.flatten(1).T @ to_activate).view(*seen.shape[1:], -1)
    if start == 0:
        out[0] = 0
    if stop == steps:
        out[-1] = 0
    return out
