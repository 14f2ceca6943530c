"""The weights that a training begins with where it does not begin with none: those of another, to go on from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from aasist.errors import ModelError
from aasist.keys import RecipeError
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.runtime.models import CHECKPOINT_SUFFIXES, shipped, shipped_checkpoint


class Begun(NamedTuple):
    """What a training began with: the SHA-256 of the file, and the weights that it had none for, by name."""

    sha256: str
    anew: tuple[str, ...] = ()


def begin_with(model: Aasist, given: str, *, partly: bool = False) -> Begun:
    """Put the weights of the checkpoint ``given``, or those behind the shipped model of that name, into ``model``.

    Architectures may differ in what has no weights, such as dropouts, ratios and the window; ``partly``, in weights as
    well: what has another name or shape there stays as it is. Raises `RecipeError` where the file is missing, no
    checkpoint, or of weights that do not fit.
    """
    path = shipped_checkpoint(given) if given in shipped() else Path(given)
    if path.suffix not in CHECKPOINT_SUFFIXES:
        raise RecipeError(
            f"data.start: {given}: training begins with a checkpoint ({' or '.join(CHECKPOINT_SUFFIXES)}), such as the "
            f"best.safetensors of a run, or a shipped model ({', '.join(shipped())}): an ONNX file no longer has all that is "
            "trained"
        )
    try:
        begun = checkpoint.load(path, model.speech_encoder)
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    except (ModelError, OSError) as error:
        raise RecipeError(f"data.start: {error}") from error
    theirs, ours = begun.state_dict(), model.state_dict()
    unfit = [name for name in {**ours, **theirs} if _shape(theirs, name) != _shape(ours, name)]
    if unfit and not partly:
        more = f" and {len(unfit) - 1} more" if len(unfit) > 1 else ""
        raise RecipeError(
            f"data.start: {given} has the architecture {begun.architecture.name}, whose weights do not fit this recipe's "
            f"({model.architecture.name}): {unfit[0]} is {_shape(theirs, unfit[0])} there and {_shape(ours, unfit[0])} "
            f"here{more}; set the model section to what it was trained with, or data.start_partly to take what fits"
        )
    fits = ours.keys() - set(unfit)
    model.load_state_dict(ours | {name: theirs[name] for name in fits})
    return Begun(sha256, tuple(name for name in ours if name not in fits))


def _shape(state: dict[str, object], name: str) -> str:
    tensor = state.get(name)
    return "missing" if tensor is None else "x".join(map(str, getattr(tensor, "shape", ()))) or "a number"
