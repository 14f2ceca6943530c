"""Scores of the development trials, by which the best weights are chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from aasist.errors import AasistError
from aasist.evaluation.det import eer
from aasist.model.training_form import PlainForm
from aasist.session import BONAFIDE, SPOOF
from aasist.training.batches import Batch
from aasist.training.distributed import Ranks
from aasist.training.reader import Fault
from aasist.training.recordings import Integers
from aasist.trial import Trials

FEWEST = 10
"""Trials of each class that a source must have for an error rate of its own."""


@dataclass(frozen=True)
class Development:
    """``scores`` (N,) of the development trials, higher = more bona fide, NaN where one could not be read; their equal
    error rate, and its mean over the sources that have trials enough (None: there is none); and who could not be read, on
    any rank."""

    scores: NDArray[np.float64]
    eer: float
    within_source: float | None
    faults: tuple[Fault, ...]


def developed(form: PlainForm, batches: Iterable[Batch], trials: Trials, rows: Integers, ranks: Ranks) -> Development:
    """Score the trials (N,), at ``rows`` of the table that the batches speak of: logit differences in float32.

    A score is the logit of bona fide less that of spoof, as everywhere in this project; the published code ranks
    development trials by the first alone. Raises `AasistError` ``non_finite`` for a model that gives no number, ``faults`` when none of a class could be read.
    """
    of_row = {row: place for place, row in enumerate(rows.tolist())}
    sums = torch.zeros(2, len(rows), dtype=torch.float64)  # scores; whether there is one
    faults: list[Fault] = []
    form.eval()
    with torch.no_grad():  # inference_mode is known to this thread alone, and the form works on several
        for batch in batches:
            faults += batch.faults
            if not len(batch):
                continue
            logits = form(batch.waveforms.to(ranks.device))
            margins = (logits[:, BONAFIDE] - logits[:, SPOOF]).double().cpu()
            at = torch.tensor([of_row[row] for row in batch.rows.tolist()])
            sums[0, at], sums[1, at] = margins, 1.0
    sums = ranks.sum_exactly(sums)
    everyones = tuple(fault for ranked in ranks.collected(faults) for fault in ranked)
    read = sums[1].numpy() > 0
    scores = np.where(read, sums[0].numpy(), np.nan)
    if not np.isfinite(scores[read]).all():
        raise AasistError(
            "non_finite", "the model's scores of the development trials are not finite: lower the learning rate"
        )
    assert trials.bonafide is not None
    bonafide, spoofs = scores[read & trials.bonafide], scores[read & ~trials.bonafide]
    if not len(bonafide) or not len(spoofs):
        first = everyones[0]
        raise AasistError(
            "faults",
            f"no development trial of one class could be read; the first, {first.id} ({first.path}): {first.message}",
        )
    return Development(scores, eer(bonafide, spoofs), _within_source(scores, trials), everyones)


def _within_source(scores: NDArray[np.float64], trials: Trials) -> float | None:
    """Mean equal error rate over the values of the column ``source`` with trials enough of both classes."""
    if "source" not in trials.columns or trials.bonafide is None:
        return None
    rates = []
    sources, place = np.unique(trials.columns["source"], return_inverse=True)
    for number, source in enumerate(sources.tolist()):
        here = (place == number) & np.isfinite(scores)
        bonafide, spoofs = scores[here & trials.bonafide], scores[here & ~trials.bonafide]
        if source and min(len(bonafide), len(spoofs)) >= FEWEST:
            rates.append(eer(bonafide, spoofs))
    return float(np.mean(rates)) if rates else None
