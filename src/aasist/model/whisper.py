"""Whisper's encoder over as much audio as there is: log-mel frames, two convolutions, transformer blocks.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", ICML 2023. The published encoder takes 30 s,
padded with silence; here positions are cut to the window, so that 4 s cost 4 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from aasist.session import SAMPLE_RATE

FFT_SAMPLES, MEL_HOP_SAMPLES = 400, 160
HOP_SAMPLES = 2 * MEL_HOP_SAMPLES
"""Between two frames of the encoder, whose second convolution has a stride of 2."""


@dataclass(frozen=True)
class WhisperShape:
    """Whisper-base by default."""

    mels: int = 80
    dim: int = 512
    inner_dim: int = 2048
    heads: int = 8
    layers: int = 6
    positions: int = 1500


class LogMel(nn.Module):
    """Waveform (B, T) -> log-mel frames (B, mels, T // 160), as Whisper's own front makes them of a recording that silence follows.

    Power spectra of 25 ms (Hann), mel filters of unit area (Slaney), decimal logarithm, at most 8 below the window's
    largest, (x + 4) / 4.
    """

    basis: Tensor
    filters: Tensor

    def __init__(self, mels: int) -> None:
        super().__init__()
        # A Fourier transform by matrix product exports to any runtime, and is no part of what the encoder costs.
        steps = np.arange(FFT_SAMPLES)
        phases = 2 * np.pi * ((np.arange(FFT_SAMPLES // 2 + 1)[:, None] * steps) % FFT_SAMPLES) / FFT_SAMPLES
        window = 0.5 - 0.5 * np.cos(2 * np.pi * steps / FFT_SAMPLES)
        basis = np.concatenate([np.cos(phases), -np.sin(phases)]) * window
        self.register_buffer("basis", torch.from_numpy(basis).float().unsqueeze(1), persistent=False)
        self.register_buffer("filters", torch.from_numpy(mel_filters(mels)).float(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        half = FFT_SAMPLES // 2
        # Mirrored at the beginning, as the published code does; silence at the end, where its padding begins.
        padded = torch.cat([waveform[:, 1 : half + 1].flip(1), functional.pad(waveform, (0, half))], dim=1)
        parts = functional.conv1d(padded.unsqueeze(1), self.basis, stride=MEL_HOP_SAMPLES)
        # The last frame would begin where the recording ends; the published code drops it as well.
        real, imaginary = parts[:, :, :-1].square().chunk(2, dim=1)
        logs = torch.log10((self.filters @ (real + imaginary)).clamp_min(1e-10))
        largest = logs.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(logs, largest - 8.0) + 4.0) / 4.0


def mel_filters(mels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Triangles (mels, 201) over 0 to 8 kHz, evenly spaced in Slaney's mel (linear to 1 kHz, then logarithmic), of unit area."""
    knee_hz, knee_mel, log_step = 1000.0, 15.0, np.log(6.4) / 27.0
    top_mel = knee_mel + np.log(SAMPLE_RATE / 2 / knee_hz) / log_step
    points = np.linspace(0.0, top_mel, mels + 2)
    edges = np.where(points < knee_mel, points * 200.0 / 3.0, knee_hz * np.exp(log_step * (points - knee_mel)))
    bins = np.linspace(0.0, SAMPLE_RATE / 2, FFT_SAMPLES // 2 + 1)
    low, middle, high = (edges[first : first + mels, None] for first in range(3))
    rising, falling = (bins - low) / (middle - low), (high - bins) / (high - middle)
    triangles = np.maximum(0.0, np.minimum(rising, falling))
    return np.asarray(triangles * 2.0 / (high - low))


class Attention(nn.Module):
    """Frames (B, N, D) -> (B, N, D): every frame attends to every other."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj, self.v_proj, self.out_proj = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.k_proj = nn.Linear(dim, dim, bias=False)

    def forward(self, frames: Tensor) -> Tensor:
        batch, count, dim = frames.shape
        query, key, value = (
            projection(frames).view(batch, count, self.heads, dim // self.heads).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.out_proj(attended.transpose(1, 2).reshape(batch, count, dim))
        return out


class Block(nn.Module):
    """Frames (B, N, D) -> (B, N, D): attention, then two layers for each frame, each normed before and added."""

    def __init__(self, shape: WhisperShape) -> None:
        super().__init__()
        self.self_attn = Attention(shape.dim, shape.heads)
        self.self_attn_layer_norm = nn.LayerNorm(shape.dim)
        self.fc1, self.fc2 = nn.Linear(shape.dim, shape.inner_dim), nn.Linear(shape.inner_dim, shape.dim)
        self.final_layer_norm = nn.LayerNorm(shape.dim)

    def forward(self, frames: Tensor) -> Tensor:
        frames = frames + self.self_attn(self.self_attn_layer_norm(frames))
        out: Tensor = frames + self.fc2(functional.gelu(self.fc1(self.final_layer_norm(frames))))
        return out


class WhisperEncoder(nn.Module):
    """Waveform (B, T) -> frames (B, N, D) after each block that is asked for, one every 20 ms.

    Parameters have the names that ``transformers`` gives them.
    """

    def __init__(self, shape: WhisperShape) -> None:
        super().__init__()
        self.shape = shape
        self.mel = LogMel(shape.mels)
        self.conv1 = nn.Conv1d(shape.mels, shape.dim, 3, padding=1)
        self.conv2 = nn.Conv1d(shape.dim, shape.dim, 3, stride=2, padding=1)
        self.embed_positions = nn.Embedding(shape.positions, shape.dim)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.layer_norm = nn.LayerNorm(shape.dim)

    def forward(self, waveform: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """``layers`` count from 1, rising; the last of all is normed, as what the decoder sees. None behind them is run."""
        with torch.autocast(
            waveform.device.type, enabled=False
        ):  # powers of a weak recording are no numbers in 16 bits
            mel = self.mel(waveform)
        return self.encoded(mel, layers)

    def encoded(self, mel: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Log-mel frames (B, mels, 2 N) -> frames (B, N, D) of each of ``layers``."""
        frames = functional.gelu(self.conv2(functional.gelu(self.conv1(mel)))).transpose(1, 2)
        frames = frames + self.embed_positions.weight[: frames.shape[1]]
        found = []
        for number, block in enumerate(self.layers[: max(layers)], 1):
            frames = block(frames)
            if number in layers:
                found.append(self.layer_norm(frames) if number == len(self.layers) else frames)
        return found
