"""The loop: epoch by epoch, from a state to the next, until training is over or has to stop."""

from __future__ import annotations

import itertools
import math
import signal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from aasist.errors import AasistError, one_line
from aasist.model.aasist import Aasist
from aasist.model.speech_encoder import SpeechEncoder
from aasist.model.training_form import prepared
from aasist.protocol.subsets import DEV, TRAIN
from aasist.training import state
from aasist.training.averaging import Average, estimate_norms
from aasist.training.batches import Batch, Loader
from aasist.training.beginning import Begun, begin_with
from aasist.training.clock import Clock
from aasist.training.development import developed
from aasist.training.distributed import Ranks, require_divisible
from aasist.training.draws import seed_dropout
from aasist.training.faults import Faults
from aasist.training.journal import Journal, Listener
from aasist.training.memory import MemoryGuard, relieve
from aasist.training.plan import plan
from aasist.training.precision import resolved
from aasist.training.preparation import Preparation
from aasist.training.reader import Fault
from aasist.training.recipe import Recipe
from aasist.training.recordings import DataError, Integers
from aasist.training.run import AVERAGED, BEST, Run
from aasist.training.selection import Selected
from aasist.training.state import Progress
from aasist.training.step import STOPS, Learner, Outcome
from aasist.training.stopping import Asked, Stopped, stopping
from aasist.training.teachers import Teacher
from aasist.training.told import Told, as_table, read_told

NAMED_TRIALS = 8
"""Trials of a batch that a message names; the others are counted."""


@dataclass(frozen=True)
class End:
    """How a training ended: ``reason`` is ``epochs``, ``patience``, ``steps``, ``signal`` or ``memory``; the first two are
    ends for good, the others go on with a resume."""

    reason: str
    progress: Progress
    signal: int = 0
    """Its number, where one stopped it."""
    horizon: int = 0
    """Steps of the whole training."""
    is_first_rank: bool = True

    @property
    def over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.reason in ("epochs", "patience")


