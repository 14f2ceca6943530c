"""The weights that a training begins with where it does not begin with none: those of another, to go on from."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import NamedTuple

from aasist.errors import ModelError
from aasist.keys import RecipeError
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.recipe import Architecture
from aasist.runtime.models import CHECKPOINT_SUFFIXES, shipped, shipped_checkpoint
from aasist.training.recipe import Recipe


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
    path = _file(given)
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
            f"here{more}; take its architecture with data.start_architecture=true, set the model section to what it was trained "
            "with, or data.start_partly to take what fits"
        )
    fits = ours.keys() - set(unfit)
    model.load_state_dict(ours | {name: theirs[name] for name in fits})
    return Begun(sha256, tuple(name for name in ours if name not in fits))


def with_start(recipe: Recipe) -> Recipe:
    """The recipe with the architecture of the checkpoint that it begins with, where it asks for that: whatever its model
    section leaves open. Raises `RecipeError` where none is named, or it cannot be read."""
    if not recipe.data.start_architecture:
        return recipe
    if recipe.data.start is None:
        raise RecipeError(
            "data.start_architecture takes the architecture of the checkpoint that training begins with, and none is "
            "named: give one (--from, data.start)"
        )
    try:
        architecture = checkpoint.architecture_of(_file(recipe.data.start))
    except ModelError as error:
        raise RecipeError(f"data.start: {error.message}") from error
    model = recipe.model
    named = {field.name: getattr(model, field.name) for field in dataclasses.fields(Architecture)}
    found = {name: getattr(architecture, name) for name, value in named.items() if value in (None, "")}
    # Once it is taken, the file is no longer needed to know it.
    data = dataclasses.replace(recipe.data, start_architecture=False)
    try:
        return dataclasses.replace(recipe, model=dataclasses.replace(model, **found), data=data)
    except ModelError as error:
        raise RecipeError(f"data.start: {recipe.data.start}: {error.message}") from error


def _file(given: str) -> Path:
    """The checkpoint at a path, or behind a shipped name; `RecipeError` where it is none by its name."""
    path = shipped_checkpoint(given) if given in shipped() else Path(given)
    if path.suffix not in CHECKPOINT_SUFFIXES:
        raise RecipeError(
            f"data.start: {given}: training begins with a checkpoint ({' or '.join(CHECKPOINT_SUFFIXES)}), such as the "
            f"best.safetensors of a run, or a shipped model ({', '.join(shipped())}): an ONNX file no longer has all that is "
            "trained"
        )
    return path


def _shape(state: dict[str, object], name: str) -> str:
    tensor = state.get(name)
    return "missing" if tensor is None else "x".join(map(str, getattr(tensor, "shape", ()))) or "a number"
