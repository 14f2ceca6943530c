"""Teachers: models that a student is distilled from, run on the batches that it hears."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from aasist.errors import AasistError, one_line
from aasist.keys import RecipeError
from aasist.model import checkpoint
from aasist.model.training_form import prepared
from aasist.recipe import Architecture
from aasist.runtime.detector import Detector
from aasist.runtime.models import CHECKPOINT_SUFFIXES
from aasist.runtime.threads import ACTIVATION_BYTES
from aasist.session import BONAFIDE, SPOOF
from aasist.training.precision import Precision

CUDA_ACTIVATION_BYTES = 1 << 30
"""What the windows that a teacher hears at once may take on a CUDA device; elsewhere `ACTIVATION_BYTES`."""


class Taught(NamedTuple):
    """What a teacher says of waveforms: their log-odds (B,) of bona fide, and its readout (B, W) where it shows one."""

    log_odds: Tensor
    readout: Tensor | None


@dataclass(frozen=True)
class Teacher:
    """A frozen model: waveforms (B, T) on any device -> `Taught` on that device, float32, without a gradient.

    ``readout_width`` is W, 0 for a model file, whose graph ends in its logits.
    """

    name: str
    sha256: str
    readout_width: int
    hear: Callable[[Tensor], Taught]


def read_teachers(models: Sequence[str], precision: Precision, *, shortest_samples: int) -> tuple[Teacher, ...]:
    """The models at paths (checkpoints and ONNX files of ours) or of shipped names, checked on a window of the
    ``shortest_samples`` that they will hear.

    Raises `RecipeError`, which names the key and the model, for a file that is missing or no model of ours, one made for
    another sample rate, and one that cannot hear so short a window.
    """
    return tuple(_checked(model, precision, shortest_samples) for model in models)


def opened(model: str, precision: Precision) -> tuple[Teacher, Architecture | None]:
    """One model, by its kind, and its architecture as far as the file tells. Raises `AasistError` where it is none."""
    if Path(model).suffix in CHECKPOINT_SUFFIXES:
        return _of_checkpoint(model, precision)
    detector = Detector(model, threads=torch.get_num_threads())
    variant = detector.notes.variant
    architecture = None if variant == "{}" else Architecture.from_json(variant)
    sha256 = detector.model.sha256
    assert sha256 is not None
    return Teacher(model, sha256, 0, lambda waveforms: _by_detector(detector, waveforms)), architecture


def _checked(model: str, precision: Precision, shortest_samples: int) -> Teacher:
    try:
        teacher, architecture = opened(model, precision)
        needed = 0 if architecture is None else architecture.shortest_samples
        if needed <= shortest_samples:
            # Not silence: a model may well have nothing finite to say of that.
            probe = 0.1 * torch.randn(1, shortest_samples, generator=torch.Generator().manual_seed(0))
            teacher.hear(probe.to(precision.device))
    except (AasistError, RuntimeError) as error:
        said = error.message if isinstance(error, AasistError) else one_line(error)
        raise RecipeError(f"teachers.models: {said if model in said else f'{model}: {said}'}") from error
    if needed > shortest_samples:
        raise RecipeError(
            f"teachers.models: {model} needs windows of {needed:,} samples or more, and this recipe has some of "
            f"{shortest_samples:,} (crop.lengths, model.window_samples): take longer ones, or another teacher"
        )
    return teacher


def _of_checkpoint(model: str, precision: Precision) -> tuple[Teacher, Architecture]:
    """A checkpoint in the form and the precision that the student trains in."""
    loaded = checkpoint.load(model).to(precision.device).requires_grad_(False)
    architecture, width = loaded.architecture, loaded.out.in_features
    form = prepared(loaded, precision.name, precision.device).eval()
    seen: list[Tensor] = []

    def see(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen.append(given[0].float())

    loaded.out.register_forward_pre_hook(see)
    room = CUDA_ACTIVATION_BYTES if precision.device.type == "cuda" else ACTIVATION_BYTES

    def hear(waveforms: Tensor) -> Taught:
        samples_at_once = room * architecture.window_samples // architecture.activation_bytes
        rows = max(1, samples_at_once // waveforms.shape[1])
        with torch.no_grad():  # inference_mode is known to this thread alone, and the form works on several
            logits = torch.cat([form(part) for part in torch.split(waveforms, rows)])
        readout = torch.cat(seen)
        seen.clear()
        return Taught(logits[:, BONAFIDE] - logits[:, SPOOF], readout)

    sha256 = hashlib.sha256(Path(model).read_bytes()).hexdigest()
    return Teacher(model, sha256, width, hear), architecture


def _by_detector(detector: Detector, waveforms: Tensor) -> Taught:
    """The llr of a model file: its logit difference, calibrated where it has a calibration."""
    llrs = detector.llrs_of(waveforms.detach().float().cpu().numpy())
    return Taught(torch.from_numpy(llrs.astype(np.float32)).to(waveforms.device), None)


def sha256_of(fingerprints: Sequence[str]) -> str:
    """One fingerprint of all teachers, in order: their weights go by it."""
    return hashlib.sha256("".join(fingerprints).encode()).hexdigest()


def shares_of(weights: Sequence[float], count: int) -> tuple[float, ...]:
    """The weights of so many teachers, which sum to 1; equal ones where none are given. Raises `RecipeError`."""
    if not weights:
        return (1 / count,) * count
    if len(weights) != count:
        raise RecipeError(
            f"teachers.weights must be as many as teachers.models and teachers.scores ({count}), or none, got {len(weights)}"
        )
    if not sum(weights) > 0:
        raise RecipeError("teachers.weights are all 0: nothing would be taught")
    return tuple(weight / sum(weights) for weight in weights)
