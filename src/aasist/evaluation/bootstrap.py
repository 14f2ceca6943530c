"""Intervals by resampling speakers, or trials where speakers are too few, and paired comparison of two systems.

(Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 13; by speaker: Bisani and Ney, ICASSP
2004.) Round i depends on the seed and i alone, so the number of threads changes no result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aasist.evaluation.tally import Float64, Levels, Metric, Scale, Tally
from aasist.parallel import in_order

ROUNDS = 1000
LEVEL = 0.95
FEWEST_SPEAKERS = 5
"""Speakers that a class needs to be drawn by speaker. With one, every draw is the same and the error looks certain; in
simulation (docs/log.md) draws of speakers hold the true rate as often as draws of trials from about five on."""
MOST_OF_ONE_SPEAKER = 0.5
"""Share of a class's trials that one speaker may have: above it, however many others there are, a draw is that speaker's."""

Measure = Callable[[Tally], float]
Interval = tuple[float, float]


def checked_labels(labels: NDArray[Any], count: int | None = None) -> NDArray[np.bool_]:
    """Labels (N,) as truth values, True = bona fide; 0 and 1 will do. ``ValueError`` for anything else: as an index, a
    whole number would pick trials instead of telling their class."""
    given = np.asarray(labels)
    if given.ndim != 1 or (count is not None and len(given) != count):
        raise ValueError(f"labels must be one for each score, got shape {given.shape} for {count} scores")
    if given.dtype != np.bool_ and not np.isin(given, (0, 1)).all():
        raise ValueError("labels must be True or False, or 1 and 0: bona fide or not")
    return given.astype(np.bool_)


class Resampler:
    """Draws trials anew from one set: by speaker where speakers are known and enough, else one by one within each class.

    A drawn speaker brings all its trials, of both classes where both are drawn by speaker. A class with fewer than
    `FEWEST_SPEAKERS`, or with most of its trials by one, is drawn trial by trial, or recording by recording where several
    trials are of one: its interval then holds for these speakers, and says nothing of others.
    """

    def __init__(
        self,
        labels: NDArray[np.bool_],
        speakers: NDArray[Any] | None = None,
        recordings: NDArray[Any] | None = None,
        *,
        seed: int = 0,
    ) -> None:
        """``labels`` (N,): which trials are bona fide. ``speakers`` (N,): their names; a trial whose name is empty or
        ``-`` is a speaker of its own. ``recordings`` (N,): what each trial is of, where one gave several.
        ``ValueError`` when a class is empty or the lengths differ."""
        labels = checked_labels(labels)
        if not labels.any() or labels.all():
            raise ValueError("an interval needs trials of both classes")
        for name, given in (("speakers", speakers), ("recordings", recordings)):
            if given is not None and len(given) != len(labels):
                raise ValueError(f"{name} must be one for each trial, got {len(given)} for {len(labels)} trials")
        self._seed = seed
        self._one_by_one = _OneByOne.of(labels, recordings), _OneByOne.of(~labels, recordings)
        self._speakers: tuple[Levels | None, Levels | None] = (None, None)
        self._count = 0
        if speakers is None:
            return
        number = _numbered(speakers)
        of_class = number[labels], number[~labels]
        enough = [_are_enough(numbers) for numbers in of_class]
        if any(enough):
            drawn = np.unique(np.concatenate([n for n, by_speaker in zip(of_class, enough, strict=True) if by_speaker]))
            bonafide, spoof = (
                np.searchsorted(drawn, numbers) if by_speaker else None
                for numbers, by_speaker in zip(of_class, enough, strict=True)
            )
            self._speakers, self._count = (bonafide, spoof), len(drawn)

    @property
    def by_speaker(self) -> tuple[bool, bool]:
        """Whether bona fide trials, and whether spoofs, are drawn by speaker."""
        bonafide, spoof = self._speakers
        return bonafide is not None, spoof is not None

    def weights(self, number: int) -> tuple[Float64, Float64]:
        """How often round ``number`` draws each bona fide trial (B,) and each spoof (S,), in their order."""
        random = np.random.default_rng([self._seed, number])
        while True:  # a draw of speakers may, rarely, hold no trial of a class
            times = _drawn(random, self._count) if self._count else None
            bonafide, spoof = (
                alone.drawn(random) if speakers is None or times is None else times[speakers]
                for alone, speakers in zip(self._one_by_one, self._speakers, strict=True)
            )
            if bonafide.any() and spoof.any():
                return bonafide, spoof


class Placed:
    """Scores (N,) of one system on the trials of a resampler, placed on their scale once for all rounds."""

    def __init__(self, scores: ArrayLike, labels: NDArray[np.bool_]) -> None:
        values, labels = np.asarray(scores, np.float64), checked_labels(labels, len(np.asarray(scores)))
        self.tally = Tally.of(values[labels], values[~labels])
        self._bonafide = np.searchsorted(self.tally.scale.scores, values[labels])
        self._spoof = np.searchsorted(self.tally.scale.scores, values[~labels])

    @property
    def scale(self) -> Scale:
        return self.tally.scale

    def resampled(self, weights: tuple[Float64, Float64]) -> Tally:
        """The tally of one round."""
        count = len(self.scale.scores)
        bonafide, spoof = np.bincount(self._bonafide, weights[0], count), np.bincount(self._spoof, weights[1], count)
        return Tally(self.scale, bonafide.astype(np.float64, copy=False), spoof.astype(np.float64, copy=False))


def intervals(
    measures: Mapping[str, Measure],
    scores: ArrayLike,
    labels: NDArray[np.bool_],
    *,
    speakers: NDArray[Any] | None = None,
    recordings: NDArray[Any] | None = None,
    rounds: int = ROUNDS,
    level: float = LEVEL,
    seed: int = 0,
    threads: int = 1,
) -> dict[str, Interval]:
    """Percentile intervals of several measures of a tally, from the same draws.

    ``scores`` (N,) and ``labels`` (N,), True = bona fide; ``speakers`` and ``recordings`` as `Resampler` has them. ``ValueError`` when a class is empty, lengths differ, there is
    no round, or ``level`` is no share.
    """
    _require(rounds, level)
    placed, resampler = Placed(scores, labels), Resampler(labels, speakers, recordings, seed=seed)
    values = np.array(
        list(
            in_order(
                lambda n: _measured(measures, placed.resampled(resampler.weights(n))), range(rounds), threads=threads
            )
        )
    )
    return dict(zip(measures, _percentiles(values, level), strict=True))


def mean_interval(
    measure: Measure,
    groups: Sequence[NDArray[np.intp]],
    scores: ArrayLike,
    labels: NDArray[np.bool_],
    *,
    speakers: NDArray[Any] | None = None,
    rounds: int = ROUNDS,
    level: float = LEVEL,
    seed: int = 0,
    threads: int = 1,
) -> Interval | None:
    """Percentile interval of the mean of a measure over groups of trials, from draws of the whole set.

    ``groups``: the rows of each, ascending, both classes among them. A group of which a round draws no trial of a class
    has no part in the mean of that round. None where that leaves no group in any round; ``ValueError`` as `intervals`.
    """
    _require(rounds, level)
    values, labels = np.asarray(scores, np.float64), checked_labels(labels, len(np.asarray(scores)))
    resampler = Resampler(labels, speakers, seed=seed)
    within = np.where(labels, np.cumsum(labels), np.cumsum(~labels)) - 1  # number of each trial in its class
    placed = [
        (Placed(values[rows], labels[rows]), within[rows[labels[rows]]], within[rows[~labels[rows]]]) for rows in groups
    ]

    def one(number: int) -> float:
        bonafide, spoof = resampler.weights(number)
        found = []
        for group, of_bonafide, of_spoof in placed:
            weights = bonafide[of_bonafide], spoof[of_spoof]
            if weights[0].any() and weights[1].any():
                found.append(measure(group.resampled(weights)))
        return float(np.mean(found)) if found else np.nan

    drawn = np.array(list(in_order(one, range(rounds), threads=threads)))
    known = drawn[~np.isnan(drawn)]
    return _percentiles(known[:, None], level)[0] if len(known) else None


def interval(
    metric: Metric[[], float],
    bonafide: ArrayLike,
    spoof: ArrayLike,
    *,
    rounds: int = ROUNDS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """Percentile interval of one metric, ``interval(eer, bonafide, spoof)``; trials are resampled within each class."""
    accept, reject = np.asarray(bonafide, np.float64).ravel(), np.asarray(spoof, np.float64).ravel()
    labels = np.arange(len(accept) + len(reject)) < len(accept)
    scores = np.concatenate([accept, reject])
    return intervals({"": metric.of}, scores, labels, rounds=rounds, level=level, seed=seed)[""]


@dataclass(frozen=True)
class Difference:
    """Measure of system A minus that of system B on the same trials: as measured, its interval, and the share of rounds,
    twice that of the rarer sign, in which chance alone reverses it (a two-sided p-value)."""

    a: float
    b: float
    difference: float
    interval: Interval
    p_value: float


def compare(
    measures: Mapping[str, Measure],
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    labels: NDArray[np.bool_],
    *,
    speakers: NDArray[Any] | None = None,
    rounds: int = ROUNDS,
    level: float = LEVEL,
    seed: int = 0,
    threads: int = 1,
) -> dict[str, Difference]:
    """Paired bootstrap: both systems, ``scores_a`` (N,) and ``scores_b`` (N,), meet the same draws of the trials.

    ``ValueError`` as `intervals`.
    """
    _require(rounds, level)
    if np.shape(scores_a) != np.shape(scores_b):
        raise ValueError(
            f"both systems need a score for each trial, got {np.size(scores_a)} of A and {np.size(scores_b)} of B"
        )
    a, b, resampler = Placed(scores_a, labels), Placed(scores_b, labels), Resampler(labels, speakers, seed=seed)

    def one(number: int) -> list[float]:
        weights = resampler.weights(number)
        pairs = zip(_measured(measures, a.resampled(weights)), _measured(measures, b.resampled(weights)), strict=True)
        return [first - second for first, second in pairs]

    drawn = np.array(list(in_order(one, range(rounds), threads=threads)))
    found = {}
    for number, (name, limits) in enumerate(zip(measures, _percentiles(drawn, level), strict=True)):
        rarer = min((drawn[:, number] <= 0).sum(), (drawn[:, number] >= 0).sum())
        first, second = measures[name](a.tally), measures[name](b.tally)
        # One round in the count keeps it from claiming certainty (Davison and Hinkley, 1997, section 4.2).
        p_value = min(1.0, 2 * (int(rarer) + 1) / (rounds + 1))
        found[name] = Difference(first, second, first - second, limits, p_value)
    return found


def _require(rounds: int, level: float) -> None:
    if rounds < 1:
        raise ValueError(f"rounds must be 1 or more, got {rounds}")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, both excluded, got {level}")


def _numbered(speakers: NDArray[Any]) -> Levels:
    """Names (N,) -> numbers (N,); each unknown name gets one of its own."""
    names, numbers = np.unique(speakers, return_inverse=True)
    unknown = np.flatnonzero((names == "") | (names == "-"))
    alone = np.isin(numbers, unknown)
    numbers = numbers.astype(np.intp)
    numbers[alone] = len(names) + np.arange(int(alone.sum()))
    return numbers


def _are_enough(numbers: Levels) -> bool:
    """Whether the trials (N,) of a class, numbered by speaker, can be drawn by speaker."""
    sizes = np.unique(numbers, return_counts=True)[1]
    return len(sizes) >= FEWEST_SPEAKERS and bool(sizes.max() <= MOST_OF_ONE_SPEAKER * len(numbers))


@dataclass(frozen=True)
class _OneByOne:
    """The trials of a class that is not drawn by speaker: ``count`` trials, or recordings with the ``number`` (N,) of that
    of each trial."""

    count: int
    number: Levels | None = None

    @classmethod
    def of(cls, own: NDArray[np.bool_], recordings: NDArray[Any] | None) -> _OneByOne:
        if recordings is None:
            return cls(int(own.sum()))
        names, numbers = np.unique(recordings[own], return_inverse=True)
        return cls(len(names), numbers.astype(np.intp))

    def drawn(self, random: np.random.Generator) -> Float64:
        times = _drawn(random, self.count)
        return times if self.number is None else times[self.number]


def _drawn(random: np.random.Generator, count: int) -> Float64:
    return np.bincount(random.integers(count, size=count, dtype=np.int64), minlength=count).astype(np.float64)


def _measured(measures: Mapping[str, Measure], tally: Tally) -> list[float]:
    return [measure(tally) for measure in measures.values()]


def _percentiles(values: Float64, level: float) -> list[Interval]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
