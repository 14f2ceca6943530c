"""What training would see: batches drawn as it draws them, and the cues of every window and of its recording."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from aasist.parallel import in_order
from aasist.runtime.threads import available_threads
from aasist.session import SAMPLE_RATE, Float32
from aasist.training.batches import Batch, Loader
from aasist.training.draws import Integers
from aasist.training.faults import Faults
from aasist.training.plan import Plan, plan
from aasist.training.preparation import Preparation
from aasist.training.probe.classifier import Float64
from aasist.training.probe.cues import CUES, measured
from aasist.training.recipe import Recipe
from aasist.training.selection import training_trials
from aasist.training.waveforms import Crop, as_floats, decoded, trimmed
from aasist.trial import Booleans, Trials


@dataclass(frozen=True, eq=False)
class Drawn:
    """Draws of training with their cues.

    ``trials``: all that training draws from; ``rows`` (N,) of them, in the order of the draws. ``recordings`` (N, C) and
    ``windows`` (N, C): the `CUES` of the whole recording, and of what the model would be given. ``pairs`` (P, 2): draws
    that are the bona fide trial and the spoof of a pair, whether ``copied`` (P,) from one another. ``faults``: trials that
    could not be read.
    """

    trials: Trials
    rows: Integers
    recordings: Float64
    windows: Float64
    pairs: Integers
    copied: Booleans
    faults: Faults

    def __len__(self) -> int:
        return len(self.rows)


def drawn(recipe: Recipe, count: int, progress: Callable[[int], None] = lambda done: None) -> Drawn:
    """The first ``count`` draws of a training by ``recipe``, in whole batches, one at the least; of its later epochs where
    the first has fewer, and fewer where the recipe ends before. ``progress`` is told how many there are so far.

    Raises `AasistError` as a training does: for data that cannot be selected, planned, augmented or read.
    """
    trials = training_trials(recipe.data)
    torch.set_num_threads(recipe.run.threads or available_threads())
    preparation = Preparation(recipe, trials, torch.device("cpu"))
    faults = Faults(len(trials), recipe.loading.faults)
    rows: list[Integers] = []
    windows: list[Float64] = []
    pairs: list[Integers] = []
    copied: list[Booleans] = []
    recordings = _Recordings(trials, recipe.crop)
    done = 0
    with Loader(
        trials,
        recipe.crop,
        recipe.loading,
        batch_rows=recipe.batch,
        window_samples=recipe.model.resolved().window_samples,
        seed=recipe.seed,
        coding=preparation.coding,
    ) as loader:
        for order, batch in _batches(recipe, trials, loader, count):
            faults.add(batch.faults)
            faults.check()
            heard = recordings.heard_seconds(batch.rows)
            waveforms = preparation(batch).waveforms.numpy()
            windows += _measured(waveforms, heard)
            rows.append(batch.rows)
            if recipe.sampling.mode == "pairs":
                pairs.append(batch.pairs() + done)
                places = order.places[batch.positions[batch.pairs()]]
                copied.append(np.asarray(places[:, 0] == places[:, 1]))
            done += len(batch)
            progress(done)
    every = np.concatenate(rows)
    return Drawn(
        trials,
        every,
        np.stack([recordings.cues[row] for row in every.tolist()]) if len(every) else np.empty((0, len(CUES))),
        np.stack(windows) if windows else np.empty((0, len(CUES))),
        np.concatenate([np.empty((0, 2), np.int64), *pairs]),
        np.concatenate([np.empty(0, np.bool_), *copied]),
        faults,
    )


def _batches(recipe: Recipe, trials: Trials, loader: Loader, count: int) -> Iterator[tuple[Plan, Batch]]:
    """Batches as they come in training, with the plan of their epoch."""
    left = -(-count // recipe.batch)
    for epoch in range(recipe.epochs):
        order = plan(trials, recipe.sampling, recipe.seed, epoch)
        for batch in itertools.islice(loader.epoch(order, epoch, epochs=recipe.epochs), left):
            yield order, batch
            left -= 1
        if not left:
            return


def _measured(waveforms: Float32, heard_seconds: list[float]) -> list[Float64]:
    """Windows (B, T) and how much of each is no repetition -> their cues."""
    longest = waveforms.shape[1] / SAMPLE_RATE
    return list(
        in_order(
            lambda number: measured(waveforms[number], min(heard_seconds[number], longest)),
            range(len(waveforms)),
            threads=torch.get_num_threads(),
        )
    )


class _Recordings:
    """Recordings as they are: measured once each, nothing trimmed, coded or cropped."""

    def __init__(self, trials: Trials, crop: Crop) -> None:
        self._paths, self._crop = trials.columns["path"], crop
        self.cues: dict[int, Float64] = {}
        self._heard: dict[int, float] = {}

    def heard_seconds(self, rows: Integers) -> list[float]:
        """How long the recordings at ``rows`` (B,) are once they are trimmed; those that are new are measured."""
        new = [row for row in dict.fromkeys(rows.tolist()) if row not in self.cues]
        for row, (cues, heard) in zip(new, in_order(self._measured, new, threads=torch.get_num_threads()), strict=True):
            self.cues[row], self._heard[row] = cues, heard
        return [self._heard[row] for row in rows.tolist()]

    def _measured(self, row: int) -> tuple[Float64, float]:
        samples = decoded(str(self._paths[row]), replace(self._crop, trim_db=0.0))
        heard = trimmed(samples, self._crop.trim_db) if self._crop.trim_db else samples
        return measured(as_floats(samples)), len(heard) / SAMPLE_RATE
