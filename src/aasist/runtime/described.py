"""What is in a model file, without running it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from aasist import wire
from aasist.errors import ModelError
from aasist.runtime import irfile, modelfile
from aasist.runtime.models import CHECKPOINT_SUFFIXES, shipped, shipped_folder, unknown
from aasist.runtime.notes import ModelNotes
from aasist.runtime.parity import Parity, parity_of


@dataclass(frozen=True)
class Description:
    """A model file whose digest holds."""

    path: str
    format: str
    """``onnx, opset 20``, or ``openvino``."""
    bytes: int
    sha256: str
    """Of the file; of OpenVINO's two, of the graph's, whose digest is over both."""
    notes: ModelNotes
    parity: Parity | None
    """None where the file holds no proof, or one of another graph."""


def describe(model: str) -> Description:
    """A model file, or that of a shipped name; ``ModelError`` where it is none of ours, or was altered."""
    path = shipped_folder() / shipped()[model]["file"] if model in shipped() else Path(model)
    if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises on a name that is too long)
        raise unknown(model)
    if path.suffix in CHECKPOINT_SUFFIXES:
        raise ModelError(
            "model", f"{model}: a checkpoint, which holds weights alone: 'aasist export' makes a model file of it"
        )
    if path.suffix == irfile.SUFFIX:
        graph, weights, notes = irfile.read(path)
        text = irfile.parity_text(graph)
        parity = None if text is None else Parity.from_json(text)
        return Description(
            model, "openvino", len(graph) + len(weights), hashlib.sha256(graph).hexdigest(), notes, parity
        )
    content, notes = modelfile.read(path)
    form = f"onnx, opset {wire.opset(content)}"
    return Description(model, form, len(content), hashlib.sha256(content).hexdigest(), notes, parity_of(content))
