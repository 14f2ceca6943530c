"""Operating points of a model on trials: thresholds by the usual rules, and how sure their error rates are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aasist.evaluation.bootstrap import intervals
from aasist.evaluation.operating import OperatingPoint, by_eer, by_miss
from aasist.evaluation.tally import Float64, Tally
from aasist.runtime.points import NamedPoint
from aasist.trial import NO_ATTACK, Booleans, Trials

RULES: dict[str, tuple[int, Callable[[Tally], OperatingPoint]]] = {
    "eer": (1, by_eer.of),
    "miss-5": (60, lambda tally: by_miss.of(tally, 0.05)),
    "miss-1": (200, lambda tally: by_miss.of(tally, 0.01)),
    "miss-0.1": (3_000, lambda tally: by_miss.of(tally, 0.001)),
}
"""By name: the fewest bona fide recordings from which the rule says anything (two errors at the rate it promises, three at
the others), and the rule: equal error rates; 5, 1 and 0.1 % of bona fide rejected."""


def named_points(
    llrs: Float64,
    labels: Booleans,
    speakers: NDArray[Any] | None = None,
    recordings: NDArray[Any] | None = None,
    *,
    rounds: int,
    seed: int,
    threads: int = 1,
) -> tuple[NamedPoint, ...]:
    """The operating points by `RULES` that the trials are enough for.

    ``llrs`` (N,), ``labels`` (N,) True = bona fide, ``speakers`` (N,) whose trials are drawn together, ``recordings`` (N,)
    of which there are several scores, under other conditions: they count once, and are drawn together. The intervals are
    those of the rates at the threshold as it stands: not of the threshold.
    """
    tally = Tally.of(llrs[labels], llrs[~labels])
    count = int(labels.sum()) if recordings is None else len(np.unique(recordings[labels]))
    found = {name: rule(tally) for name, (fewest, rule) in RULES.items() if count >= fewest}
    measures = {
        f"{name} {number}": partial(_rate, threshold=point.threshold, number=number)
        for name, point in found.items()
        for number in (0, 1)
    }
    limits = intervals(
        measures, llrs, labels, speakers=speakers, recordings=recordings, rounds=rounds, seed=seed, threads=threads
    )
    return tuple(
        NamedPoint(
            name,
            float(point.threshold),
            point.rule,
            float(point.miss),
            limits[f"{name} 0"],
            float(point.false_acceptance),
            limits[f"{name} 1"],
        )
        for name, point in found.items()
    )


def _rate(tally: Tally, *, threshold: float, number: int) -> float:
    """Miss (0) or false acceptance (1) at a threshold."""
    return float(tally.rates_at(threshold)[number])


def drawn_together(trials: Trials) -> NDArray[Any]:
    """Whose trials a resampling draws together (N,): the speaker, or the trial itself where the speaker is not known."""
    alone = np.strings.add("\0", trials.ids)
    if "speaker" not in trials.columns:
        return alone
    speaker = trials.columns["speaker"]
    return np.where(np.asarray((speaker == "") | (speaker == NO_ATTACK)), alone, speaker)
