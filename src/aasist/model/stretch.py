"""A batch of maps worked through in stretches of time that fit the processor's cache, side by side on its threads.

Maps lie in memory as (B, T, F, C), time first and channels last: a stretch of time is then one contiguous piece, and the
convolutions of PyTorch's CPU library take it as it lies. What is made of a stretch never leaves the cache before it has
been used up, where maps of a whole batch are written out and read back for every operation on them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from aasist.parallel import in_order

Result = TypeVar("Result")

STRETCH_BYTES = 1 << 20
"""Of the widest map in a stretch; half and double are within 5 % of it, on processors with 1 MiB of cache a core."""


class Stretch(NamedTuple):
    """Steps ``start`` to ``stop`` (left out) of one row of the batch."""

    row: int
    start: int
    stop: int


def stretches(batch: int, steps: int, step_bytes: int, multiple: int = 1) -> list[Stretch]:
    """All ``steps`` of every row in stretches of about `STRETCH_BYTES`, which start at multiples of ``multiple``."""
    length = max(STRETCH_BYTES // step_bytes // multiple, 1) * multiple
    # No crumb at the end: it takes as many calls as a whole stretch.
    count = max(round(steps / length), 1)
    starts = [round(index * steps / count / multiple) * multiple for index in range(count)]
    ends = [*starts[1:], steps]
    return [Stretch(row, a, b) for row in range(batch) for a, b in zip(starts, ends, strict=True) if b > a]


def each(work: Callable[[Stretch], Result], parts: list[Stretch]) -> Iterator[Result]:
    """``work`` of each stretch, in order, on as many threads as PyTorch may use, without gradients.

    A stretch is worked on by one thread alone, so that the number of threads changes no result, and a thread that is
    held up by another process holds up no other: PyTorch's own threads wait for each other after every operation.
    """
    threads = torch.get_num_threads()

    def alone(part: Stretch) -> Result:
        if torch.get_num_threads() != 1:
            torch.set_num_threads(1)  # of this thread
        # New threads know neither that gradients are off nor that autocast is.
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            return work(part)

    try:
        yield from in_order(alone, parts, threads=threads)
    finally:
        torch.set_num_threads(threads)


def reach(maps: Tensor, start: int, stop: int) -> Tensor:
    """Steps ``start`` to ``stop`` of maps (T, ...), zeros where they lie beyond the ends: a view where none do."""
    inside = maps[max(start, 0) : max(stop, 0)]
    before, after = max(min(stop, 0) - start, 0), max(stop - max(start, len(maps)), 0)
    if not before and not after:
        return inside
    return functional.pad(inside, (0, 0) * (maps.ndim - 1) + (before, after))


def planes(maps: Tensor) -> Tensor:
    """Maps (T, F, C) as PyTorch's layers want them: (1, C, T, F), a view."""
    return maps.permute(2, 0, 1).unsqueeze(0)


SELU_SCALE, SELU_ALPHA = 1.0507009873554804934193349852946, 1.6732632423543772848170429916717


def selu_gradient(gradient: Tensor, activated: Tensor) -> Tensor:
    """Gradient behind a SELU, and what the SELU gave -> gradient before it."""
    before: Tensor = torch.ops.aten.elu_backward(gradient, SELU_ALPHA, SELU_SCALE, 1.0, True, activated)
    return before


def kernel(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Weight (O, C, H, W) over (F, T) -> (O, C, W, H) over (T, F) in ``dtype``, laid out for `convolved`."""
    return weight.detach().to(dtype).transpose(2, 3).contiguous(memory_format=torch.channels_last)


def backward_kernel(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Of the convolution that takes the gradient of an output back to the input: turned round, channels swapped."""
    return kernel(weight.detach().transpose(0, 1).flip(2, 3), dtype)


def convolved(maps: Tensor, taps: Tensor, pad: int) -> Tensor:
    """Maps (T, F, C) by a `kernel` (O, C, W, H) -> (T - W + 1, F + 2 pad - H + 1, O): only F is padded."""
    return functional.conv2d(planes(maps), taps, padding=(0, pad))[0].permute(1, 2, 0)


def kernel_gradient(maps: Tensor, gradient: Tensor, taps: Tensor, pad: int) -> Tensor:
    """Of ``convolved(maps, taps, pad)``, whose gradient is given -> (O, C, H, W), as the weight is stored."""
    _, found, _ = torch.ops.aten.convolution_backward(
        planes(gradient),
        planes(maps),
        taps,
        None,
        [1, 1],
        [0, pad],
        [1, 1],
        False,
        [0, 0],
        1,
        [False, True, False],
    )
    turned: Tensor = found.transpose(2, 3)
    return turned


def affine(maps: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``maps * scale + shift`` for maps (T, F, C) of any precision, scale and shift (C,) float32.

    Batch norm by mean 0 and variance 1 is the one operation that does it without rounding in between, or slowly.
    """
    zero, one = torch.zeros_like(shift), torch.ones_like(shift)
    out = torch.batch_norm(planes(maps), scale, shift, zero, one, False, 0.0, 0.0, False)
    return out[0].permute(1, 2, 0)


MOST_POOLED = 128
"""Steps in a pool at the most: `pooled` counts them in 8 bits, and in the precision of the maps."""


def pooled(maps: Tensor, pool: int) -> tuple[Tensor, Tensor | None]:
    """Maps (T, F, C) -> largest of every ``pool`` steps (T // pool, F, C), and which it was, int8 of the same shape."""
    if pool == 1:
        return maps, None
    steps = len(maps) // pool
    by_place = maps[: steps * pool].view(steps, pool, *maps.shape[1:])
    largest, place = by_place[:, 0], torch.zeros_like(by_place[:, 0])
    for index in range(1, pool):
        other = by_place[:, index]
        later = other.clone().gt_(largest)  # in place, the comparison is a number and is made many at a time
        largest, place = torch.maximum(largest, other), torch.maximum(place, later.mul_(index))
    return largest, place.to(torch.int8)


def unpooled(gradient: Tensor, place: Tensor | None, pool: int, start: int, stop: int) -> Tensor:
    """Gradient (P, F, C) of what `pooled` gave -> that of its input, steps ``start`` to ``stop``; zeros beyond."""
    if place is None:
        return reach(gradient, start, stop)
    first, last = max(start, 0) // pool, min(-(-max(stop, 0) // pool), len(gradient))
    some, chosen = gradient[first:last], place[first:last].to(gradient.dtype)
    out = gradient.new_empty((len(some), pool, *gradient.shape[1:]))
    for index in range(pool):
        torch.mul(some, chosen.clone().eq_(index), out=out[:, index])
    return reach(out.flatten(0, 1), start - first * pool, stop - first * pool)
