"""A start of a run: fresh or resumed, alone or as one of several ranks."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from aasist.errors import AasistError
from aasist.protocol.subsets import DEV, TRAIN
from aasist.runtime.threads import available_threads
from aasist.training.batches import Loader
from aasist.training.beginning import with_start
from aasist.training.distributed import Ranks, joined, ranks_here
from aasist.training.encoder import with_encoder
from aasist.training.events import require_tensorboard
from aasist.training.journal import Listener, Silent
from aasist.training.loop import End, Training
from aasist.training.precision import resolved
from aasist.training.recipe import Recipe
from aasist.training.run import METRICS, STATE, Run, environment, require_no_run, require_run
from aasist.training.selection import Selected, select
from aasist.training.teachers import sha256_of

Answer = TypeVar("Answer")


def start(recipe: Recipe, folder: Path, listener: Listener, *, resume: bool = False) -> End:
    """Train by ``recipe`` in the run folder ``folder`` until it is over or has to stop; ``resume``: go on with its run.

    Started by torchrun, every rank calls it alike; the first writes and speaks. Whatever can be refused is refused before
    anything is written. Raises `AasistError`.
    """
    if recipe.run.tensorboard:
        require_tensorboard()
    with joined() as ranks, ExitStack() as stack:
        torch.set_num_threads(recipe.run.threads or _threads())
        run = by_first(ranks, lambda: stack.enter_context(_opened(folder, resume=resume)))
        # A run is what it was begun in, not what auto may be where it goes on.
        recipe = replace(recipe, precision=resolved(recipe.precision, ranks.device).name)
        recipe, encoder = with_encoder(with_start(recipe))
        selected = select(recipe.data, within=recipe.sampling.within)
        training = Training(recipe, selected, ranks, run, listener if ranks.first else Silent(), encoder)
        if not resume:
            training.begin()
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
        content = ranks.shared(by_first(ranks, lambda: _begun(training, resume=resume)))
        if content is not None:
            training.restore(content, str(folder / STATE))
        elif resume:  # it was stopped before its first state
            training.begin()
        lost_bytes = 0 if run is None else run.cut_metrics(training.progress.metrics_bytes)
        if lost_bytes:
            training.say(f"{folder / METRICS} was shortened: its last {lost_bytes:,} bytes are missing, and stay so")
        training.say(_greeting(training, ranks, resumed=content is not None))
        end = training.go(loader)
        if end.reason == "memory":
            raise AasistError("memory", training.guard.warning)
        return end


def by_first(ranks: Ranks, ask: Callable[[], Answer]) -> Answer | None:
    """What ``ask`` gives the first rank, None on the others, which do not ask. An `AasistError` of the first is raised on
    all: none waits for a rank that is gone."""
    answer, refusal = None, None
    if ranks.first:
        try:
            answer = ask()
        except AasistError as error:
            refusal = error
    told = ranks.shared(None if refusal is None else json.dumps([refusal.code, refusal.message]).encode())
    if refusal is not None:
        raise refusal
    if told is not None:
        raise AasistError(*json.loads(told))
    return answer


def _opened(folder: Path, *, resume: bool) -> Run:
    """The folder of a run that is to begin, or to go on."""
    (require_run if resume else require_no_run)(folder)
    return Run(folder)


def _begun(training: Training, *, resume: bool) -> bytes | None:
    """Write down that the run begins or goes on -> the state that it goes on from, None without one."""
    run, recipe, ranks = training.run, training.recipe, training.ranks
    assert run is not None
    data = {role: vars(facts) for role, facts in _facts(training.selected).items()}
    if training.preparation.noise_sha256 is not None:
        data["noise"] = {"sha256": training.preparation.noise_sha256}
    # Its state holds the weights by now, so what a run began with may be gone when it goes on.
    begun = run.begun_on().get("start") if resume else None
    if training.begun is not None:
        anew = {"anew": list(training.begun.anew)} if training.begun.anew else {}
        begun = {"sha256": training.begun.sha256} | anew
    if begun is not None:
        data["start"] = begun
    encoder = training.learner.model.speech_encoder
    if encoder is not None:
        data["encoder"] = vars(encoder.facts)
    if teachers := training.teachers:
        files = [{"name": teacher.name, "sha256": teacher.sha256} for teacher in teachers]
        models = len(files) - len(training.told)
        scores = {"scores": files[models:]} if training.told else {}
        sha256 = sha256_of([teacher.sha256 for teacher in teachers])
        data["teachers"] = {"sha256": sha256, "models": files[:models]} | scores
    facts = environment(recipe, data, precision=recipe.precision, device=str(ranks.device), world=ranks.world)
    if not resume:
        run.begin(recipe, facts)
        return None
    run.resume(recipe, facts)
    return run.state()


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
    named = ", ".join(f"{one.name} ({one.sha256[:8]})" for one in training.teachers)
    taught = f"; taught by {named}" if named else ""
    begun = f"going on from step {training.progress.step:,} of" if resumed else "to take"
    fine = ""
    if training.begun is not None:
        fine = f"; from the weights of {training.recipe.data.start} ({training.begun.sha256[:8]})"
        fine += f", {len(training.begun.anew):,} of its tensors anew" if training.begun.anew else ""
    return f"{counts}; {begun} {training.horizon:,} steps ({where}{many}){fine}{taught}"
