"""A speech encoder in place of the sinc layer: frozen frames, mixed and projected to bands (Tak et al., Odyssey 2022)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from aasist.errors import ModelError
from aasist.model.speech_encoder import EncoderFacts, SpeechEncoder
from aasist.recipe import SPEECH_ENCODER, Architecture


class SpeechFront(nn.Module):
    """Waveform (B, T) -> pooled bands (B, projection // pool, frames), as the residual encoder takes them.

    Frames (B, N, dim) of each layer in ``encoder_layers``, each frame at zero mean and unit variance, are added with
    weights that are learnt (a softmax; one layer needs none), projected and max-pooled. The encoder is no part of this
    module: neither its state dict nor its parameters nor its training mode reach it, its device does.
    """

    def __init__(self, architecture: Architecture, encoder: SpeechEncoder) -> None:
        super().__init__()
        self._held = (encoder,)  # in a tuple, where PyTorch takes it for no part of this module
        self.layers, self.pool = architecture.encoder_layers, architecture.front_pool
        self.mix = nn.Parameter(torch.zeros(len(self.layers))) if len(self.layers) > 1 else None
        self.projection = nn.Linear(architecture.encoder_dim, architecture.projection)

    @property
    def encoder(self) -> SpeechEncoder:
        """What is held."""
        return self._held[0]

    def forward(self, waveform: Tensor) -> Tensor:
        # The encoder does not learn, but an attack on the waveform goes through it.
        with nullcontext() if waveform.requires_grad else torch.no_grad():
            states = [functional.layer_norm(state, state.shape[-1:]) for state in self.encoder(waveform, self.layers)]
        mixed = states[0]
        if self.mix is not None:
            shares = self.mix.softmax(0)
            mixed = shares[0] * states[0]
            for number, state in enumerate(states[1:], 1):
                mixed = mixed + shares[number] * state
        return functional.max_pool2d(self.projection(mixed).transpose(1, 2), self.pool)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """To another device or precision, the encoder comes along."""
        self.encoder._apply(fn, recurse)  # type: ignore[no-untyped-call]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self


def require_fit(architecture: Architecture, encoder: SpeechEncoder | None) -> None:
    """`ModelError` unless there is an encoder where the architecture has one in front, and it is of its dimensions."""
    if (architecture.front == SPEECH_ENCODER) != (encoder is not None):
        wanted = "wants a speech encoder, and none came" if encoder is None else "has no use for a speech encoder"
        raise ModelError("encoder", f"the architecture {architecture.name!r} {wanted}")
    if encoder is not None:
        require_dimensions(architecture, encoder.facts)


def require_dimensions(architecture: Architecture, facts: EncoderFacts) -> None:
    """`ModelError` where an encoder's dimensions are not those that the architecture is for."""
    pairs = {
        "encoder_dim": (architecture.encoder_dim, facts.dim),
        "encoder_hop_samples": (architecture.encoder_hop_samples, facts.hop_samples),
        "encoder_frame_samples": (architecture.encoder_frame_samples, facts.frame_samples),
    }
    wrong = [f"{name} {wanted:,}, got {came:,}" for name, (wanted, came) in pairs.items() if wanted != came]
    if max(architecture.encoder_layers) > facts.layers:
        wrong.append(f"layer {max(architecture.encoder_layers)} (encoder_layers), got {facts.layers} layers")
    if architecture.window_samples > facts.longest_samples:
        wrong.append(f"windows of {architecture.window_samples:,} samples, got {facts.longest_samples:,} at the most")
    if wrong:
        raise ModelError("encoder", f"the speech encoder {facts} does not fit: wanted {'; '.join(wrong)}")
