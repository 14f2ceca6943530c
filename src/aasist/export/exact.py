"""Models written as both a checkpoint and ONNX, to be timed in every runtime: the exact architectures, or any checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from aasist.export.onnx import export
from aasist.model import checkpoint
from aasist.model.reference import seeded
from aasist.recipe import Architecture
from aasist.runtime.modelfile import ModelNotes


class Written(NamedTuple):
    """Where the two forms of a model are."""

    file: Path
    """ONNX, the same as the checkpoint to within 1e-4."""
    checkpoint: Path
    architecture: Architecture


def written(folder: Path, stem: str, *, weights: Path | None, architecture: Architecture) -> Written:
    """ONNX as ``folder / stem.onnx`` of the checkpoint ``weights``, or without it of ``architecture`` with seeded weights,
    whose checkpoint is written beside it.

    Takes half a minute. Raises `ModelError` where the checkpoint cannot be used or the file differs from it.
    """
    if weights is None:
        model, weights = seeded(architecture), folder / f"{stem}.safetensors"
        checkpoint.save(model, weights)
    else:
        model = checkpoint.load(weights)
    file = folder / f"{stem}.onnx"
    export(model, file, ModelNotes.of(model.architecture))
    return Written(file, weights, model.architecture)