class Training:
    """A training under way: the learner, its data and averages, and where it stands."""

    def __init__(
        self,
        recipe: Recipe,
        selected: Selected,
        ranks: Ranks,
        run: Run | None,
        listener: Listener,
        encoder: SpeechEncoder | None = None,
    ) -> None:
        """``run`` and ``listener`` are the first rank's; ``encoder`` is that of a recipe with a speech encoder."""
        self.recipe, self.selected, self.ranks, self.run = recipe, selected, ranks, run
        self.progress = Progress()
        precision = resolved(recipe.precision, ranks.device)
        self.learner = Learner(recipe, ranks, precision, encoder)
        self.begun: Begun | None = None
        self.average = None if recipe.averaging.kind == "none" else Average(self.learner.model)
        self.averaged = Aasist(recipe.model.resolved(), encoder).to(ranks.device)
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
        self.told = read_told(recipe.teachers.scores, self.train, self.dev)
        table = as_table(self.told, selected.train, len(selected.trials)) if self.told else None
        self.preparation = Preparation(recipe, self.train, ranks.device, table)
        self.guard = MemoryGuard(recipe.loading.memory_bytes)
        self.clock = Clock()
        self.journal = Journal(recipe, run, listener, horizon=self.horizon, world=ranks.world)
        self.say = self.journal.say

    @property
    def teachers(self) -> tuple[Teacher | Told, ...]:
        """Models and score files that teach, in order."""
        distillation = self.learner.distillation
        return () if distillation is None else (*distillation.teachers, *self.told)

    def begin(self) -> None:
        """Begin with the weights that the recipe names, where it names any. Raises `RecipeError` where they cannot be had."""
        data = self.recipe.data
        if data.start is None:
            return
        self.begun = begin_with(self.learner.model, data.start, partly=data.start_partly)
        if self.average is not None:
            self.average = Average(self.learner.model)

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
            reason = one_line(error)
            raise AasistError("state", f"{source}: the state does not fit the recipe: {reason}") from error
        self.faults = Faults(len(self.selected.trials), self.recipe.loading.faults, self.progress.faults)

    def go(self, loader: Loader) -> End:
        """Train until it is over, or has to stop; everything is saved then."""
        progress, reason = self.progress, ""
        if progress.ended:
            self.say(
                f"this run is over ({progress.ended}): nothing is left to do, and it cannot be lengthened: the schedule runs "
                "by the number of epochs; for more of them begin another run (epochs=N, -o another folder)"
            )
            return End(progress.ended, progress, horizon=self.horizon, is_first_rank=self.ranks.first)
        self.faults.check()  # of the run so far
        with stopping() as asked:
            while not reason and progress.epoch < self.recipe.epochs and not self._out_of_patience():
                reason = "steps" if self._has_steps() else self.epoch(loader, asked)
            if len(self.faults):
                self.say(f"{len(self.faults)} trials could not be read and took no part: {self.faults}")
            try:
                self._write_average(loader, asked, over=not reason)
            except Stopped as stopped:
                reason = stopped.reason
        if not reason:
            reason = progress.ended = "patience" if self._out_of_patience() else "epochs"
            self.save()
        number = (asked.number or signal.SIGTERM) if reason == "signal" else 0  # it may have met another rank
        return End(reason, progress, number, self.horizon, self.ranks.first)

    def epoch(self, loader: Loader, asked: Asked) -> str:
        """One epoch, or what is left of it -> why to stop, empty when the next may begin."""
        recipe, progress, self.clock = self.recipe, self.progress, Clock()
        order = plan(self.train, recipe.sampling, recipe.seed, progress.epoch).at(self.selected.train)
        batches = self._fetched(loader.epoch(order, progress.epoch, epochs=recipe.epochs, start=progress.batch), loader)
        left = self.steps_an_epoch - progress.batch // recipe.optimiser.accumulate
        for group in itertools.islice(_groups(batches, recipe.optimiser.accumulate), left):
            left -= 1
            outcome = self.step(group, stop=self._wants_to_stop(asked))
            if progress.step % recipe.run.log_steps == 0:
                self.journal.step(progress, outcome, self.clock, loader.statistics)
            self.guard.check(loader)
            if outcome.faults:
                self._found(self.ranks.collected([fault for batch in group for fault in batch.faults]))
            if outcome.stop or (left and self._has_steps()):
                self.save()
                return outcome.stop or "steps"
            if self.clock.since_save() >= 60 * recipe.run.checkpoint_minutes:
                self.save()
        self.save()  # what follows may take long, and a resume begins with it
        relieve()
        try:
            self._end_epoch(loader, asked)
        except Stopped as stopped:
            return stopped.reason
        return ""

    def step(self, group: list[Batch], *, stop: str) -> Outcome:
        """One step on the batches that make it up, and what follows from how it went."""
        progress = self.progress
        self.clock.took(group)
        ready = [self.preparation(batch) for batch in group]
        faults = sum(len(batch.faults) for batch in group)
        outcome = self.learner.take(ready, progress.step, self.horizon, stop=stop, faults=faults)
        progress.step += 1
        progress.batch += len(group)
        if outcome.skipped:
            self._skipped(group, outcome)
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
        if self.average is not None:
            progress.averaged = self.average.count
        if self.run is not None:
            tensors = state.named("learner", self.learner.tensors())
            if self.average is not None:
                tensors |= state.named("average", self.average.tensors)
            self.run.save(self.learner.model, tensors, progress)

    def _end_epoch(self, loader: Loader, asked: Asked) -> None:
        """Score dev, keep what is best, and begin the next epoch; `Stopped` leaves everything as it was."""
        recipe, progress, average, speed = self.recipe, self.progress, self.average, self.clock.epoch.read()
        running = average is not None and recipe.averaging.kind == "ema"
        model = average.put_into(self.averaged) if running and average is not None else self.learner.model
        rows = self.selected.dev
        windows = self._unless_asked(loader.first_windows(rows), loader, asked)
        result = developed(prepared(model, "fp32", self.ranks.device), windows, self.dev, rows, self.ranks)
        self._found([result.faults])
        before = math.inf if progress.best_eer is None else progress.best_eer
        # As good as the best is the best, as in the published code; patience wants better.
        best = result.eer <= before
        progress.worse_epochs = 0 if result.eer < before else progress.worse_epochs + 1
        if average is not None:
            done = (progress.epoch + 1) / recipe.epochs
            average.after_epoch(
                recipe.averaging, self.learner.model, eer=result.eer, best_eer=progress.best_eer, done=done
            )
        if best:
            progress.best_eer, progress.best_epoch = result.eer, progress.epoch
        if self.run is not None and best:
            self.run.save_model(BEST, model)
            self.journal.scores(result, self.dev)
        self.journal.epoch(progress, result, self.clock, speed, loader.statistics, best=best)
        progress.epoch, progress.batch = progress.epoch + 1, 0
        progress.epoch_loss, progress.epoch_steps = 0.0, 0
        self.save()

    def _write_average(self, loader: Loader, asked: Asked, *, over: bool) -> None:
        """Write the averaged weights, with batch norms that fit them; every rank comes here.

        A running average has them and is written at every stop; the others, once training is ``over``.
        """
        keys, best = self.recipe.averaging, self.progress.best_eer
        if self.average is None or not self.average.count or not (over or keys.kind == "ema"):
            return
        if keys.kind == "best" and keys.best_below is not None and best is not None and best > keys.best_below:
            self.say(
                f"no epoch came to a dev EER of {keys.best_below:.2%} (averaging.best_below): averaged are the "
                f"{self.average.count} that were as good as the best before them"
            )
        model = self.average.put_into(self.averaged)
        if keys.kind != "ema" and not self.recipe.optimiser.freeze_norms:
            self.say("estimating the batch norms of the averaged weights")
            self._estimate_norms(model, loader, asked)
        if self.run is not None:
            self.run.save_model(AVERAGED, model)

    def _estimate_norms(self, model: Aasist, loader: Loader, asked: Asked) -> None:
        epoch = self.recipe.epochs  # the one after the last: batches that nothing was trained on in this order
        order = plan(self.train, self.recipe.sampling, self.recipe.seed, epoch).at(self.selected.train)
        batches = loader.epoch(order, epoch, epochs=self.recipe.epochs)
        seed_dropout(self.recipe.seed, epoch, 0, self.ranks.rank)
        some = itertools.islice(batches, self.recipe.averaging.norm_batches)
        ready = map(self.preparation, self._unless_asked(some, loader, asked))
        form = prepared(model, "fp32", self.ranks.device)
        estimate_norms(form, ((one.waveforms, one.mask) for one in ready if len(one.labels)))
        statistics = [buffer for buffer in model.buffers() if buffer.dtype.is_floating_point]
        self.ranks.sum_(statistics)
        for buffer in statistics:
            buffer.div_(self.ranks.world)

    def _wants_to_stop(self, asked: Asked) -> str:
        """Why this rank wants to stop; empty where it does not."""
        return "memory" if self.guard.must_stop else "signal" if asked.is_set() else ""

    def _unless_asked(self, batches: Iterable[Batch], loader: Loader, asked: Asked) -> Iterator[Batch]:
        """The batches, as many on every rank; `Stopped` on all of them where one wants to stop."""
        for batch in batches:
            mine = self._wants_to_stop(asked)
            wanted = self.ranks.sum_exactly(torch.tensor([mine == reason for reason in STOPS], dtype=torch.int64))
            for reason, count in zip(STOPS, wanted.tolist(), strict=True):
                if count:
                    raise Stopped(reason)
            yield batch
            self.guard.check(loader)

    def _out_of_patience(self) -> bool:
        patience = self.recipe.schedule.patience
        return patience is not None and self.progress.worse_epochs >= patience

    def _has_steps(self) -> bool:
        """Whether the run has as many steps as ``run.steps`` says."""
        return self.recipe.run.steps is not None and self.progress.step >= self.recipe.run.steps

    def _skipped(self, group: list[Batch], outcome: Outcome) -> None:
        """Count a step that was skipped, and end the run where that goes on."""
        self.progress.skipped += 1
        self.progress.skipped_in_a_row += 1
        what = "gradient" if math.isfinite(outcome.loss) else "loss"
        trials = self._named(self.ranks.collected([batch.rows for batch in group]))
        count = self.progress.skipped_in_a_row
        if count >= self.recipe.run.nonfinite_limit:
            raise AasistError(
                "non_finite",
                f"the {what} was not finite in {count} steps in a row (run.nonfinite_limit); the last batch: {trials}; "
                "lower optimiser.learning_rate, or set optimiser.clip_norm or precision=fp32, and begin another run",
            )
        self.say(f"step {self.progress.step}: the {what} is not finite, nothing was changed; the batch: {trials}")

    def _named(self, rows: list[list[Integers]]) -> str:
        """Some of the trials at ``rows``, of each rank and batch, by their ids."""
        ids = [str(id_) for of_rank in rows for batch in of_rank for id_ in self.selected.trials.ids[batch].tolist()]
        more = f" and {len(ids) - NAMED_TRIALS} more" if len(ids) > NAMED_TRIALS else ""
        return f"{', '.join(ids[:NAMED_TRIALS])}{more}"

    def _found(self, faults: Iterable[Iterable[Fault]]) -> None:
        """Tell of trials that could not be read, on any rank; save and raise `DataError` ``faults`` where they are too
        many: on all ranks together, since all know of the same."""
        for fault in self.faults.add(fault for of_rank in faults for fault in of_rank):
            self.say(f"left out: {fault.id} ({fault.path}): {fault.message}")
        self.progress.faults = self.faults.to_json()
        if len(self.faults) > self.faults.limit:
            self.save()
            self.faults.check()


def _groups(batches: Iterator[Batch], count: int) -> Iterator[list[Batch]]:
    """Batches by ``count``; what is left over at the end is left out."""
    while len(group := list(itertools.islice(batches, count))) == count:
        yield group
