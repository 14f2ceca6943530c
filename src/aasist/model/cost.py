"""What an architecture costs: multiplications and additions a window, and weights."""

from __future__ import annotations

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
