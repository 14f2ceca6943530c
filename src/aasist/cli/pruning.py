"""What ``aasist prune`` hears, how it weighs channels, and what it tells of the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from aasist.cli.progress import counting
from aasist.export.channels import channel_groups, width_of
from aasist.export.importance import Importance, by_magnitude, by_norm, by_taylor
from aasist.export.prune import Pruned
from aasist.model.aasist import Aasist
from aasist.model.cost import cost
from aasist.recipe import SINC
from aasist.training.recipe import Data
from aasist.training.selection import training_trials
from aasist.training.windows import Heard, windows_of_both_classes


def heard(named: tuple[str, ...], model: Aasist, count: int, *, seed: int, threads: int) -> Heard:
    """Windows of the training part of what is named (``[CORPUS:]PATH`` each); says on stderr how many."""
    trials = training_trials(Data(train=named))
    with counting("hearing", count) as progress:
        found = windows_of_both_classes(
            trials, count, model.architecture.window_samples, seed=seed, threads=threads, progress=progress
        )
    bonafide = int(found.labels.sum())
    click.echo(
        f"aasist: {len(found.windows)} windows are heard, {bonafide} bona fide and {len(found.windows) - bonafide} spoofs, "
        f"of {len(trials):,} trials",
        err=True,
    )
    return found


def measure_of(importance: str, material: Heard | None) -> Callable[[Aasist], Importance]:
    """How the importance of a model's channels is told."""
    if importance != "taylor":
        return by_magnitude if importance == "magnitude" else by_norm
    assert material is not None
    windows, labels = material

    def measure(model: Aasist) -> Importance:
        with counting("weighing channels", len(windows)) as progress:
            return by_taylor(model, windows, labels, progress)

    return measure


def told(before: Aasist, thin: Pruned) -> dict[str, Any]:
    """What came of it, as ``--json`` has it."""
    models = before, thin.model
    found: dict[str, Any] = {
        "removed": thin.removed,
        "encoder_gflop": [thin.gflop_before, thin.gflop_after],
        "parameters": [sum(weight.numel() for weight in model.parameters()) for model in models],
    }
    if before.architecture.front == SINC:
        found["gflop"] = [cost(model.architecture).gflop for model in models]
    # Layers of before: where a convolution around a block stays, so does what it keeps apart.
    found["channels"] = {
        str(layer): [width_of(model.architecture, layer) for model in models]
        for layer in channel_groups(before.architecture)
    }
    return found
