"""Tiny speech encoders with random weights, in folders as ``transformers`` and faster-whisper leave them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from aasist.model.whisper import WhisperEncoder, WhisperShape

WHISPER = WhisperShape(mels=80, dim=16, inner_dim=32, heads=2, layers=3, positions=60)
CONVOLUTIONS: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8, 8, 8),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (10, 8, 4),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
"""Frames every 320 samples, as all models of this kind have them; each is made of 190 at the least."""


def transformers_folder(folder: Path, kind: str, **changes: Any) -> Path:
    """A wav2vec 2.0 (``wav2vec2``), ``wavlm`` or ``hubert``, saved by its own library; skips visibly without it."""
    transformers = pytest.importorskip("transformers", reason="the extra ssl is not installed")
    classes = {"wav2vec2": "Wav2Vec2", "wavlm": "WavLM", "hubert": "Hubert"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = getattr(transformers, f"{classes[kind]}Config")(**(CONVOLUTIONS | changes))
        model = getattr(transformers, f"{classes[kind]}Model")(config).eval()
    return saved(model, folder)


def saved(model: Any, folder: Path) -> Path:
    """``model`` in ``folder``, without its library's progress bar."""
    import transformers

    transformers.logging.disable_progress_bar()
    model.save_pretrained(folder)
    return folder


def whisper(seed: int = 0) -> WhisperEncoder:
    """Whisper's encoder with 60 positions, that is 1.2 s at the most."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = WhisperEncoder(WHISPER).eval().requires_grad_(False)
        for parameter in encoder.parameters():
            if parameter.ndim > 1:
                parameter.mul_(1.5)
    return encoder


def whisper_folder(folder: Path, seed: int = 0) -> Path:
    """That encoder as ``transformers`` would save it; written without that."""
    folder.mkdir(parents=True)
    config = {
        "model_type": "whisper",
        "num_mel_bins": WHISPER.mels,
        "d_model": WHISPER.dim,
        "encoder_ffn_dim": WHISPER.inner_dim,
        "encoder_attention_heads": WHISPER.heads,
        "encoder_layers": WHISPER.layers,
        "max_source_positions": WHISPER.positions,
    }
    (folder / "config.json").write_text(json.dumps(config))
    state = {f"model.encoder.{name}": tensor for name, tensor in whisper(seed).state_dict().items()}
    safetensors.torch.save_file(state | {"proj_out.weight": torch.zeros(3)}, folder / "model.safetensors")
    return folder


def faster_whisper_folder(folder: Path, encoder: WhisperEncoder) -> Path:
    """``encoder`` in CTranslate2's format (version 6), float16."""
    folder.mkdir(parents=True)
    (folder / "model.bin").write_bytes(ctranslate2_bytes(encoder))
    return folder


def ctranslate2_bytes(encoder: WhisperEncoder) -> bytes:
    """The file, put together by the format's own description."""
    state = {name: tensor.numpy() for name, tensor in encoder.state_dict().items()}
    variables: dict[str, np.ndarray] = {
        "decoder/activation": np.int8(3),
        "encoder/num_heads": np.int16(encoder.shape.heads),
    }
    leaves = {"weight": "weight", "bias": "bias"}
    norms = {"weight": "gamma", "bias": "beta"}
    for leaf, theirs in leaves.items():
        variables |= {f"encoder/{conv}/{theirs}": state[f"{conv}.{leaf}"] for conv in ("conv1", "conv2")}
        variables[f"encoder/layer_norm/{norms[leaf]}"] = state[f"layer_norm.{leaf}"]
    variables["encoder/position_encodings/encodings"] = state["embed_positions.weight"]
    for number in range(encoder.shape.layers):
        ours, their = f"layers.{number}", f"encoder/layer_{number}"
        for leaf in leaves:
            zeros = np.zeros(encoder.shape.dim, np.float32)
            parts = [state.get(f"{ours}.self_attn.{one}_proj.{leaf}", zeros) for one in "qkv"]
            variables[f"{their}/self_attention/linear_0/{leaf}"] = np.concatenate(parts)
            variables[f"{their}/self_attention/linear_1/{leaf}"] = state[f"{ours}.self_attn.out_proj.{leaf}"]
            variables[f"{their}/ffn/linear_0/{leaf}"] = state[f"{ours}.fc1.{leaf}"]
            variables[f"{their}/ffn/linear_1/{leaf}"] = state[f"{ours}.fc2.{leaf}"]
            variables[f"{their}/self_attention/layer_norm/{norms[leaf]}"] = state[f"{ours}.self_attn_layer_norm.{leaf}"]
            variables[f"{their}/ffn/layer_norm/{norms[leaf]}"] = state[f"{ours}.final_layer_norm.{leaf}"]
    kinds = {"float16": 4, "int8": 1, "int16": 2}
    out = struct.pack("<I", 6) + _text("WhisperSpec") + struct.pack("<II", 3, len(variables))
    for name, value in sorted(variables.items()):
        array = np.asarray(value)
        array = array.astype(np.float16) if array.dtype.kind == "f" else array
        out += _text(name) + struct.pack("<B", array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
        out += struct.pack("<BI", kinds[array.dtype.name], array.nbytes) + array.tobytes()
    return out + struct.pack("<I", 0)


def _text(text: str) -> bytes:
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"
