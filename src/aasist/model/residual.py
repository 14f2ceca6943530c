"""Residual blocks for training on a processor: stretch by stretch, with a backward pass of their own.

The same as ``encoder.ResidualBlock``: ``pool(conv2(SELU(norm(conv1(x)))) + shortcut(x))``. Of a block's maps only conv1's
output is kept for the backward pass, with a byte for each pooled value; the rest is made again, in cache. Biases stay out
of the maps: that of conv1 ends in the mean that batch norm takes away, the others do not change what pooling chooses.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from aasist.model.stretch import (
    Stretch,
    affine,
    backward_kernel,
    convolved,
    each,
    kernel,
    kernel_gradient,
    planes,
    pooled,
    reach,
    selu_gradient,
    stretches,
    unpooled,
)


class Tail(NamedTuple):
    """What follows the activation of a block: second convolution, shortcut and pooling, and the way back."""

    kernel2: Tensor
    back2: Tensor
    kernel_s: Tensor | None
    back_s: Tensor | None
    bias: Tensor
    pool: int

    @classmethod
    def of(
        cls, weight2: Tensor, bias2: Tensor, shortcut: Tensor | None, bias_s: Tensor | None, pool: int, like: Tensor
    ) -> Tail:
        dtype = like.dtype
        kernel_s = back_s = None
        if shortcut is not None and bias_s is not None:
            kernel_s, back_s, bias2 = kernel(shortcut, dtype), backward_kernel(shortcut, dtype), bias2 + bias_s
        return cls(kernel(weight2, dtype), backward_kernel(weight2, dtype), kernel_s, back_s, bias2.to(dtype), pool)

    def finish(self, inner: Tensor, around: Tensor) -> tuple[Tensor, Tensor | None]:
        """Activated steps -1 to n + 1 (n + 2, F + 1, C) and input steps -1 to n + 1 -> output and what was largest."""
        found = convolved(inner, self.kernel2, 0)
        found += around[1:-1] if self.kernel_s is None else convolved(around, self.kernel_s, 0)
        largest, place = pooled(found, self.pool)
        return largest + self.bias, place


class Residual(torch.autograd.Function):
    """Maps (B, T, F, C) -> (B, T // pool, F, O), and mean and variance (O,) of conv1's output as batch norm saw them.

    ``frozen`` is None, or a mean and a variance that take the place of the batch's.
    """

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
    ) -> tuple[Tensor, Tensor, Tensor]:
        batch, steps, bands, _ = maps.shape
        kernel1, tail = kernel(weight1, maps.dtype), Tail.of(weight2, bias2, shortcut, bias_s, pool, maps)
        first = maps.new_empty(batch, steps, bands + 1, len(weight1))
        parts = stretches(batch, steps, first[0, 0].numel() * maps.element_size(), pool)

        def convolve(part: Stretch) -> tuple[int, Tensor, Tensor]:
            row, start, stop = part
            found = convolved(reach(maps[row], start - 1, stop + 1), kernel1, 1)
            first[row, start:stop] = found
            # Running statistics that do not move: they make the operation answer in their precision, not in the maps'.
            still = torch.zeros_like(scale), torch.zeros_like(scale)
            return found[..., 0].numel(), *torch.ops.aten.batch_norm_update_stats(planes(found), *still, 0.0)

        moments = combined(each(convolve, parts))
        mean, variance = moments if frozen is None else (frozen[0] - bias1, frozen[1])
        inverse = torch.rsqrt(variance + epsilon)
        slope, offset = scale * inverse, shift - mean * scale * inverse
        out = maps.new_empty(batch, steps // pool, bands, len(weight2))
        places = torch.empty_like(out, dtype=torch.int8) if pool > 1 else None

        def finish(part: Stretch) -> None:
            row, start, stop = part
            kept = slice(start // pool, stop // pool)
            inner = activated(first[row], slope, offset, start - 1, stop + 1)
            out[row, kept], place = tail.finish(inner, reach(maps[row], start - 1, stop + 1))
            if places is not None and place is not None:
                places[row, kept] = place

        for _ in each(finish, parts):
            pass
        ctx.save_for_backward(maps, first, places, mean, inverse, weight1, scale, shift)
        ctx.tail, ctx.parts, ctx.frozen = tail, parts, frozen is not None
        mean, variance = mean + bias1, variance.clone()
        ctx.mark_non_differentiable(mean, variance)
        return out, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        maps, first, places, mean, inverse, weight1, scale, shift = ctx.saved_tensors
        tail, parts, gradient = ctx.tail, ctx.parts, gradient.contiguous()
        kernel1, back1 = kernel(weight1, maps.dtype), backward_kernel(weight1, maps.dtype)
        slope, offset = scale * inverse, shift - mean * scale * inverse
        before = torch.empty_like(first)

        def behind(part: Stretch) -> Tensor:
            row, start, stop = part
            place = None if places is None else places[row]
            return unpooled(gradient[row], place, tail.pool, start - 1, stop + 1)

        def to_norm(part: Stretch) -> tuple[Tensor, ...]:
            row, start, stop = part
            after, inner = behind(part), activated(first[row], slope, offset, start - 1, stop + 1)
            found = selu_gradient(convolved(after, tail.back2, 1), inner[1:-1])
            before[row, start:stop] = found
            _, to_scale, to_shift = torch.ops.aten.native_batch_norm_backward(
                planes(found), planes(first[row, start:stop]), None, None, None, mean, inverse, True, 0.0, SUMS_ALONE
            )
            to_bias = gradient[row, start // tail.pool : stop // tail.pool].to(scale.dtype).sum((0, 1))
            sums = [to_scale, to_shift, to_bias, kernel_gradient(inner, after[1:-1], tail.kernel2, 0)]
            if tail.kernel_s is not None:
                around = reach(maps[row], start - 1, stop + 1)
                sums.append(kernel_gradient(around, after[1:-1], tail.kernel_s, 0))
            return tuple(sums)

        to_scale, to_shift, to_bias2, to_weight2, *to_shortcut = (
            total.to(scale.dtype) for total in summed(each(to_norm, parts))
        )
        # dL/dz = slope (dL/da - its mean - z's own share), with z normalised; or slope dL/da where the norm is frozen.
        count = 0 if ctx.frozen else first[..., 0].numel()
        own = -slope * inverse * to_scale / count if count else torch.zeros_like(slope)
        constant = -slope * to_shift / count - own * mean if count else torch.zeros_like(slope)
        to_maps = torch.empty_like(maps)

        def to_input(part: Stretch) -> tuple[Tensor]:
            row, start, stop = part
            inside = slice(max(start - 1, 0), stop + 1)
            found = affine(before[row, inside], slope, constant)
            if count:
                found += affine(first[row, inside], own, torch.zeros_like(own))
            found = reach(found, start - 1 - inside.start, stop + 1 - inside.start)
            after = behind(part)
            back = convolved(found, back1, 0)
            back += after[1:-1] if tail.back_s is None else convolved(after, tail.back_s, 0)
            to_maps[row, start:stop] = back
            return (kernel_gradient(reach(maps[row], start - 1, stop + 1), found[1:-1], kernel1, 1),)

        (to_weight1,) = summed(each(to_input, parts))
        to_bias1 = slope * to_shift if ctx.frozen else torch.zeros_like(slope)
        return (
            to_maps, to_weight1.to(scale.dtype), to_bias1, to_scale, to_shift, to_weight2, to_bias2,
            to_shortcut[0] if to_shortcut else None, to_bias2 if to_shortcut else None, None, None, None,
        )  # fmt: skip


SUMS_ALONE = [False, True, True]


def activated(first: Tensor, slope: Tensor, offset: Tensor, start: int, stop: int) -> Tensor:
    """Steps of SELU(norm(first)), zeros beyond the ends."""
    inside = slice(max(start, 0), stop)
    return reach(torch.selu_(affine(first[inside], slope, offset)), start - inside.start, stop - inside.start)


def combined(moments: Iterable[tuple[int, Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Count, mean and variance (C,) of each part -> those of all (Chan, Golub and LeVeque, 1979)."""
    counts, means, variances = zip(*moments, strict=True)
    weights = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    each_mean, each_variance = torch.stack(means).double(), torch.stack(variances).double()
    mean = weights @ each_mean
    variance = weights @ (each_variance + (each_mean - mean).square())
    return mean.to(means[0].dtype), variance.to(means[0].dtype)


def summed(parts: Iterable[tuple[Tensor, ...]]) -> list[Tensor]:
    """The sum of each column, in float64."""
    totals: list[Tensor] = []
    for part in parts:
        if totals:
            totals = [total + more for total, more in zip(totals, part, strict=True)]
        else:
            totals = [more.double() for more in part]
    return totals
