"""The protocol that every runtime meets, windows in and logits out, and the bands that every model hears."""

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


def mel_edges_hz(bands: int) -> NDArray[np.float64]:
    """Edges in Hz of ``bands`` sinc filters, evenly spaced in mel (O'Shaughnessy) over 0 to 8 kHz -> (bands + 1,)."""
    top_mel = 2595.0 * np.log10(1.0 + SAMPLE_RATE / 2 / 700.0)
    return np.asarray(700.0 * (10.0 ** (np.linspace(0.0, top_mel, bands + 1) / 2595.0) - 1.0))


class Session(Protocol):
    """A countermeasure, ready to run; `run` may be called from several threads at once."""

    precision: str
    """``fp32``, ``bf16``, ``fp16`` or ``int8``."""

    def run(self, windows: Float32) -> Float32:
        """Windows (B, T) float32 in [-1, 1] at 16 kHz -> logits (B, 2) float32; column 1 is bona fide."""
        ...
