"""What runs came to: their logs read back, and the keys in which their recipes differ."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aasist.errors import one_line
from aasist.keys import values_of
from aasist.training.recipe import Recipe, in_full, is_identity
from aasist.training.run import METRICS, RECIPE, STATE, RunError, recipe_of
from aasist.training.state import Progress, read_progress


@dataclass(frozen=True, eq=False)
class History:
    """A run's recipe and log. ``losses`` and ``rates`` are (step, value) of the lines that have one, in order."""

    folder: Path
    recipe: Recipe
    losses: tuple[tuple[int, float], ...]
    rates: tuple[tuple[int, float], ...]
    steps: int
    epochs: int
    """Epochs that were finished."""
    best_eer: float | None
    """On dev, of the best epoch; with its mean within a source, None where no source has trials enough."""
    best_within: float | None
    best_epoch: int | None
    last_eer: float | None
    """Likewise of the last epoch."""
    last_within: float | None
    loss: float | None
    """Of the last epoch, or the last line where none was finished."""
    seconds: float


def read_history(folder: Path) -> History:
    """The run in ``folder``; a last line that is being written is left out. Raises `RunError`,
    `RecipeError`, and `AasistError` ``state``."""
    if not (folder / RECIPE).is_file():
        raise RunError("no_run", f"{folder}: no run is here: expected the folder of one, or a folder of such folders")
    recipe = recipe_of(folder)
    progress = read_progress(folder / STATE) or Progress()  # it may be ahead of the log, or behind it
    path = folder / METRICS
    try:
        text = path.read_text(encoding="utf-8")
        lines: list[dict[str, Any]] = [
            json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")
        ]
        steps = [line for line in lines if line["kind"] == "step"]
        epochs = [line for line in lines if line["kind"] == "epoch"]
        best = min(epochs, key=lambda line: (line["dev_eer"], -line["epoch"]), default=None)
        last = (epochs or steps or [{}])[-1]
        ended = epochs[-1] if epochs else {}
        return History(
            folder,
            recipe,
            tuple((line["step"], line["loss"]) for line in (steps or epochs) if line["loss"] is not None),
            tuple((line["step"], line["dev_eer"]) for line in epochs),
            max(progress.step, lines[-1]["step"] if lines else 0),
            len(epochs),
            None if best is None else best["dev_eer"],
            None if best is None else best.get("dev_within_source"),
            None if best is None else best["epoch"],
            ended.get("dev_eer"),
            ended.get("dev_within_source"),
            last.get("loss"),
            max(progress.seconds, lines[-1]["machine"]["seconds"] if lines else 0.0),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError("state", f"{path}: not the log of a run: {one_line(error)}") from error


@dataclass(frozen=True)
class Mean:
    """The mean of a figure over ``count`` runs that have it, and their standard deviation (of a sample: n - 1)."""

    count: int
    mean: float
    deviation: float | None
    """None for a single run."""


FIGURES = ("best_eer", "best_within", "last_eer", "last_within")
"""Figures of a `History` that are averaged over runs."""


def means(histories: Sequence[History]) -> dict[str, Mean | None]:
    """Each of `FIGURES` over the runs that have it; None where none has."""
    found: dict[str, Mean | None] = {}
    for name in FIGURES:
        values = [value for value in (getattr(history, name) for history in histories) if value is not None]
        deviation = statistics.stdev(values) if len(values) > 1 else None
        found[name] = Mean(len(values), statistics.fmean(values), deviation) if values else None
    return found


def alike(histories: Sequence[History]) -> list[list[History]]:
    """The runs by recipe: those in one folder that differ in nothing but seed, in where their data lies and in how they
    were run (three seeds, the folds of one recipe). In the order of the first of each."""
    groups: dict[tuple[Any, ...], list[History]] = {}
    for history in histories:
        values = values_of(in_full(history.recipe))
        same = tuple(value for name, value in values.items() if is_identity(name) and name != "seed")
        groups.setdefault((history.folder.absolute().parent, *same), []).append(history)
    return list(groups.values())


def run_folders(given: Iterable[Path]) -> list[Path]:
    """Each folder that holds a run, or the runs right within it; a folder with neither stands for itself, for the error."""
    found = []
    for folder in given:
        within = sorted(path.parent for path in folder.glob(f"*/{RECIPE}"))
        found += [folder] if (folder / RECIPE).exists() or not within else within
    return found


def differing(recipes: Sequence[Recipe]) -> list[dict[str, Any]]:
    """For each recipe, its values of the keys of identity that are not the same in all."""
    values = [values_of(in_full(recipe)) for recipe in recipes]
    names = [name for name in (values[0] if values else {}) if is_identity(name)]
    changed = [name for name in names if any(one[name] != values[0][name] for one in values)]
    return [{name: one[name] for name in changed} for one in values]
