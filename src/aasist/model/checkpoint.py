"""Checkpoints: safetensors of our own, and the published ``.pth`` files through one key map."""

from __future__ import annotations

import warnings
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from aasist import files
from aasist.errors import ModelError, one_line
from aasist.model.aasist import Aasist
from aasist.model.speech_encoder import EncoderFacts, SpeechEncoder, find_encoder
from aasist.model.speech_front import require_dimensions
from aasist.recipe import AASIST, AASIST_L, SINC, Architecture

RECIPE_KEY, ENCODER_KEY = "aasist.recipe", "aasist.encoder"
"""Keys of the safetensors metadata that hold the architecture as JSON and, where there is a speech encoder in front, what
that is: its weights are never in the file."""

_ATTENTION = {
    "att_proj": "pair_projection",
    "att_weight": "pair_weight",
    "proj_with_att": "attended",
    "proj_without_att": "own",
    "bn": "norm",
}
_HETEROGENEOUS = {
    "proj_type1": "temporal_projection",
    "proj_type2": "spectral_projection",
    "att_proj": "pair_projection",
    "att_projM": "master_projection",
    "att_weight11": "temporal_weight",
    "att_weight22": "spectral_weight",
    "att_weight12": "cross_weight",
    "att_weightM": "master_weight",
    "proj_with_att": "attended",
    "proj_without_att": "own",
    "proj_with_attM": "master_attended",
    "proj_without_attM": "master_own",
    "bn": "norm",
}
_BLOCK = {"bn1": "unused_norm", "conv1": "conv1", "bn2": "norm", "conv2": "conv2", "conv_downsample": "shortcut"}
_POOL = {"proj": "score"}


def _prefixed(theirs: str, ours: str, parts: dict[str, str]) -> dict[str, str]:
    return {f"{theirs}.{their_part}": f"{ours}.{our_part}" for their_part, our_part in parts.items()}


PUBLISHED_NAMES: dict[str, str] = {
    "first_bn": "encoder.norm",
    **{k: v for i in range(6) for k, v in _prefixed(f"encoder.{i}.0", f"encoder.blocks.{i}", _BLOCK).items()},
    "pos_S": "spectral_position",
    **_prefixed("GAT_layer_S", "spectral_attention", _ATTENTION),
    **_prefixed("GAT_layer_T", "temporal_attention", _ATTENTION),
    **_prefixed("pool_S", "spectral_pool", _POOL),
    **_prefixed("pool_T", "temporal_pool", _POOL),
    "master1": "branches.0.master",
    "master2": "branches.1.master",
    **_prefixed("HtrgGAT_layer_ST11", "branches.0.layer1", _HETEROGENEOUS),
    **_prefixed("HtrgGAT_layer_ST12", "branches.0.layer2", _HETEROGENEOUS),
    **_prefixed("HtrgGAT_layer_ST21", "branches.1.layer1", _HETEROGENEOUS),
    **_prefixed("HtrgGAT_layer_ST22", "branches.1.layer2", _HETEROGENEOUS),
    **_prefixed("pool_hS1", "branches.0.spectral_pool", _POOL),
    **_prefixed("pool_hT1", "branches.0.temporal_pool", _POOL),
    **_prefixed("pool_hS2", "branches.1.spectral_pool", _POOL),
    **_prefixed("pool_hT2", "branches.1.temporal_pool", _POOL),
    "out_layer": "out",
}
"""Module or parameter of the published code (clovaai/aasist) -> ours."""


