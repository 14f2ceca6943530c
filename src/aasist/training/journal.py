"""The journal of a training: what its log, TensorBoard and whoever listens are told of steps and epochs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from aasist.protocol.scores import score_lines
from aasist.training.cache import CacheStatistics
from aasist.training.clock import Clock, Speed
from aasist.training.development import Development
from aasist.training.events import Events
from aasist.training.memory import resident_bytes
from aasist.training.recipe import Recipe
from aasist.training.run import DEV_SCORES, Run
from aasist.training.state import Progress
from aasist.training.step import Outcome
from aasist.trial import Trials


class Listener(Protocol):
    """Who wants to know how training goes: the first rank's command line."""

    def stepped(self, line: Mapping[str, Any], steps: int) -> None:
        """A line of the log, every few steps; ``steps`` are those of the whole training."""

    def ended_epoch(self, line: Mapping[str, Any], epochs: int) -> None:
        """The line of an epoch."""

    def say(self, text: str) -> None:
        """Something worth a sentence."""


class Silent:
    """Hears nothing: the listener of all ranks but the first."""

    def stepped(self, line: Mapping[str, Any], steps: int) -> None: ...

    def ended_epoch(self, line: Mapping[str, Any], epochs: int) -> None: ...

    def say(self, text: str) -> None: ...


class Journal:
    """Writes for the first rank, which has a ``run``; for the others it is a book without pages."""

    def __init__(self, recipe: Recipe, run: Run | None, listener: Listener, *, horizon: int, world: int) -> None:
        """``horizon``: the steps of the whole training."""
        self._recipe, self._run, self._listener = recipe, run, listener
        self._horizon, self._world = horizon, world
        self._events = Events(None if run is None or not recipe.run.tensorboard else run.folder)

    def step(self, progress: Progress, outcome: Outcome, clock: Clock, cache: CacheStatistics) -> None:
        """A line of the steps since the last, the last of which had ``outcome``."""
        line = {
            "kind": "step",
            "step": progress.step,
            "epoch": progress.epoch,
            "loss": progress.line_loss / progress.line_steps if progress.line_steps else None,
            "learning_rate": outcome.learning_rate,
            "gradient_norm": outcome.gradient_norm if math.isfinite(outcome.gradient_norm) else None,
            "skipped": progress.skipped,
            "machine": self._machine(progress, clock, clock.line.read(), cache),
        }
        progress.line_loss, progress.line_steps = 0.0, 0
        self._line(line)
        self._listener.stepped(line, self._horizon)

    def epoch(
        self, progress: Progress, result: Development, clock: Clock, speed: Speed, cache: CacheStatistics, *, best: bool
    ) -> None:
        """The line of an epoch, which trained at ``speed`` and was scored with ``result``."""
        line = {
            "kind": "epoch",
            "step": progress.step,
            "epoch": progress.epoch,
            "loss": progress.epoch_loss / progress.epoch_steps if progress.epoch_steps else None,
            "dev_eer": result.eer,
            "dev_within_source": result.within_source,
            "best": best,
            "skipped": progress.skipped,
            "faults": len(progress.faults),
            "machine": self._machine(progress, clock, speed, cache),
        }
        self._line(line)
        self._listener.ended_epoch(line, self._recipe.epochs)

    def scores(self, result: Development, dev: Trials) -> None:
        """The scores of the development trials ``dev`` by the best weights, of those that could be read."""
        if self._run is not None:
            scored = np.isfinite(result.scores)
            lines = score_lines(dev.take(scored), result.scores[scored], "tsv", path=self._run.folder / DEV_SCORES)
            self._run.write(DEV_SCORES, "".join(lines).encode(errors="surrogateescape"))

    def say(self, text: str) -> None:
        """A sentence for the listener and the run's log."""
        if self._run is not None:
            self._run.say(text)
        self._listener.say(text)

    def _machine(self, progress: Progress, clock: Clock, speed: Speed, cache: CacheStatistics) -> dict[str, Any]:
        """What may differ between two runs that come to the same weights."""
        return {
            "seconds": progress.seconds + clock.since_save(),
            "windows_per_second": speed.windows_per_second * self._world,
            "waiting_share": speed.waiting_share,
            "memory_bytes": resident_bytes(),
            "cache_hit_share": cache.hit_share,
            "cache_bytes": cache.held_bytes,
        }

    def _line(self, line: Mapping[str, Any]) -> None:
        if self._run is not None:
            self._run.line(line)
            self._events.write(line)
