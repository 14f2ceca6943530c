"""The loop: epoch by epoch, from a state to the next, until training is over or has to stop."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from aasist.errors import AasistError
from aasist.model.aasist import Aasist
from aasist.protocol.scores import score_lines
from aasist.training import state
from aasist.training.averaging import Average, estimate_norms
from aasist.training.batches import Batch, Faults, Loader
from aasist.training.clock import Clock, Speed
from aasist.training.development import Development, developed
from aasist.training.distributed import Ranks, require_divisible
from aasist.training.draws import seed_dropout
from aasist.training.events import Events
from aasist.training.memory import MemoryGuard, relieve, resident_bytes
from aasist.training.plan import plan
from aasist.training.precision import resolved
from aasist.training.preparation import Preparation
from aasist.training.reader import Fault
from aasist.training.recipe import Recipe
from aasist.training.recordings import DataError
from aasist.training.run import AVERAGED, BEST, DEV_SCORES, Run
from aasist.training.selection import DEV, TRAIN, Selected
from aasist.training.state import Progress
from aasist.training.step import Learner, Outcome
from aasist.training.stopping import Asked, stopping

NAMED_TRIALS = 8
"""Trials of a batch that a message names; the others are counted."""


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


@dataclass(frozen=True)
class End:
    """How a training ended: ``reason`` is ``epochs``, ``patience``, ``steps``, ``signal`` or ``memory``; the first two are
    ends for good, the others go on with a resume."""

    reason: str
    progress: Progress
    signal: int = 0
    """Its number, where one stopped it."""
    is_first_rank: bool = True

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.reason in ("epochs", "patience")


class Training:
    """A training under way: the learner, its data and averages, and where it stands."""

    def __init__(self, recipe: Recipe, selected: Selected, ranks: Ranks, run: Run | None, listener: Listener) -> None:
        """``run`` and ``listener`` are the first rank's."""
        self.recipe, self.selected, self.ranks, self.run, self.listener = recipe, selected, ranks, run, listener
        self.progress = Progress()
        precision = resolved(recipe.precision, ranks.device)
        self.learner = Learner(recipe, ranks, precision)
        self.average = None if recipe.averaging.kind == "none" else Average(self.learner.model)
        self.scored = Aasist(recipe.model.resolved()).to(ranks.device)
        """Holds averaged weights while they are scored or written."""
        self.train, self.dev = selected.of(TRAIN), selected.of(DEV)
        self.faults = Faults(len(selected.trials), recipe.loading.faults)
        order = plan(self.train, recipe.sampling, recipe.seed, 0)
        require_divisible(recipe.batch, order.unit, ranks)
        self.steps_an_epoch = order.batches(recipe.batch) // recipe.optimiser.accumulate
        if not self.steps_an_epoch:
            raise DataError(
                "too_few",
                f"an epoch has {len(order):,} trials, and a step takes {recipe.batch * recipe.optimiser.accumulate:,}: "
                "lower batch or optimiser.accumulate",
            )
        self.horizon = recipe.epochs * self.steps_an_epoch
        self.preparation = Preparation(recipe, self.train, ranks.device)
        self.guard = MemoryGuard(recipe.loading.memory_bytes)
        self.clock = Clock()
        self.events = Events(None if run is None or not recipe.run.tensorboard else run.folder)

    def restore(self, content: bytes, source: str) -> None:
        """Go on from a state, as `Run.state` has it."""
        tensors, self.progress = state.from_bytes(content, source)
        try:
            self.learner.restore(state.under("learner", tensors))
            if self.average is not None:
                for name, tensor in state.under("average", tensors).items():
                    self.average.tensors[name].copy_(tensor)
                self.average.count = self.progress.averaged
        except (RuntimeError, KeyError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise AasistError("state", f"{source}: the state does not fit the recipe: {reason}") from error
        self.faults = Faults(len(self.selected.trials), self.recipe.loading.faults, self.progress.faults)

    def go(self, loader: Loader) -> End:
        """Train until it is over, or has to stop; everything is saved then."""
        reason = ""
        with stopping() as asked:
            while not reason and self.progress.epoch < self.recipe.epochs and not self._out_of_patience():
                reason = "steps" if self._has_steps() else self.epoch(loader, asked)
        if len(self.faults):
            self.say(f"{len(self.faults)} trials could not be read and took no part: {self.faults}")
        if reason in ("", "steps"):
            self._write_average(loader)
        if not reason:
            reason = "patience" if self._out_of_patience() else "epochs"
            self.progress.ended = reason
            self.save()
        return End(reason, self.progress, asked.number, self.ranks.first)

    def epoch(self, loader: Loader, asked: Asked) -> str:
        """One epoch, or what is left of it -> why to stop, empty when the next may begin."""
        recipe, progress, self.clock = self.recipe, self.progress, Clock()
        order = plan(self.train, recipe.sampling, recipe.seed, progress.epoch).at(self.selected.train)
        batches = self._fetched(loader.epoch(order, progress.epoch, epochs=recipe.epochs, start=progress.batch), loader)
        left = self.steps_an_epoch - progress.batch // recipe.optimiser.accumulate
        for group in itertools.islice(_groups(batches, recipe.optimiser.accumulate), left):
            left -= 1
            outcome = self.step(group, stop="memory" if self.guard.must_stop else "signal" if asked.is_set() else "")
            if progress.step % recipe.run.log_steps == 0:
                self._log_steps(outcome, loader)
            self.guard.check(loader)
            self._check_faults(group)
            if outcome.stop or (left and self._has_steps()):
                self.save()
                return outcome.stop or "steps"
            if self.clock.since_save() >= 60 * recipe.run.checkpoint_minutes:
                self.save()
        relieve()
        self._end_epoch(loader, self.clock.epoch.read())
        return ""

    def step(self, group: list[Batch], *, stop: str) -> Outcome:
        """One step on the batches that make it up, and what follows from how it went."""
        progress = self.progress
        self.clock.took(group)
        ready = [self.preparation(batch) for batch in group]
        outcome = self.learner.take(ready, progress.step, self.horizon, stop=stop)
        progress.step += 1
        progress.batch += len(group)
        if outcome.skipped:
            self._skipped(group)
            return outcome
        progress.skipped_in_a_row = 0
        progress.line_loss, progress.line_steps = progress.line_loss + outcome.loss, progress.line_steps + 1
        progress.epoch_loss, progress.epoch_steps = progress.epoch_loss + outcome.loss, progress.epoch_steps + 1
        if self.average is not None and self.recipe.averaging.kind == "ema":
            self.average.follow(self.learner.model, self.recipe.averaging.decay)
        return outcome

    def _fetched(self, batches: Iterator[Batch], loader: Loader) -> Iterator[Batch]:
        """The batches of an epoch. All is saved before an error that ends them: they are fetched between two steps."""
        try:
            for batch in batches:
                if news := loader.disk_news():
                    self.say(news)
                yield batch
        except DataError:
            self.save()
            raise

    def save(self) -> None:
        """Write the last weights and the state, whole or not at all."""
        progress = self.progress
        progress.seconds += self.clock.lap()
        progress.faults = self.faults.to_json()
        if self.average is not None:
            progress.averaged = self.average.count
        if self.run is not None:
            tensors = state.named("learner", self.learner.tensors())
            if self.average is not None:
                tensors |= state.named("average", self.average.tensors)
            self.run.save(self.learner.model, tensors, progress)

    def _end_epoch(self, loader: Loader, speed: Speed) -> None:
        """Score dev, keep what is best, and begin the next epoch."""
        recipe, progress = self.recipe, self.progress
        running = self.average is not None and recipe.averaging.kind == "ema"
        model = self.average.put_into(self.scored) if running and self.average is not None else self.learner.model
        rows = self.selected.dev
        result = developed(model, loader.first_windows(rows), self.dev, rows, self.ranks)
        self._tell(result.faults)
        # As good as the best is the best: as in the published code, which averages these epochs.
        best = progress.best_eer is None or result.eer <= progress.best_eer
        if best:
            progress.best_eer, progress.best_epoch = result.eer, progress.epoch
        progress.worse_epochs = 0 if best else progress.worse_epochs + 1
        kind, done = recipe.averaging.kind, (progress.epoch + 1) / recipe.epochs
        if self.average is not None and (
            (kind == "best" and best) or (kind == "swa" and done > recipe.averaging.swa_from)
        ):
            self.average.add(self.learner.model)
        if self.run is not None and best:
            self.run.save_model(BEST, model)
            self._write_scores(result)
        self._log_epoch(result, loader, speed, best=best)
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.epoch_loss, progress.epoch_steps = 0.0, 0
        self.save()

    def _write_average(self, loader: Loader) -> None:
        """Write the averaged weights, with batch norms that fit them; every rank comes here."""
        if self.average is None or not self.average.count:
            return
        model = self.average.put_into(self.scored)
        if self.recipe.averaging.kind != "ema":
            self.say("estimating the batch norms of the averaged weights")
            self._estimate_norms(model, loader)
        if self.run is not None:
            self.run.save_model(AVERAGED, model)

    def _estimate_norms(self, model: Aasist, loader: Loader) -> None:
        epoch = self.recipe.epochs  # the one after the last: batches that nothing was trained on in this order
        order = plan(self.train, self.recipe.sampling, self.recipe.seed, epoch).at(self.selected.train)
        batches = loader.epoch(order, epoch, epochs=self.recipe.epochs)
        seed_dropout(self.recipe.seed, epoch, 0, self.ranks.rank)
        ready = map(self.preparation, itertools.islice(batches, self.recipe.averaging.norm_batches))
        estimate_norms(model, ((one.waveforms, one.mask) for one in ready if len(one.labels)))
        statistics = [buffer for buffer in model.buffers() if buffer.dtype.is_floating_point]
        self.ranks.sum_(statistics)
        for buffer in statistics:
            buffer.div_(self.ranks.world)

    def _out_of_patience(self) -> bool:
        patience = self.recipe.schedule.patience
        return patience is not None and self.progress.worse_epochs >= patience

    def _has_steps(self) -> bool:
        """Whether the run has as many steps as ``run.steps`` says."""
        return self.recipe.run.steps is not None and self.progress.step >= self.recipe.run.steps

    def _skipped(self, group: list[Batch]) -> None:
        """Count a step that was skipped, and end the run where that goes on."""
        self.progress.skipped += 1
        self.progress.skipped_in_a_row += 1
        ids = [str(trial) for batch in group for trial in self.selected.trials.ids[batch.rows].tolist()]
        more = f" and {len(ids) - NAMED_TRIALS} more" if len(ids) > NAMED_TRIALS else ""
        trials = f"{', '.join(ids[:NAMED_TRIALS])}{more}"
        count = self.progress.skipped_in_a_row
        if count >= self.recipe.run.nonfinite_limit:
            raise AasistError(
                "non_finite",
                f"the loss was not finite in {count} steps in a row (run.nonfinite_limit); the last batch: {trials}; lower "
                "optimiser.learning_rate, or set optimiser.clip_norm or precision=fp32, and begin another run",
            )
        self.say(f"step {self.progress.step}: the loss is not finite, nothing was changed; the batch: {trials}")

    def _check_faults(self, group: list[Batch]) -> None:
        """Tell of trials that could not be read; save and raise `DataError` ``faults`` where they are too many."""
        self._tell(fault for batch in group for fault in batch.faults)
        if len(self.faults) > self.faults.limit:
            self.save()
            self.faults.check()

    def _tell(self, faults: Iterable[Fault]) -> None:
        for fault in self.faults.add(faults):
            self.say(f"left out: {fault.id} ({fault.path}): {fault.message}")

    def _log_steps(self, outcome: Outcome, loader: Loader) -> None:
        progress = self.progress
        line = {
            "kind": "step",
            "step": progress.step,
            "epoch": progress.epoch,
            "loss": progress.line_loss / progress.line_steps if progress.line_steps else None,
            "learning_rate": outcome.learning_rate,
            "gradient_norm": outcome.gradient_norm if math.isfinite(outcome.gradient_norm) else None,
            "skipped": progress.skipped,
            "machine": self._machine(loader, self.clock.line.read()),
        }
        progress.line_loss, progress.line_steps = 0.0, 0
        self._log(line)
        self.listener.stepped(line, self.horizon)

    def _log_epoch(self, result: Development, loader: Loader, speed: Speed, *, best: bool) -> None:
        progress = self.progress
        line = {
            "kind": "epoch",
            "step": progress.step,
            "epoch": progress.epoch,
            "loss": progress.epoch_loss / progress.epoch_steps if progress.epoch_steps else None,
            "dev_eer": result.eer,
            "dev_within_source": result.within_source,
            "best": best,
            "skipped": progress.skipped,
            "faults": len(self.faults),
            "machine": self._machine(loader, speed),
        }
        self._log(line)
        self.listener.ended_epoch(line, self.recipe.epochs)

    def _machine(self, loader: Loader, speed: Speed) -> dict[str, Any]:
        """What may differ between two runs that come to the same weights."""
        statistics = loader.statistics
        return {
            "seconds": self.progress.seconds + self.clock.since_save(),
            "windows_per_second": speed.windows_per_second * self.ranks.world,
            "waiting_share": speed.waiting_share,
            "memory_bytes": resident_bytes(),
            "cache_hit_share": statistics.hit_share,
            "cache_bytes": statistics.held_bytes,
        }

    def _log(self, line: Mapping[str, Any]) -> None:
        if self.run is not None:
            self.run.line(line)
            self.events.write(line)

    def _write_scores(self, result: Development) -> None:
        if self.run is not None:
            scored = np.isfinite(result.scores)
            lines = score_lines(self.dev.take(scored), result.scores[scored], "tsv", path=self.run.folder / DEV_SCORES)
            self.run.write(DEV_SCORES, "".join(lines).encode(errors="surrogateescape"))

    def say(self, text: str) -> None:
        """A sentence for the listener and the run's log."""
        if self.run is not None:
            self.run.say(text)
        self.listener.say(text)


def _groups(batches: Iterator[Batch], count: int) -> Iterator[list[Batch]]:
    """Batches by ``count``; what is left over at the end is left out."""
    while len(group := list(itertools.islice(batches, count))) == count:
        yield group
