"""The published architecture in eager PyTorch: what speeds are compared with."""

from __future__ import annotations

from pathlib import Path

import torch

from aasist.errors import ModelError
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.recipe import AASIST, Architecture
from aasist.session import Float32


def seeded(architecture: Architecture, seed: int = 0) -> Aasist:
    """A model with random weights, in eval mode: as fast as a trained one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Aasist(architecture).eval().requires_grad_(False)


class Reference:
    """Windows (B, T) -> logits (B, 2): AASIST on the processor, channels first, float32, as it is published.

    Not the session that runs checkpoints: that one may become faster, and this one must not.
    """

    precision = "fp32"

    def __init__(self, weights: Path | str | None = None) -> None:
        """``weights`` is a checkpoint of AASIST; without it they are seeded. `ModelError` where it is of another."""
        model = seeded(AASIST) if weights is None else checkpoint.load(weights).requires_grad_(False)
        if model.architecture != AASIST:
            raise ModelError("checkpoint", f"{weights}: the published AASIST was wanted, got {model.architecture.name}")
        self.model = model

    def use_threads(self, threads: int) -> None:
        """Let torch use so many threads, in the whole process: it knows no other way."""
        torch.set_num_threads(threads)

    def run(self, windows: Float32) -> Float32:
        """Windows (B, T) float32 -> logits (B, 2) float32."""
        with torch.inference_mode():
            logits: Float32 = self.model(torch.from_numpy(windows)).numpy()
        return logits
