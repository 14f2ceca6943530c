"""Which models there are, and how one is opened: shipped by name, or a file of the user's."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from aasist.errors import MissingExtra, ModelError
from aasist.recipe import Architecture
from aasist.runtime import irfile, modelfile
from aasist.runtime.modelfile import ModelNotes
from aasist.runtime.runtimes import AUTO, open_session, precision_in
from aasist.runtime.saturation import require_whole_sums
from aasist.runtime.threads import Division, divided
from aasist.runtime.verdict import ModelIdentity
from aasist.session import Session

DEFAULT_MODEL = "efficient"
CASCADE = "cascade"
"""What the cascade of the shipped models is called where a model is named."""

CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt")
RUN_CHECKPOINTS = ("averaged.safetensors", "best.safetensors")
"""Of the folder of a training run, the weights to take."""


@dataclass(frozen=True)
class OpenModel:
    """A countermeasure that is ready to run, and what it says of itself."""

    session: Session
    notes: ModelNotes
    identity: ModelIdentity
    division: Division = field(default_factory=Division)
    """How its threads are used."""


def shipped_folder() -> Path:
    """The folder of the installed package that holds the model files."""
    return Path(str(resources.files("aasist") / "models"))


@cache
def shipped() -> dict[str, dict[str, Any]]:
    """Name -> file, sha256, bytes, what it is for and its measured figures, of each model in the package."""
    with open(shipped_folder() / "models.json", encoding="utf-8") as file:
        models: dict[str, dict[str, Any]] = json.load(file)
    return models


def shipped_checkpoint(name: str) -> Path:
    """The trained weights behind a shipped model, for training to begin with; `ModelError` where none is shipped."""
    file = shipped().get(name, {}).get("checkpoint")
    if file is None:
        names = ", ".join(n for n, facts in shipped().items() if "checkpoint" in facts)
        raise ModelError(
            "unknown_model", f"no weights of {name!r} are shipped to train on; there are: {names or 'none'}"
        )
    return shipped_folder() / str(file)


def unknown(model: str | Path, *, names: Iterable[str] | None = None, what: str = "a file") -> ModelError:
    """The error for what is no model: neither one of ``names`` (None: those shipped) nor ``what``."""
    if model == CASCADE:
        return ModelError(
            "unknown_model",
            f"{CASCADE} is several models in turn, and this is done with one: name it ({', '.join(shipped())})",
        )
    known = f"shipped ({', '.join(shipped())})" if names is None else f"one of {', '.join(names)}"
    checkpoints = [name for name in RUN_CHECKPOINTS if os.path.isfile(os.path.join(model, name))]  # noqa: PTH113, PTH118 (as above)
    hint = f"; it is a folder: name the checkpoint in it, {' or '.join(checkpoints)}" if checkpoints else ""
    return ModelError("unknown_model", f"no such model: {str(model)!r} is neither {known} nor {what}{hint}")


def open_model(model: str | Path, *, threads: int, runtime: str = AUTO, precision: str | None = None) -> OpenModel:
    """A shipped name, a model file of ours (ONNX, or OpenVINO's ``.xml``), or a ``.safetensors`` or ``.pth`` checkpoint.

    ``runtime`` is one of `aasist.runtime.runtimes.RUNTIMES`, or ``auto``: what the file is made for; in ``torch`` a shipped
    name is its checkpoint, with the notes of its file. ``precision`` None is the file's own. ``threads`` are divided
    between runs side by side and threads within a run; torch has its own, for the whole process.
    """
    if isinstance(model, str) and model in shipped():
        facts = shipped()[model]
        path = shipped_folder() / facts["file"]
        if runtime == "torch":
            return _open_checkpoint(
                shipped_checkpoint(model), threads, precision, modelfile.read(path)[1], facts["checkpoint_sha256"]
            )
        return _open_file(path, facts["sha256"], threads, runtime, precision)
    path = Path(model)
    if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises on a name that is too long)
        raise unknown(model)
    if path.suffix not in CHECKPOINT_SUFFIXES:
        return _open_file(path, None, threads, runtime, precision)
    if runtime not in (AUTO, "torch"):
        raise ModelError(
            "runtime",
            f"{path}: a checkpoint runs in torch alone, not in {runtime}: make a file that does with 'aasist export {path} -o {path.stem}.onnx'",
        )
    return _open_checkpoint(path, threads, precision)


def _open_file(path: Path, expected_sha256: str | None, threads: int, runtime: str, precision: str | None) -> OpenModel:
    """A model file in a runtime for files."""
    if path.suffix == irfile.SUFFIX:
        content, weights, notes = irfile.read(path)
    else:
        (content, notes), weights = modelfile.read(path), b""
    sha256 = hashlib.sha256(content).hexdigest()
    if expected_sha256 not in (None, sha256):
        raise ModelError("altered_model", f"{path}: not the file that this version ships: reinstall aasist")
    division = divided(threads, _window_bytes(notes))
    try:
        require_whole_sums(notes)
        session = open_session(
            content,
            notes=notes,
            runtime=runtime,
            precision=precision,
            threads=division.threads_each,
            runs=division.runs,
            weights=weights,
        )
    except ModelError as error:
        raise ModelError(error.code, f"{path}: {error.message}") from error
    notes = notes.at(session.precision)
    return OpenModel(session, notes, ModelIdentity(notes.name, sha256, session.precision), division)


def _window_bytes(notes: ModelNotes) -> int | None:
    """What scoring one window takes, by the architecture that the file names; None where it names none of ours."""
    try:
        return Architecture.from_json(notes.variant).activation_bytes if notes.variant != "{}" else None
    except ModelError:
        return None


def _open_checkpoint(
    path: Path,
    threads: int,
    precision: str | None,
    notes: ModelNotes | None = None,
    expected_sha256: str | None = None,
) -> OpenModel:
    """The one place where the runtime reaches for torch: by name, and only for a checkpoint. ``notes`` None: it has none."""
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    if expected_sha256 not in (None, sha256):
        raise ModelError("altered_model", f"{path}: not the file that this version ships: reinstall aasist")
    try:
        module = importlib.import_module("aasist.model.session")
    except ModuleNotFoundError as error:
        raise MissingExtra(f"{path}: a checkpoint", "train") from error
    precision_in("torch", "fp32", precision)
    session = module.TorchSession(path)
    session.use_threads(threads)
    if notes is None:
        notes = ModelNotes.of(session.architecture)
    return OpenModel(session, notes, ModelIdentity(notes.name, sha256, session.precision), Division(batch_windows=1))
