"""What a smaller file saves and what it costs, against the float file it was made of."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aasist.evaluation import bootstrap
from aasist.evaluation.det import eer
from aasist.evaluation.tables import Table, percent
from aasist.evaluation.tally import Float64
from aasist.export.sweep import Difference
from aasist.session import Float32, Session

TURNS = 21
"""Of each model; odd, so that the median is a turn that was."""


@dataclass(frozen=True)
class TimeRatio:
    """Time of the float model by that of the other, above 1 where the other is faster: the median over turns, and the
    quartiles, which tell a quiet machine from a busy one."""

    median: float
    quartiles: tuple[float, float]
    turns: int
    threads: int


def time_ratio(before: Session, after: Session, window: Float32, *, threads: int, turns: int = TURNS) -> TimeRatio:
    """Run both on ``window`` (1, T) in turn, ``turns`` times after one each that is not counted.

    Each turn is a ratio of its own, so that what else the machine does falls on both. ``threads`` is what the sessions
    were opened with.
    """
    before.run(window), after.run(window)
    ratios = []
    for _ in range(turns):
        began = time.perf_counter()
        before.run(window)
        between = time.perf_counter()
        after.run(window)
        ratios.append((between - began) / (time.perf_counter() - between))
    low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75)).tolist()
    return TimeRatio(median, (low, high), turns, threads)


@dataclass(frozen=True)
class Accuracy:
    """Both models on the same recordings: the EER of the smaller minus that of the float model, paired, and how far the llr
    of a recording lies from the float model's by the same calibration."""

    subset: str
    bonafide: int
    spoof: int
    eer: bootstrap.Difference
    llr: Difference


def accuracy(
    subset: str,
    before: Float64,
    after: Float64,
    labels: NDArray[np.bool_],
    speakers: NDArray[Any] | None,
    *,
    rounds: int = bootstrap.ROUNDS,
    threads: int = 1,
) -> Accuracy:
    """Of llr (N,) ``before`` and ``after`` of recordings with ``labels`` (N,), True = bona fide; ``speakers`` as
    `bootstrap.Resampler` has them. ``ValueError`` where a class is empty."""
    found = bootstrap.compare(
        {"eer": eer.of}, after, before, labels, speakers=speakers, rounds=rounds, seed=0, threads=threads
    )["eer"]
    return Accuracy(subset, int(labels.sum()), int((~labels).sum()), found, Difference.of(after, before))


@dataclass(frozen=True)
class Price:
    """The whole of it; sizes in bytes of the files."""

    size_before: int
    size_after: int
    time: TimeRatio
    accuracy: Sequence[Accuracy]

    def to_dict(self) -> dict[str, Any]:
        """For a report; rates are fractions, ``difference`` that of the smaller model minus the float one."""
        return {
            "bytes": {"before": self.size_before, "after": self.size_after},
            "time_ratio": asdict(self.time),
            "accuracy": [
                {
                    "subset": one.subset,
                    "bonafide": one.bonafide,
                    "spoof": one.spoof,
                    "eer_before": one.eer.b,
                    "eer_after": one.eer.a,
                    "difference": one.eer.difference,
                    "interval": one.eer.interval,
                    "p_value": one.eer.p_value,
                    "llr_mean_apart": one.llr.mean,
                    "llr_largest_apart": one.llr.largest,
                }
                for one in self.accuracy
            ],
        }

    def table(self, precision: str) -> Table:
        """For people."""
        low, high = self.time.quartiles
        rows = [
            ("size", _megabytes(self.size_before), _megabytes(self.size_after), f"{self.size_before / self.size_after:.2f} times smaller"),
            ("time of a window", "1", f"{1 / self.time.median:.2f}", f"{self.time.median:.2f} times as fast ({low:.2f} to {high:.2f})"),
        ]  # fmt: skip
        for one in self.accuracy:
            change = percent(one.eer.difference, one.eer.interval, unit=" points")
            rows.append((f"EER, {one.subset}", percent(one.eer.b), percent(one.eer.a), change))
            apart = f"{one.llr.mean:.3f}", f"{one.llr.largest:.3f} at the most"
            rows.append((f"llr apart, {one.subset}", "", *apart))
        return Table(("", "fp32", precision, "difference"), tuple(rows))


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.3f} MB"
