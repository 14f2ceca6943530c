"""The speech encoder of a training: opened from its folder, and what the recipe leaves open filled in from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from aasist.errors import ModelError
from aasist.keys import RecipeError
from aasist.model.speech_encoder import EncoderFacts, SpeechEncoder, open_encoder
from aasist.model.speech_front import require_dimensions
from aasist.recipe import SINC
from aasist.training.recipe import Model, Recipe


def with_encoder(recipe: Recipe) -> tuple[Recipe, SpeechEncoder | None]:
    """The recipe with the dimensions of its speech encoder, and that encoder; the recipe as it is where it has none.

    Raises `RecipeError` where the recipe and ``data.encoder`` do not go together, `ModelError` for a folder without an
    encoder that can be used.
    """
    folder = recipe.data.encoder
    if recipe.model.resolved().front == SINC:
        if folder is not None:
            raise RecipeError(
                f"a speech encoder is named, {folder}, and the model has none in front: leave data.encoder (--encoder) "
                "out, or set model.front to speech-encoder"
            )
        return recipe, None
    if folder is None:
        raise RecipeError(
            "the model has a speech encoder in front, and none is named: give the folder of one (--encoder, data.encoder)"
        )
    layers = recipe.model.encoder_layers
    encoder = open_encoder(Path(folder), deepest=None if layers is None else max(layers))
    try:
        fitted = replace(recipe, model=with_dimensions(recipe.model, encoder.facts))
        require_dimensions(fitted.model.resolved(), encoder.facts)
    except ModelError as error:
        raise RecipeError(f"{folder}: {error.message}") from error
    return fitted, encoder


def with_dimensions(model: Model, facts: EncoderFacts) -> Model:
    """The keys that are none, as the encoder has them."""
    found: dict[str, Any] = {
        "encoder_dim": facts.dim,
        "encoder_layers": tuple(range(1, facts.layers + 1)),
        "encoder_hop_samples": facts.hop_samples,
        "encoder_frame_samples": facts.frame_samples,
    }
    return replace(model, **{name: value for name, value in found.items() if getattr(model, name) is None})
