"""Fixed mel-spaced sinc band-pass filters."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from aasist.session import SAMPLE_RATE


def mel_edges_hz(bands: int) -> np.ndarray:
    """Edges in Hz of ``bands`` filters, evenly spaced in mel (O'Shaughnessy) over 0 to 8 kHz -> (bands + 1,)."""
    top_mel = 2595.0 * np.log10(1.0 + SAMPLE_RATE / 2 / 700.0)
    return np.asarray(700.0 * (10.0 ** (np.linspace(0.0, top_mel, bands + 1) / 2595.0) - 1.0))


def sinc_filters(bands: int, kernel_samples: int) -> Tensor:
    """Impulse responses (bands, kernel_samples) float32, Hamming-windowed.

    An ideal band-pass is the difference of two ideal low-passes, 2f/r sinc(2f n/r) at its two edges
    (Ravanelli and Bengio, SLT 2018, eq. 4). The sines are taken in float32 and scaled in float64, as the published
    weights were trained: taken in float64 throughout, the encoder's output moves by 2e-3.
    """
    edges = mel_edges_hz(bands)[:, None]
    steps = (np.arange(kernel_samples) - (kernel_samples - 1) / 2).astype(np.float32)
    phases = (2.0 * edges).astype(np.float32) * steps / np.float32(SAMPLE_RATE)
    low_passes = 2.0 * edges / SAMPLE_RATE * np.sinc(phases)
    ideal = np.diff(low_passes, axis=0).astype(np.float32)
    return torch.from_numpy(np.hamming(kernel_samples).astype(np.float32) * ideal)


class SincBands(nn.Module):
    """Waveform (B, T) -> bands (B, bands, (T - kernel) // stride + 1). Not trained and not in the state dict."""

    filters: Tensor

    def __init__(self, bands: int, kernel_samples: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.register_buffer("filters", sinc_filters(bands, kernel_samples).unsqueeze(1), persistent=False)

    def forward(self, waveform: Tensor, band_mask: Tensor | None = None) -> Tensor:
        """``band_mask`` (B, bands) or (bands,), 0 or 1, silences bands in training."""
        bands = functional.conv1d(waveform.unsqueeze(1), self.filters, stride=self.stride)
        return bands if band_mask is None else bands * band_mask.unsqueeze(-1)
