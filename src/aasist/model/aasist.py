"""AASIST: from a waveform to two logits (Jung et al., ICASSP 2022)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from aasist.model.context import context_of
from aasist.model.encoder import Encoder
from aasist.model.graph import GraphAttention, GraphPool, HeterogeneousAttention
from aasist.model.prosodic_nodes import prosody_of, with_nodes
from aasist.model.sinc import pooled_bands
from aasist.model.speech_encoder import SpeechEncoder
from aasist.model.speech_front import SpeechFront, require_fit
from aasist.recipe import SINC, Architecture

DEVIATION_FLOOR = 1e-5
"""Of a variance in `statistics`: where nothing varies, as in one node, the root has no finite gradient."""


class Branch(nn.Module):
    """One of the two heterogeneous stacks.

    Temporal (B, N_t, D), spectral (B, N_s, D) -> pooled temporal, pooled spectral and master (B, 1, D') nodes.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        dim_in, dim_out = architecture.graph_dims
        ratio, temperature = architecture.heterogeneous_ratio, architecture.temperatures[2]
        attention_dropout, pooling_dropout, self.dropout, _ = architecture.dropouts
        self.master = nn.Parameter(torch.randn(1, 1, dim_in))
        self.layer1 = HeterogeneousAttention(dim_in, dim_out, temperature, attention_dropout)
        self.temporal_pool = GraphPool(dim_out, ratio, pooling_dropout)
        self.spectral_pool = GraphPool(dim_out, ratio, pooling_dropout)
        self.layer2 = HeterogeneousAttention(dim_out, dim_out, temperature, attention_dropout)

    def forward(self, temporal: Tensor, spectral: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        master = self.master.expand(temporal.shape[0], -1, -1)
        temporal, spectral, master = self.layer1(temporal, spectral, master)
        temporal, spectral = self.temporal_pool(temporal), self.spectral_pool(spectral)
        more_temporal, more_spectral, more_master = self.layer2(temporal, spectral, master)
        return (
            functional.dropout(temporal + more_temporal, self.dropout, self.training),
            functional.dropout(spectral + more_spectral, self.dropout, self.training),
            functional.dropout(master + more_master, self.dropout, self.training),
        )


class Aasist(nn.Module):
    """Waveform (B, T) at 16 kHz -> logits (B, 2); column 1 is bona fide.

    T is free from ``architecture.shortest_samples`` up; the published model is trained on 64,600.
    """

    def __init__(self, architecture: Architecture, encoder: SpeechEncoder | None = None) -> None:
        """``encoder`` is the speech encoder of an architecture with one in front; the model holds it, and trains and saves
        all but it. `ModelError` ``encoder`` where it is missing or does not fit."""
        super().__init__()
        require_fit(architecture, encoder)
        self.architecture = a = architecture
        width, (dim1, dim2) = a.channels[-1], a.graph_dims
        spectral_temperature, temporal_temperature, _ = a.temperatures
        attention_dropout, pooling_dropout, _, self.dropout = a.dropouts
        self.front = None if encoder is None else SpeechFront(a, encoder)
        if a.front == SINC:
            self.sinc = pooled_bands(a.bands, a.kernel_samples, a.sinc_stride, a.front_pool)
        self.encoder = Encoder(
            a.channels,
            a.time_pools,
            a.compression,
            a.unused_norms,
            a.squeeze,
            a.centring,
            a.inner_channels,
            a.shortcuts,
        )
        self.context = context_of(a)
        self.spectral_position = nn.Parameter(a.position_std * torch.randn(1, a.spectral_nodes, width))
        self.spectral_attention = GraphAttention(width, dim1, spectral_temperature, attention_dropout)
        self.temporal_attention = GraphAttention(width, dim1, temporal_temperature, attention_dropout)
        self.spectral_pool = GraphPool(dim1, a.spectral_ratio, pooling_dropout)
        self.temporal_pool = GraphPool(dim1, a.temporal_ratio, pooling_dropout)
        self.branches = nn.ModuleList(Branch(a) for _ in range(2))
        self.prosody = prosody_of(a)
        statistic_width = 3 * width * a.spectral_nodes if a.statistics else 0
        fused_width = 0 if self.prosody is None else self.prosody.fused
        self.out = nn.Linear(5 * dim2 + statistic_width + fused_width, 2)

    @property
    def speech_encoder(self) -> SpeechEncoder | None:
        """The speech encoder in front, where there is one."""
        return None if self.front is None else self.front.encoder

    def forward(self, waveform: Tensor, band_mask: Tensor | None = None) -> Tensor:
        """``band_mask`` (B, bands) of 0 and 1 silences sinc bands in training."""
        return self.logits(self.features(waveform, band_mask), self.prosodic(waveform))

    def logits(self, features: Tensor, prosodic: Tensor | None = None) -> Tensor:
        """Encoder output (B, channels, spectral nodes, temporal nodes), `prosodic` frames -> logits (B, 2)."""
        readout = functional.dropout(self.embed(features, prosodic), self.dropout, self.training)
        logits: Tensor = self.out(readout)
        return logits

    def embed(self, features: Tensor, prosodic: Tensor | None = None) -> Tensor:
        """Encoder output and `prosodic` frames -> what the last layer sees: the readout (B, 5 * graph_dims[1]), and
        statistics of either behind it."""
        spectral, temporal = self.graphs(features)
        nodes, fused = ((), ()) if self.prosody is None else self.prosody(prosodic)
        joined = with_nodes(self.temporal_pool(temporal), nodes)
        parts = [self.readout(self.spectral_pool(spectral), joined)]
        if self.architecture.statistics:
            parts.append(statistics(features))
        embedding = torch.cat([*parts, *fused], dim=1)
        return functional.normalize(embedding, dim=1) if self.architecture.readout == "cosine" else embedding

    def prosodic(self, waveform: Tensor) -> Tensor | None:
        """Waveform (B, T) -> prosodic frames (B, F, 8), through which no gradient goes; None for a model that takes none."""
        if self.prosody is None:
            return None
        with torch.no_grad():
            frames: Tensor = self.prosody.frames(waveform)
        return frames

    def features(self, waveform: Tensor, band_mask: Tensor | None = None) -> Tensor:
        """Waveform (B, T) -> encoder output (B, channels, spectral nodes, temporal nodes)."""
        encoded: Tensor = self.encoder(self.bands(waveform, band_mask))
        return encoded

    def bands(self, waveform: Tensor, band_mask: Tensor | None = None) -> Tensor:
        """Waveform (B, T) -> rectified, pooled sinc bands (B, spectral nodes, frames), or a speech encoder's in their place,
        which no mask reaches."""
        if self.front is not None:
            projected: Tensor = self.front(self.levelled(waveform))
            return projected
        if waveform.requires_grad:  # somebody asks how the waveform would have to change
            reached: Tensor = self.sinc(self.levelled(waveform), band_mask)
            return reached
        # The sinc layer has no weights and its input needs none: nothing of it is kept for the backward pass.
        with torch.no_grad():
            bands: Tensor = self.sinc(self.levelled(waveform), band_mask)
        return bands

    def levelled(self, waveform: Tensor) -> Tensor:
        """Waveform (B, T) at the level the architecture wants."""
        if self.architecture.level == "none":
            return waveform
        # A floor and not a sum: the exporter takes adding 1e-10 for adding nothing, and silence would give NaN.
        level = torch.rsqrt(waveform.square().mean(dim=1, keepdim=True).clamp_min(1e-10))
        # A speech encoder knows speech at the level that recordings have.
        return waveform * (level if self.front is None else 0.1 * level)

    def graphs(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, F, T) -> spectral nodes (B, F, D) and temporal nodes (B, T, D) after attention."""
        spectral, temporal = self.nodes(features)
        return self.spectral_attention(spectral), self.temporal_attention(self.context(temporal))

    def nodes(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, C, F, T) -> spectral nodes (B, F, C) and temporal nodes (B, T, C), before context and attention."""
        spectral = features.abs().amax(dim=3).transpose(1, 2) + self.spectral_position
        return spectral, features.abs().amax(dim=2).transpose(1, 2)

    def readout(self, spectral: Tensor, temporal: Tensor) -> Tensor:
        """Pooled nodes (B, N_s, D), (B, N_t, D) -> [max |T|, mean T, max |S|, mean S, master] (B, 5 D')."""
        first, second = (branch(temporal, spectral) for branch in self.branches)
        temporal, spectral, master = (torch.maximum(one, other) for one, other in zip(first, second, strict=True))
        return torch.cat(
            [
                temporal.abs().amax(dim=1),
                temporal.mean(dim=1),
                spectral.abs().amax(dim=1),
                spectral.mean(dim=1),
                master.squeeze(1),
            ],
            dim=1,
        )


def statistics(features: Tensor) -> Tensor:
    """Encoder output (B, C, F, T) -> mean, deviation and maximum of each channel and band over time (B, 3 C F).

    From these a linear layer learns within tens of steps, where the graphs take hundreds (docs/log.md).
    """
    mean = features.mean(dim=3)
    deviation = (features - mean.unsqueeze(3)).square().mean(dim=3).clamp_min(DEVIATION_FLOOR).sqrt()
    return torch.cat([mean, deviation, features.amax(dim=3)], dim=1).flatten(1)
