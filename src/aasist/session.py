"""The protocol that every runtime meets: windows in, logits out."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Hz; every window holds mono samples at this rate."""

WINDOW_SAMPLES = 64_600
"""Samples in the window of the published model (4.0375 s)."""

SPOOF, BONAFIDE = 0, 1
"""Columns of the logits: class 1 is bona fide, as in the published code."""

Float32 = NDArray[np.float32]


class Session(Protocol):
    """A countermeasure, ready to run; `run` may be called from several threads at once."""

    precision: str
    """``fp32``, ``bf16``, ``fp16`` or ``int8``."""

    def run(self, windows: Float32) -> Float32:
        """Windows (B, T) float32 in [-1, 1] at 16 kHz -> logits (B, 2) float32; column 1 is bona fide."""
        ...
