"""Figures of spoofing-robust speaker verification, with intervals, as a table and as an object for JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aasist.evaluation.bootstrap import FEWEST_SPEAKERS, LEVEL, ROUNDS, Interval, Placed
from aasist.evaluation.sasv import PlacedClasses, VerificationCosts, concurrent, least_cost
from aasist.evaluation.tables import Table, number, percent
from aasist.evaluation.tally import Float64
from aasist.parallel import in_order

KINDS = ("target", "nontarget", "spoof")
Weights = tuple[Float64, Float64, Float64]


@dataclass(frozen=True)
class VerificationFigure:
    """A figure, the thresholds it is reached at, by system, and its interval."""

    name: str
    """What tables call it."""
    value: float
    thresholds: Mapping[str, float]
    """``sasv``, or ``cm`` and ``asv``; infinite where nothing is accepted."""
    interval: Interval | None = None
    is_rate: bool = False
    """A fraction, which tables print as per cent."""


@dataclass(frozen=True)
class VerificationSummary:
    """What is known of a system: how many trials of each of `KINDS`, and the figures by key."""

    trials: Mapping[str, int]
    figures: Mapping[str, VerificationFigure]
    resampled: str
    """What the rounds drew: ``speakers``, ``trials`` or ``nothing``."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON; a threshold at which nothing is accepted is null."""
        figures = {
            key: {
                "value": figure.value,
                "interval": figure.interval and list(figure.interval),
                "thresholds": {k: v if np.isfinite(v) else None for k, v in figure.thresholds.items()},
            }
            for key, figure in self.figures.items()
        }
        return {"trials": dict(self.trials), "resampled": self.resampled, "figures": figures}

    def table(self) -> Table:
        """A row for each figure."""
        rows = []
        for figure in self.figures.values():
            value = (
                percent(figure.value, figure.interval)
                if figure.is_rate
                else f"{figure.value:.4f}"
                + (f" ({figure.interval[0]:.4f} to {figure.interval[1]:.4f})" if figure.interval else "")
            )
            at = ", ".join(
                f"{system} {number(threshold) if np.isfinite(threshold) else 'accepts nothing'}"
                for system, threshold in figure.thresholds.items()
            )
            rows.append((figure.name, value, at))
        return Table(("figure", "value (95 % interval)" if self.resampled != "nothing" else "value", "at"), tuple(rows))


class ThreeClasses:
    """Draws trials of three kinds anew: speakers, each with all trials that claim to be them, where every kind has
    `FEWEST_SPEAKERS` or more; else trials within each kind. Round i depends on the seed and i alone."""

    def __init__(self, kinds: NDArray[Any], speakers: NDArray[Any], *, seed: int = 0) -> None:
        """``kinds`` (N,) of `KINDS`, each there; ``speakers`` (N,) who the trials claim to be."""
        numbers = np.unique(speakers, return_inverse=True)[1]
        self._speakers = [numbers[np.asarray(kinds == kind)] for kind in KINDS]
        self._count = int(numbers.max()) + 1
        self._seed = seed
        self.by_speaker = min(len(np.unique(of_kind)) for of_kind in self._speakers) >= FEWEST_SPEAKERS

    def weights(self, number: int) -> Weights:
        """How often round ``number`` draws each target, each non-target and each spoof, in their order."""
        random = np.random.default_rng([self._seed, number])
        while True:  # a draw of speakers may, rarely, hold no trial of a kind
            if self.by_speaker:
                times = _drawn(random, self._count)
                target, nontarget, spoof = (times[of_kind] for of_kind in self._speakers)
            else:
                target, nontarget, spoof = (_drawn(random, len(of_kind)) for of_kind in self._speakers)
            if target.any() and nontarget.any() and spoof.any():
                return target, nontarget, spoof


def verification_summary(
    kinds: NDArray[Any],
    speakers: NDArray[Any],
    *,
    sasv: Float64 | None,
    cm: Float64 | None,
    asv: Float64 | None,
    costs: Mapping[str, tuple[str, VerificationCosts]],
    rounds: int = ROUNDS,
    seed: int = 0,
    threads: int = 1,
) -> VerificationSummary:
    """a-DCF of the scores of the whole system (N,) for each of ``costs`` (key -> name and costs), and the concurrent t-EER
    of its two parts (N,) where both are known; 0 ``rounds`` give no intervals.

    ``ValueError`` where a kind is absent or a score is not a finite number.
    """
    masks = [np.asarray(kinds == kind) for kind in KINDS]
    measures: dict[str, Callable[[Weights | None], VerificationFigure]] = {}
    if sasv is not None:
        whole = PlacedClasses(*(sasv[mask] for mask in masks))
        for key, (name, of) in costs.items():
            measures[key] = _cost_measure(whole, name, of)
    if cm is not None and asv is not None:
        measures["t_eer"] = _tandem_measure([cm[mask] for mask in masks], [asv[mask] for mask in masks])
    figures = {key: measure(None) for key, measure in measures.items()}
    resampled = "nothing"
    if rounds:
        draws = ThreeClasses(kinds, speakers, seed=seed)
        resampled = "speakers" if draws.by_speaker else "trials"

        def one(number: int) -> list[float]:
            weights = draws.weights(number)
            return [measure(weights).value for measure in measures.values()]

        drawn = np.array(list(in_order(one, range(rounds), threads=threads)))
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0).tolist()
        figures = {
            key: VerificationFigure(figure.name, figure.value, figure.thresholds, (low[n], high[n]), figure.is_rate)
            for n, (key, figure) in enumerate(figures.items())
        }
    trials = {kind: int(mask.sum()) for kind, mask in zip(KINDS, masks, strict=True)}
    return VerificationSummary(trials, figures, resampled)


def _cost_measure(
    whole: PlacedClasses, name: str, costs: VerificationCosts
) -> Callable[[Weights | None], VerificationFigure]:
    def measure(weights: Weights | None) -> VerificationFigure:
        value, threshold = least_cost(whole, whole.rates(weights or (None, None, None)), costs)
        return VerificationFigure(name, value, {"sasv": threshold})

    return measure


def _tandem_measure(cm: list[Float64], asv: list[Float64]) -> Callable[[Weights | None], VerificationFigure]:
    """Targets and non-targets alike are bona fide to the countermeasure, each as often as it is a trial."""
    scores, bonafide = np.concatenate(cm), np.arange(sum(map(len, cm))) < len(cm[0]) + len(cm[1])
    countermeasure, verification = Placed(scores, bonafide), PlacedClasses(*asv)

    def measure(weights: Weights | None) -> VerificationFigure:
        tally = countermeasure.tally
        if weights is not None:
            tally = countermeasure.resampled((np.concatenate(weights[:2]), weights[2]))
        found = concurrent(tally, verification, verification.rates(weights or (None, None, None)))
        at = {"cm": found.cm_threshold, "asv": found.asv_threshold}
        return VerificationFigure("t-EER, concurrent", found.rate, at, is_rate=True)

    return measure


def _drawn(random: np.random.Generator, count: int) -> Float64:
    return np.bincount(random.integers(count, size=count), minlength=count).astype(np.float64)
