"""A session on PyTorch: a checkpoint run as it is, without an export."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from aasist.errors import ModelError, one_line
from aasist.model import checkpoint
from aasist.session import Float32


class TorchSession:
    """Windows (B, T) -> logits (B, 2), on CUDA where there is one, in fp32 there too.

    In a forked process it runs on one thread: the others were left behind, and a run would wait for them without end.
    """

    precision = "fp32"

    def __init__(self, path: Path) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = checkpoint.load(path).to(self.device)
        self.architecture = self.model.architecture
        self._process = os.getpid()

    def use_threads(self, threads: int) -> None:
        """Let torch use so many threads, in the whole process: it knows no other way."""
        torch.set_num_threads(threads)

    def run(self, windows: Float32) -> Float32:
        """Windows (B, T) float32 -> logits (B, 2) float32."""
        if os.getpid() != self._process:  # as torch's own DataLoader does in its workers
            self.use_threads(1)
            self._process = os.getpid()
        try:
            with torch.inference_mode(), without_tf32():
                logits: Float32 = self.model(torch.from_numpy(windows).to(self.device)).cpu().numpy()
        except RuntimeError as error:
            raise ModelError("model", f"PyTorch cannot run the model: {one_line(error)}") from error
        return logits


@contextmanager
def without_tf32() -> Iterator[None]:
    """Products and convolutions on CUDA in fp32 as written: by default cuDNN rounds what it convolves to ten bits (TF32)."""
    kinds: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [kind.allow_tf32 for kind in kinds]
    try:
        for kind in kinds:
            kind.allow_tf32 = False
        yield
    finally:
        for kind, allowed in zip(kinds, before, strict=True):
            kind.allow_tf32 = allowed
