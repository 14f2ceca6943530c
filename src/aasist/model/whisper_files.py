"""Whisper's encoder from a folder: as ``transformers`` keeps it, or as faster-whisper does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

from aasist.errors import ModelError
from aasist.model import ctranslate2
from aasist.model.speech_encoder import (
    CTRANSLATE2,
    WHISPER,
    EncoderFacts,
    SpeechEncoder,
    config_of,
    filled,
    is_ctranslate2,
    weights_of,
)
from aasist.model.whisper import HOP_SAMPLES, MEL_HOP_SAMPLES, WhisperEncoder, WhisperShape

MOST = 1 << 16
"""Far beyond any Whisper: no dimension of a configuration may be larger."""

_BLOCK = {
    "self_attention/layer_norm": "self_attn_layer_norm",
    "self_attention/linear_1": "self_attn.out_proj",
    "ffn/layer_norm": "final_layer_norm",
    "ffn/linear_0": "fc1",
    "ffn/linear_1": "fc2",
}
_LEAVES = {"gamma": "weight", "beta": "bias"}


def opened(folder: Path, sha256: str) -> SpeechEncoder:
    """The encoder of a Whisper in ``folder``; `ModelError` ``encoder`` where it cannot be read."""
    shape, state = (_from_ctranslate2 if is_ctranslate2(folder) else _from_transformers)(folder)
    wrong = [name for name, value in vars(shape).items() if not 0 < value <= MOST]
    if wrong or shape.dim % shape.heads or shape.layers > 256:
        raise ModelError("encoder", f"{folder}: no Whisper has such dimensions: {shape}")
    with torch.device("meta"):
        encoder = WhisperEncoder(shape)
    facts = EncoderFacts(
        kind=WHISPER,
        sha256=sha256,
        dim=shape.dim,
        layers=shape.layers,
        hop_samples=HOP_SAMPLES,
        frame_samples=MEL_HOP_SAMPLES,
        longest_samples=shape.positions * HOP_SAMPLES,
    )
    return SpeechEncoder(filled(encoder, state, folder), facts)


def _from_transformers(folder: Path) -> tuple[WhisperShape, dict[str, Tensor]]:
    config = config_of(folder)
    activation = config.get("activation_function", "gelu")
    if activation != "gelu":
        raise ModelError("encoder", f"{folder}: activation_function must be gelu, got {str(activation)[:40]!r}")
    state = {}
    try:
        for path in weights_of(folder):
            for name, tensor in safetensors.torch.load_file(path).items():
                _, begins, rest = f".{name}".partition(".encoder.")
                if begins:
                    state[rest] = tensor
    except (SafetensorError, OSError) as error:
        raise ModelError("encoder", f"{folder}: not a safetensors file: {error}") from error
    return (
        WhisperShape(
            mels=_number(config, "num_mel_bins", folder),
            dim=_number(config, "d_model", folder),
            inner_dim=_number(config, "encoder_ffn_dim", folder),
            heads=_number(config, "encoder_attention_heads", folder),
            layers=_number(config, "encoder_layers", folder),
            positions=_number(config, "max_source_positions", folder),
        ),
        state,
    )


def _number(config: dict[str, Any], name: str, folder: Path) -> int:
    value = config.get(name)
    if type(value) is not int:
        raise ModelError(
            "encoder", f"{folder}: {name} of its configuration must be a whole number, got {str(value)[:40]!r}"
        )
    return value


def _from_ctranslate2(folder: Path) -> tuple[WhisperShape, dict[str, Tensor]]:
    path = folder / CTRANSLATE2
    variables = ctranslate2.read(path, "WhisperSpec", "encoder/")
    try:
        heads = int(variables.pop("num_heads"))
        state = {name: tensor for found in variables.items() for name, tensor in _translated(*found)}
        positions, dim = state["embed_positions.weight"].shape
        layers = sum(name.endswith(".fc1.bias") for name in state)
        inner_dim, mels = len(state["layers.0.fc1.bias"]), state["conv1.weight"].shape[1]
    except (KeyError, IndexError, ValueError, RuntimeError) as error:  # PyTorch's own, for shapes that cannot be cut
        raise ModelError("encoder", f"{path}: not the variables of a Whisper in float16 or float32: {error}") from error
    return WhisperShape(mels, dim, inner_dim, heads, layers, positions), state


def _translated(name: str, tensor: Tensor) -> list[tuple[str, Tensor]]:
    """A variable of CTranslate2 -> parameters by their names in `WhisperEncoder`; `KeyError` for one that there is not."""
    if name == "position_encodings/encodings":
        return [("embed_positions.weight", tensor)]
    module, _, leaf = name.rpartition("/")
    leaf = _LEAVES.get(leaf, leaf)
    inside = re.fullmatch(r"layer_(\d+)/(.+)", module)
    if inside is None:
        return [(f"{module}.{leaf}", tensor)]
    number, part = inside.groups()
    if part != "self_attention/linear_0":
        return [(f"layers.{number}.{_BLOCK[part]}.{leaf}", tensor)]
    # Queries, keys and values in one; those of keys have no bias in Whisper, and stand there as zeros.
    parts = zip("qkv", tensor.chunk(3), strict=True)
    return [(f"layers.{number}.self_attn.{one}_proj.{leaf}", t) for one, t in parts if (one, leaf) != ("k", "bias")]
