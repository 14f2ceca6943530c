"""A start of a run: fresh or resumed, alone or as one of several ranks."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from aasist.errors import AasistError
from aasist.runtime.threads import available_threads
from aasist.training.batches import Loader
from aasist.training.distributed import Ranks, joined, ranks_here
from aasist.training.events import require_tensorboard
from aasist.training.journal import Listener, Silent
from aasist.training.loop import End, Training
from aasist.training.precision import resolved
from aasist.training.recipe import Recipe
from aasist.training.run import STATE, Run, environment, require_no_run, require_run
from aasist.training.selection import DEV, TRAIN, Selected, select


def start(recipe: Recipe, folder: Path, listener: Listener, *, resume: bool = False) -> End:
    """Train by ``recipe`` in the run folder ``folder`` until it is over or has to stop; ``resume``: go on with its run.

    Started by torchrun, every rank calls it alike; the first writes and speaks. Whatever can be refused is refused before
    anything is written. Raises `AasistError`.
    """
    if recipe.run.tensorboard:
        require_tensorboard()
    (require_run if resume else require_no_run)(folder)
    with joined() as ranks, ExitStack() as stack:
        torch.set_num_threads(recipe.run.threads or _threads())
        run = stack.enter_context(Run(folder)) if ranks.first else None
        selected = select(recipe.data)
        training = Training(recipe, selected, ranks, run, listener if ranks.first else Silent())
        if run is not None:
            precision = resolved(recipe.precision, ranks.device).name
            data = {role: vars(facts) for role, facts in _facts(selected).items()}
            if training.preparation.noise_sha256 is not None:
                data["noise"] = {"sha256": training.preparation.noise_sha256}
            facts = environment(recipe, data, precision=precision, device=str(ranks.device), world=ranks.world)
            (run.resume if resume else run.begin)(recipe, facts)
        content = ranks.shared(run.state() if run is not None and resume else None)
        if content is not None:
            training.restore(content, str(folder / STATE))
        if run is not None:
            run.cut_metrics(training.progress.metrics_bytes)
        training.say(_greeting(training, ranks, resumed=content is not None))
        loader = stack.enter_context(
            Loader(
                selected.trials,
                recipe.crop,
                recipe.loading,
                batch_rows=recipe.batch,
                window_samples=recipe.model.resolved().window_samples,
                seed=recipe.seed,
                rank=ranks.rank,
                world=ranks.world,
                coding=training.preparation.coding,
                pin=ranks.device.type == "cuda",
            )
        )
        end = training.go(loader)
        if end.reason == "memory":
            raise AasistError("memory", training.guard.warning)
        return end


def _threads() -> int:
    """Processors for torch: those of the process, shared among the ranks on this machine."""
    return max(1, available_threads() // ranks_here())


@dataclass(frozen=True)
class Facts:
    """What the trials of one role come to."""

    sha256: str
    bonafide: int
    spoofs: int


def _facts(selected: Selected) -> dict[str, Facts]:
    facts = {}
    for role in (TRAIN, DEV):
        labels = np.asarray(selected.of(role).bonafide)
        bonafide = int(labels.sum())
        facts[role] = Facts(selected.fingerprints[role], bonafide, len(labels) - bonafide)
    return facts


def _greeting(training: Training, ranks: Ranks, *, resumed: bool) -> str:
    """What is about to happen, in a sentence."""
    facts = _facts(training.selected)
    counts = "; ".join(f"{role} {of.bonafide:,} bona fide, {of.spoofs:,} spoofs" for role, of in facts.items())
    precision = training.learner.precision
    where = f"{precision.device}, {precision.name}, {torch.get_num_threads()} threads"
    many = f", {ranks.world} ranks" if ranks.world > 1 else ""
    begun = f"going on from step {training.progress.step:,} of" if resumed else "to take"
    return f"{counts}; {begun} {training.horizon:,} steps ({where}{many})"
