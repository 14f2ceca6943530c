"""What an architecture costs: multiplications and additions a window, and weights."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from aasist.model.aasist import Aasist
from aasist.model.sinc import PooledBands
from aasist.recipe import Architecture
from aasist.session import WINDOW_SAMPLES


class Cost(NamedTuple):
    """Of scoring 64,600 samples (4.04 s)."""

    gflop: float
    """A multiplication and an addition are two; convolutions and matrix products count, the sinc layer among them."""
    parameters: int
    """Weights, those of norms that the published blocks never apply included; sinc filters are none."""


def cost(architecture: Architecture) -> Cost:
    """GFLOP per 64,600 samples, whatever window the architecture takes, and parameters. Nothing is computed.

    The sinc layer counts as the convolution it is defined as, though the folded form takes half of that.
    """
    a = architecture
    samples = max(WINDOW_SAMPLES, a.shortest_samples)
    model = Aasist(a).eval().requires_grad_(False)
    parameters = sum(weight.numel() for weight in model.parameters())
    model.sinc = PooledBands(a.bands, a.kernel_samples, a.sinc_stride, a.front_pool)
    counter = FlopCounterMode(display=False)
    with FakeTensorMode(allow_non_fake_inputs=True), counter:
        model(torch.empty(1, samples))
    return Cost(counter.get_total_flops() * WINDOW_SAMPLES / samples / 1e9, parameters)


def encoder_gflop(architecture: Architecture) -> float:
    """GFLOP of the residual blocks alone, counted as `cost` does, per 64,600 samples: without building anything."""
    a = architecture
    samples = max(WINDOW_SAMPLES, a.shortest_samples)
    steps = ((samples - a.frame_samples) // a.hop_samples + 1) // a.front_pool[1]
    total = 0
    blocks = zip(pairwise((1, *a.channels)), a.inner_widths, a.shortcuts, a.time_pools, strict=True)
    for (width_in, width_out), inner, shortcut, pool in blocks:
        # Kernels of 2 x 3, the first over one more band than there are; and 1 x 3 to the sum.
        first, second = 6 * width_in * inner * (a.spectral_nodes + 1), 6 * inner * width_out * a.spectral_nodes
        around = 3 * width_in * width_out * a.spectral_nodes if shortcut else 0
        total += 2 * steps * (first + second + around)
        steps //= pool
    return total * WINDOW_SAMPLES / samples / 1e9
