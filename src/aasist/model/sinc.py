"""Fixed mel-spaced sinc band-pass filters, and what the encoder sees of them: their largest magnitudes."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from aasist.session import SAMPLE_RATE, mel_edges_hz


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


class PooledBands(SincBands):
    """Waveform (B, T) -> largest |band| of each ``pool`` (bands, outputs in time): (B, bands // pool[0], frames)."""

    def __init__(self, bands: int, kernel_samples: int, stride: int, pool: tuple[int, int]) -> None:
        super().__init__(bands, kernel_samples, stride)
        self.pool = pool

    def forward(self, waveform: Tensor, band_mask: Tensor | None = None) -> Tensor:
        """``band_mask`` as in `SincBands`."""
        return functional.max_pool2d(super().forward(waveform, band_mask).abs(), self.pool)


MOST_FOLDED = 1 << 22
"""Numbers in the folded filters at the most (the shipped model's are 84,000): the product of three numbers that a
checkpoint's metadata may choose must not decide how much memory is asked for."""


class FoldedBands(nn.Module):
    """The same as `PooledBands`, with half its multiplications; exact but for rounding.

    The outputs that one pool takes the largest of are all read from one frame of the waveform. Since each filter is its
    own mirror image, outputs p and P - 1 - p of a frame are mirror images too: with the frame's even part s and odd part
    d, half as long, they are (a + b) / 2 and (a - b) / 2 for a = A s and b = B d, and the larger of their magnitudes is
    (|a| + |b|) / 2. So two small matrix products and one maximum take the place of convolution, | | and pooling.
    """

    filters: Tensor
    even: Tensor
    odd: Tensor

    def __init__(self, bands: int, kernel_samples: int, stride: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.group, outputs = pool
        assert kernel_samples >= outputs * stride  # shorter filters would read beyond the halves of a frame
        self.frequencies = bands // self.group
        self.hop = outputs * stride
        self.frame = (outputs - 1) * stride + kernel_samples
        self.half_frame = -(-self.frame // 2)
        self.pairs = outputs // 2
        self.register_buffer("filters", sinc_filters(bands, kernel_samples).unsqueeze(1), persistent=False)
        # (group, frequencies, kernel): the maximum goes over the leading dimensions, which is the fast way round.
        filters = self.filters[: self.group * self.frequencies, 0].double()
        filters = filters.reshape(self.frequencies, self.group, -1).transpose(0, 1)
        shifted = torch.stack(
            [functional.pad(filters, (p * stride, self.frame - kernel_samples - p * stride)) for p in range(outputs)]
        )
        even = 0.5 * (shifted + shifted.flip(-1))[: outputs - self.pairs, ..., : self.half_frame]
        odd = 0.5 * (shifted - shifted.flip(-1))[: self.pairs, ..., : self.half_frame]
        if self.frame % 2:
            even[..., -1] *= 0.5  # the middle sample is its own mirror image, and the even part holds it twice
        self.register_buffer("even", even.reshape(-1, self.half_frame).float(), persistent=False)
        self.register_buffer("odd", odd.reshape(-1, self.half_frame).float(), persistent=False)

    def forward(self, waveform: Tensor, band_mask: Tensor | None = None) -> Tensor:
        """``band_mask`` as in `SincBands`."""
        frames = (waveform.shape[1] - self.frame) // self.hop + 1
        ahead, back = self._halves(waveform, frames)
        largest = self._magnitudes(self.even, ahead + back)
        paired = largest[:, : self.pairs] + self._magnitudes(self.odd, ahead - back)
        largest = torch.cat((paired, largest[:, self.pairs :]), dim=1) if largest.shape[1] > self.pairs else paired
        if band_mask is not None:
            mask = band_mask[..., : self.group * self.frequencies].reshape(-1, 1, self.frequencies, self.group, 1)
            largest = largest * mask.transpose(2, 3)
        return largest.flatten(1, 2).amax(dim=1)

    def _magnitudes(self, matrix: Tensor, half_frames: Tensor) -> Tensor:
        """(outputs * bands, half) and (B, half, frames) -> (B, outputs, group, frequencies, frames)."""
        magnitudes = torch.matmul(matrix, half_frames).abs()
        return magnitudes.reshape(magnitudes.shape[0], -1, self.group, self.frequencies, magnitudes.shape[2])

    def _halves(self, waveform: Tensor, frames: int) -> tuple[Tensor, Tensor]:
        """First half of every frame, and the second read backwards: each (B, half, frames).

        Put together from the waveform cut into columns of one hop, so that whole rows are copied and no sample singly.
        """
        whole, rest = divmod(self.frame, self.hop)
        columns = -(-self.half_frame // self.hop)
        ahead = self._columns(waveform, frames - 1 + columns)
        back = self._columns(waveform[:, rest:], frames - 1 + whole).flip(1)
        rows_ahead = [ahead[:, :, i : i + frames] for i in range(columns)]
        rows_back = [back[:, :, whole - 1 - i : whole - 1 - i + frames] for i in range(columns)]
        return torch.cat(rows_ahead, dim=1)[:, : self.half_frame], torch.cat(rows_back, dim=1)[:, : self.half_frame]

    def _columns(self, waveform: Tensor, count: int) -> Tensor:
        """(B, T) -> (B, hop, count)."""
        return waveform[:, : count * self.hop].reshape(waveform.shape[0], count, self.hop).transpose(1, 2)


FEWEST_FOLDED = 6
"""Outputs in a pool from which on folding is the faster form, of whole windows in ONNX Runtime: it wins where a frame gives
many (stride 3, 8 outputs: 10 ms against 13) and loses where it gives few (stride 1, 3 outputs, as published: 43 ms
against 30). Of stretches that stay in cache it is always the faster (11 ms against 25, as published)."""


def pooled_bands(
    bands: int, kernel_samples: int, stride: int, pool: tuple[int, int], fewest_folded: int = FEWEST_FOLDED
) -> PooledBands | FoldedBands:
    """The faster of the two forms."""
    outputs = pool[1]
    frame = (outputs - 1) * stride + kernel_samples
    folds = outputs >= fewest_folded and kernel_samples >= outputs * stride and outputs * bands * frame <= MOST_FOLDED
    return (FoldedBands if folds else PooledBands)(bands, kernel_samples, stride, pool)
