"""Speech encoders: frozen models that others trained on much speech, each in a local folder and known by its hash.

A checkpoint of ours never holds their weights. It names them (`EncoderFacts`), and whoever loads it has them in a folder.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aasist.errors import ModelError, one_line

FOLDERS = "AASIST_ENCODERS"
"""Environment variable with the folders that are searched, each that of an encoder or one that holds such folders."""

TRANSFORMERS = ("wav2vec2", "wavlm", "hubert")
"""Kinds (``model_type`` of their config.json) that are run by ``transformers``; XLS-R is a wav2vec2."""
WHISPER = "whisper"
KINDS = (*TRANSFORMERS, WHISPER)

CTRANSLATE2 = "model.bin"
"""Weights of a Whisper in faster-whisper's format."""
CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
MOST_JSON_BYTES = 1 << 22
UNDECIDING = ("transformers_version", "torch_dtype", "dtype", "architectures", "auto_map")
"""Keys of a config.json that change no number that an encoder gives; nor do those that begin with an underscore."""


@dataclass(frozen=True)
class EncoderFacts:
    """What an encoder is: its kind, the hash of what decides its numbers, and its dimensions."""

    kind: str
    sha256: str
    dim: int
    layers: int
    hop_samples: int
    """Between two frames, at 16 kHz."""
    frame_samples: int
    """What one frame is made of at the least."""
    longest_samples: int
    """What it takes at the most."""

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> EncoderFacts:
        """Read `to_json`'s line; `ModelError` for anything else."""
        try:
            facts = cls(**json.loads(text))
        except (ValueError, TypeError, RecursionError) as error:
            raise ModelError("checkpoint", f"what it says of its speech encoder cannot be read: {error}") from error
        numbers = (facts.dim, facts.layers, facts.hop_samples, facts.frame_samples, facts.longest_samples)
        if facts.kind not in KINDS or not isinstance(facts.sha256, str) or not all(type(n) is int for n in numbers):
            raise ModelError("checkpoint", f"its speech encoder is unknown to this version: {str(facts.kind)[:40]!r}")
        return facts

    def __str__(self) -> str:
        return f"{self.kind} of {self.layers} layers of {self.dim} (sha256 {self.sha256[:12]}...)"


class SpeechEncoder(nn.Module):
    """Waveform (B, T) at 16 kHz -> frames (B, N, dim) of each layer asked for. Frozen, and in eval mode whatever is asked."""

    def __init__(self, inner: nn.Module, facts: EncoderFacts) -> None:
        """``inner`` takes a waveform (B, T) and layers, counted from 1 and rising, and gives a list of frames."""
        super().__init__()
        self.inner, self.facts = inner.requires_grad_(False), facts
        self.train()

    def forward(self, waveform: Tensor, layers: Sequence[int]) -> list[Tensor]:
        frames: list[Tensor] = self.inner(waveform, tuple(layers))
        return frames

    def train(self, mode: bool = True) -> SpeechEncoder:
        """Stays in eval mode: dropout and masking of an encoder that does not learn would be noise."""
        super().train(False)
        return self

    @property
    def weight_bytes(self) -> int:
        """What its weights take."""
        return sum(parameter.numel() * parameter.element_size() for parameter in self.parameters())


def open_encoder(folder: Path | str, *, sha256: str | None = None, deepest: int | None = None) -> SpeechEncoder:
    """The encoder in ``folder``: one of ``transformers`` in safetensors, or a Whisper in faster-whisper's format.

    Layers behind ``deepest`` will not be asked for. Nothing is fetched, and nothing in the folder is run or unpickled.
    Raises `ModelError` ``encoder`` for a folder without one, or with another than ``sha256``; `MissingExtra` where its kind
    needs ``transformers`` and that is not installed.
    """
    folder = Path(folder)
    kind = kind_of(folder)
    digest = sha256_of(folder)
    if sha256 is not None and digest != sha256:
        raise ModelError(
            "encoder", f"{folder}: another speech encoder: wanted sha256 {sha256[:12]}..., got {digest[:12]}..."
        )
    # Imported here: each kind wants packages that the other does not.
    if kind == WHISPER:
        from aasist.model import whisper_files

        encoder = whisper_files.opened(folder, digest)
    else:
        from aasist.model import transformers_encoder

        encoder = transformers_encoder.opened(folder, digest, deepest)
    if not all(parameter.isfinite().all() for parameter in encoder.parameters()):
        raise ModelError("encoder", f"{folder}: weights that are not finite")
    return encoder


