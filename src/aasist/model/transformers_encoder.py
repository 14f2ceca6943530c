"""wav2vec 2.0, XLS-R, WavLM and HuBERT from a local folder, through ``transformers``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aasist.errors import MissingExtra, ModelError
from aasist.model.speech_encoder import EncoderFacts, SpeechEncoder, config_of, normalises

LONGEST_SAMPLES = 1 << 26
"""They take any length."""
UNUSED = ("masked_spec_embed",)
"""Weights that only training has a use for: an encoder may lack them."""


class TransformersEncoder(nn.Module):
    """Waveform (B, T) -> frames (B, N, D) of each layer that is asked for."""

    def __init__(self, model: nn.Module, *, normalise: bool) -> None:
        super().__init__()
        self.model, self.normalise = model, normalise

    def forward(self, waveform: Tensor, layers: Sequence[int]) -> list[Tensor]:
        if self.normalise:
            centred = waveform - waveform.mean(dim=1, keepdim=True)
            waveform = centred * torch.rsqrt(centred.square().mean(dim=1, keepdim=True) + 1e-7)
        # The first of the hidden states is what the first block is given.
        states = self.model(waveform, output_hidden_states=True, return_dict=True).hidden_states
        return [states[layer] for layer in layers]


def opened(folder: Path, sha256: str, deepest: int | None = None) -> SpeechEncoder:
    """The encoder in ``folder``, without blocks that nobody asks for; `ModelError` ``encoder`` where it cannot be read."""
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{folder}: this speech encoder", "ssl") from error
    kind = config_of(folder)["model_type"]
    logging: Any = transformers.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model, told = transformers.AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            attn_implementation="eager",  # the others are not written into an ONNX file by every version
            output_loading_info=True,
        )
        config = model.config
        facts = EncoderFacts(
            kind=kind,
            sha256=sha256,
            dim=int(config.hidden_size),
            layers=int(config.num_hidden_layers),
            hop_samples=math.prod(config.conv_stride),
            frame_samples=_frame_samples(config),
            longest_samples=LONGEST_SAMPLES,
        )
    except (
        Exception
    ) as error:  # the library raises nearly anything: OSError, ValueError, KeyError, SafetensorError, ...
        reason = " ".join(str(error).split())[:300]
        raise ModelError("encoder", f"{folder}: transformers cannot read it: {reason}") from error
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
    # What a file lacks would be random, and the library only says so.
    missing = [name for name in told["missing_keys"] if name.rpartition(".")[2] not in UNUSED]
    if missing or told["mismatched_keys"]:
        raise ModelError(
            "encoder", f"{folder}: weights are missing or of another shape: {', '.join(sorted(missing)[:4])}"
        )
    if deepest is not None and deepest + 1 < facts.layers:
        # One more than is asked for: what the last block of all gives is normed in some of them.
        model.encoder.layers = model.encoder.layers[: deepest + 1]
    return SpeechEncoder(TransformersEncoder(model, normalise=normalises(folder)), facts)


def _frame_samples(config: Any) -> int:
    samples = 1
    for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
        samples = (samples - 1) * stride + kernel
    return int(samples)
