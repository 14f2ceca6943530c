"""Windows of trials, drawn by a seed: what a model hears while its parts are weighed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from aasist.audio.quality import SILENCE_DBFS
from aasist.errors import AasistError, AudioError
from aasist.model.aasist import Aasist
from aasist.model.training_form import prepared
from aasist.parallel import in_order
from aasist.session import Float32
from aasist.training.averaging import estimate_norms
from aasist.training.draws import Purpose, generator
from aasist.training.recordings import DataError, require_both_classes
from aasist.training.waveforms import Crop, cut, decoded
from aasist.trial import Trials

FEWEST_HEARD = 4
"""Windows of a class that are not silent, below which they say nothing of it (fewer only where fewer are wanted)."""

SILENCE = 10.0 ** (SILENCE_DBFS / 20.0)
"""As a sample."""


class Heard(NamedTuple):
    """``windows`` (N, T) float32 in [-1, 1), and their ``labels`` (N,) int64, 1 = bona fide."""

    windows: Tensor
    labels: Tensor


def windows_of_both_classes(
    trials: Trials,
    count: int,
    window_samples: int,
    *,
    seed: int,
    threads: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> Heard:
    """``count`` windows of ``window_samples`` of as many trials, half of them bona fide, in an order drawn with them.

    Each is cut at a random place of its recording, and repeated where that is too short. Of a class with too few, all
    are taken, and more of the other; N is less where both have too few. A trial that cannot be read gives its place to
    the next, and so does one whose window has no sample above -60 dBFS (`SILENCE_DBFS`): speech is not sought, what is
    silent for the detector is left out. The result does not depend on ``threads``. Raises `DataError`: a class without
    trials, or of which nothing could be read; `AasistError` ``calibration``: fewer than `FEWEST_HEARD` windows of one.
    """
    require_both_classes(trials)
    random, crop = generator(seed, Purpose.WINDOWS), Crop()
    labels = np.asarray(trials.bonafide)
    orders = [random.permutation(np.flatnonzero(labels == of_class)) for of_class in (True, False)]
    places = random.random(len(trials))
    paths = trials.columns["path"]

    silent = 0

    def heard(row: int) -> Float32 | None:
        try:
            samples = decoded(str(paths[row]), crop)
        except AudioError:
            return None
        return cut(samples, window_samples, float(places[row]))

    def sounding(found: Iterator[Float32]) -> Iterator[Float32]:
        nonlocal silent
        for window in found:
            if np.abs(window).max() < SILENCE:
                silent += 1
            else:
                yield window

    def readable(order: np.ndarray) -> Iterator[Float32]:
        found = in_order(heard, (int(row) for row in order), threads=threads)
        return (window for window in found if window is not None)

    half = min(count // 2, len(orders[0]))
    wanted = [max(half, count - len(orders[1])), count - half]
    windows: list[Float32] = []
    taken = []
    for order, most, name in zip(orders, wanted, ("bona fide trials", "spoofs"), strict=True):
        before, silent = len(windows), 0
        for window in islice(sounding(readable(order)), most):
            windows.append(window)
            progress(len(windows))
        taken.append(len(windows) - before)
        least = min(FEWEST_HEARD, most, len(order))
        if silent and taken[-1] < least:
            raise AasistError(
                "calibration",
                f"{trials.source}: {len(order):,} {name} gave {taken[-1]} windows that are not silent, and {least} is the least; "
                f"{silent:,} had nothing above {SILENCE_DBFS:.0f} dBFS: give other recordings",
            )
        if len(windows) == before and most:
            raise DataError("faults", f"{trials.source}: none of its {len(order):,} {name} could be read")
    order = random.permutation(len(windows))
    kinds = np.repeat(np.array([1, 0], np.int64), taken)[order]
    return Heard(torch.from_numpy(np.stack(windows)[order]), torch.from_numpy(kinds))


def renormed(model: Aasist, windows: Tensor, *, rows: int, seed: int) -> None:
    """Means and variances of the model's batch norms anew and in place, over windows (N, T), ``rows`` or more at a time: what
    they were belongs to channels that have left. Every part weighs the same, so they differ by one window at the most, and none
    has fewer than ``rows`` where there are as many. It is in eval mode afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # the norms of the graphs are behind dropout, as in training
        parts = torch.tensor_split(windows, max(1, len(windows) // rows))
        batches = ((part, None) for part in parts)
        estimate_norms(prepared(model, "fp32", "cpu"), batches)
    model.eval()