def find_encoder(facts: EncoderFacts, *, deepest: int | None = None, folders: str | None = None) -> SpeechEncoder:
    """The encoder that a checkpoint names, from the folders in ``AASIST_ENCODERS`` (or in ``folders``, written alike).

    Raises `ModelError` ``encoder`` that says what is wanted and where it was looked for.
    """
    given = os.environ.get(FOLDERS, "") if folders is None else folders
    seen = []
    for folder in _candidates(given):
        try:
            if kind_of(folder) != facts.kind:
                continue
            seen.append(folder)
            found = sha256_of(folder) == facts.sha256
        except ModelError:
            continue  # a folder of something else beside it
        if found:  # what is wrong with the one that was wanted is said
            return open_encoder(folder, sha256=facts.sha256, deepest=deepest)
    where = f"not in {given}" if given else "none is named"
    if seen:
        where += f" (of that kind, with another hash: {', '.join(map(str, seen[:4]))})"
    raise ModelError(
        "encoder",
        f"the speech encoder {facts} is not part of the file, and {where}: set {FOLDERS} to its folder, or to one that "
        "holds it",
    )


def _candidates(given: str) -> Iterator[Path]:
    for folder in (Path(part) for part in given.split(os.pathsep) if part):
        yield folder
        if folder.is_dir() and not (folder / CONFIG).exists() and not (folder / CTRANSLATE2).exists():
            yield from sorted(inner for inner in folder.iterdir() if inner.is_dir())


def kind_of(folder: Path) -> str:
    """Kind of the encoder in a folder, by its files; `ModelError` ``encoder`` where there is none that can be used."""
    if not folder.is_dir():
        raise ModelError("encoder", f"{folder}: no such folder; a speech encoder's was wanted")
    if is_ctranslate2(folder):
        return WHISPER
    kind = config_of(folder).get("model_type")
    if kind not in KINDS:
        raise ModelError("encoder", f"{folder}: {CONFIG} is of {str(kind)[:40]!r}; usable are {', '.join(KINDS)}")
    if not weights_of(folder):
        raise ModelError(
            "encoder",
            f"{folder}: no model*.safetensors in it; weights in a pickle (pytorch_model.bin) are not read: convert them",
        )
    return str(kind)


def is_ctranslate2(folder: Path) -> bool:
    """Whether the folder's weights are in faster-whisper's format."""
    return (folder / CTRANSLATE2).is_file() and not weights_of(folder)


def weights_of(folder: Path) -> list[Path]:
    """Safetensors files of a model of ``transformers``, in order."""
    return sorted(folder.glob("model*.safetensors"))


def config_of(folder: Path, name: str = CONFIG) -> dict[str, Any]:
    """A JSON object in the folder; `ModelError` ``encoder`` where there is none."""
    path = folder / name
    try:
        if path.stat().st_size > MOST_JSON_BYTES:
            raise ModelError("encoder", f"{path}: over {MOST_JSON_BYTES >> 20} MiB: not the configuration of a model")
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError("encoder", f"{folder}: no {name} in it: not the folder of a speech encoder") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError("encoder", f"{path}: cannot be read: {one_line(error)}") from error
    if not isinstance(values, dict):
        raise ModelError("encoder", f"{path}: wanted a JSON object, got {type(values).__name__}")
    return values


def normalises(folder: Path) -> bool:
    """Whether a model of ``transformers`` hears each waveform at zero mean and unit variance; its library's default is yes."""
    if not (folder / PREPROCESSOR).is_file():
        return True
    return bool(config_of(folder, PREPROCESSOR).get("do_normalize", True))


def sha256_of(folder: Path) -> str:
    """Hash of what decides the encoder's numbers: of its weights, and where those need one of its configuration."""
    digest = hashlib.sha256()
    paths = [folder / CTRANSLATE2]
    if not is_ctranslate2(folder):
        config = config_of(folder)
        deciding = {k: v for k, v in config.items() if k not in UNDECIDING and not k.startswith("_")}
        if config.get("model_type") in TRANSFORMERS:
            deciding["do_normalize"] = normalises(folder)
        digest.update(json.dumps(deciding, sort_keys=True).encode())
        paths = weights_of(folder)
    try:
        for path in paths:
            with path.open("rb") as file:
                while block := file.read(1 << 24):
                    digest.update(block)
    except OSError as error:
        raise ModelError("encoder", f"{folder}: cannot be read: {error.strerror or error}") from error
    return digest.hexdigest()


def filled(module: nn.Module, state: dict[str, Tensor], folder: Path) -> nn.Module:
    """A module made on the meta device, with its weights, as float32; `ModelError` ``encoder`` where they do not fit."""
    try:
        module.load_state_dict({name: tensor.to(torch.float32) for name, tensor in state.items()}, assign=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError("encoder", f"{folder}: the weights do not fit the configuration: {reason}") from error
    return module