def translate(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict with published names -> the same tensors under our names; an unknown name is an error."""
    translated = {}
    for key, tensor in published.items():
        name = str(key)
        module, _, leaf = name.rpartition(".")
        if name in PUBLISHED_NAMES:
            translated[PUBLISHED_NAMES[name]] = tensor
        elif module in PUBLISHED_NAMES:
            translated[f"{PUBLISHED_NAMES[module]}.{leaf}"] = tensor
        else:
            raise ModelError("checkpoint", f"not a published AASIST checkpoint: unknown parameter {name!r}")
    return translated


def save(model: Aasist, path: Path | str, **notes: str) -> None:
    """Write safetensors with the architecture, and any ``notes``, in the metadata; whole or not at all."""
    files.write(path, to_bytes(model, **notes))


def to_bytes(model: Aasist, **notes: str) -> bytes:
    """The file that `save` writes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    encoder = model.speech_encoder
    named = {} if encoder is None else {ENCODER_KEY: encoder.facts.to_json()}
    return safetensors.torch.save(tensors, metadata={RECIPE_KEY: model.architecture.to_json(), **named, **notes})


def load(path: Path | str, encoder: SpeechEncoder | None = None) -> Aasist:
    """Read a checkpoint of ours (``.safetensors``) or a published one (``.pth``) -> the model, in eval mode.

    A speech encoder that it names is ``encoder``, or the one found in the folders of ``AASIST_ENCODERS``, by its hash.
    Raises ``ModelError`` with one line that names the file, whatever is in it.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelError("unknown_model", f"{path}: no such checkpoint")
    try:
        if path.suffix != ".safetensors":
            return _built(*_read_published(path))
        architecture, state, facts = _read_safetensors(path)
        return _built(architecture, state, _encoder(architecture, facts, encoder))
    except ModelError as error:
        raise ModelError(error.code, f"{path}: {one_line(error.message, most=400)}") from error


def architecture_of(path: Path | str) -> Architecture:
    """The architecture of a checkpoint, ours or published; `ModelError` as `load`. Needs no speech encoder."""
    path = Path(path)
    if not path.is_file():
        raise ModelError("unknown_model", f"{path}: no such checkpoint")
    try:
        return (_read_safetensors if path.suffix == ".safetensors" else _read_published)(path)[0]
    except ModelError as error:
        raise ModelError(error.code, f"{path}: {one_line(error.message, most=400)}") from error


def _encoder(
    architecture: Architecture, facts: EncoderFacts | None, given: SpeechEncoder | None
) -> SpeechEncoder | None:
    """The speech encoder that a checkpoint names; None where it has none in front."""
    if architecture.front == SINC:
        return None
    if facts is None:
        raise ModelError(
            "checkpoint", f"no {ENCODER_KEY!r} in its metadata: which speech encoder it wants is not known"
        )
    if given is None:
        require_dimensions(architecture, facts)
        return find_encoder(facts, deepest=max(architecture.encoder_layers))
    if given.facts.sha256 != facts.sha256:
        raise ModelError("encoder", f"it was trained with the speech encoder {facts}, and {given.facts} was given")
    return given


def _built(architecture: Architecture, state: dict[str, Tensor], encoder: SpeechEncoder | None = None) -> Aasist:
    try:
        # On the meta device first, where shapes cost nothing: metadata may claim any size, the weights are what is there.
        with torch.device("meta"):
            Aasist(architecture, encoder).load_state_dict(state, strict=True, assign=True)
        model = Aasist(architecture, encoder)
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        reason = one_line(str(error), most=400)
        raise ModelError("checkpoint", f"the weights do not fit {architecture.name}: {reason}") from error
    broken = [name for name, tensor in model.state_dict().items() if not tensor.isfinite().all()]
    if broken:
        raise ModelError("checkpoint", f"weights that are not finite: {', '.join(broken)}")
    return model.eval()


def _read_safetensors(path: Path) -> tuple[Architecture, dict[str, Tensor], EncoderFacts | None]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, OSError) as error:
        raise ModelError("checkpoint", f"not a safetensors file: {error}") from error
    if RECIPE_KEY not in metadata:
        raise ModelError("checkpoint", f"no {RECIPE_KEY!r} in its metadata: not a checkpoint of ours")
    facts = EncoderFacts.from_json(metadata[ENCODER_KEY]) if ENCODER_KEY in metadata else None
    return Architecture.from_json(metadata[RECIPE_KEY]), state, facts


def _read_published(path: Path) -> tuple[Architecture, dict[str, Tensor]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles of other makers, which are refused anyway
            # weights_only: tensors are read, code in the pickle is refused.
            published = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises nearly anything: KeyError, IndexError, struct.error, ...
        raise ModelError("checkpoint", "not a PyTorch file of plain tensors; nothing was run") from error
    if not isinstance(published, dict) or not all(isinstance(value, Tensor) for value in published.values()):
        raise ModelError("checkpoint", f"expected a state dict of tensors, got {type(published).__name__}")
    state = translate(published)
    width = state.get("encoder.blocks.5.conv2.weight")
    light = width is not None and width.shape[:1] == AASIST_L.channels[-1:]
    # Temperatures and pooling ratios are not in the weights; the two published widths tell them.
    return (AASIST_L if light else AASIST), state
