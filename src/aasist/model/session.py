"""A session on PyTorch: a checkpoint run as it is, without an export."""

from __future__ import annotations

from pathlib import Path

import torch

from aasist.errors import ModelError
from aasist.model import checkpoint
from aasist.session import Float32


class TorchSession:
    """Windows (B, T) -> logits (B, 2), on CUDA where there is one."""

    precision = "fp32"

    def __init__(self, path: Path) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = checkpoint.load(path).to(self.device)
        self.architecture = self.model.architecture

    def use_threads(self, threads: int) -> None:
        """Let torch use so many threads, in the whole process: it knows no other way."""
        torch.set_num_threads(threads)

    def run(self, windows: Float32) -> Float32:
        """Windows (B, T) float32 -> logits (B, 2) float32."""
        try:
            with torch.inference_mode():
                logits: Float32 = self.model(torch.from_numpy(windows).to(self.device)).cpu().numpy()
        except RuntimeError as error:
            raise ModelError("model", f"PyTorch cannot run the model: {' '.join(str(error).split())[:200]}") from error
        return logits
