"""Findings: how well cues alone tell the classes apart, and whether that is near chance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aasist.evaluation.bootstrap import Interval, Placed, Resampler
from aasist.evaluation.det import auc, eer
from aasist.training.draws import Integers
from aasist.training.pairs import sources_of
from aasist.training.probe.classifier import JOINT_RIDGES, RIDGE, Float64, bent, products, ranks, values_told_apart
from aasist.training.probe.cues import COLUMN_CUES, CUES, Cue
from aasist.training.probe.drawn import Drawn
from aasist.training.probe.folds import cross_validated, cross_validated_pairs, even_folds
from aasist.training.recordings import DataError
from aasist.trial import Booleans, Strings, strings

NEAR_CHANCE = 0.45
"""An EER whose interval reaches so high is near chance; so is an accuracy within pairs that reaches down to the rest."""

WIDEST = 0.1
"""How far the interval may reach to the other side of `NEAR_CHANCE` for that to say something: from few draws every interval
reaches it."""

ROUNDS, LEVEL = 500, 0.95
JOINT = "all"
"""Name of what is told by all cues together."""

FEWEST_TRIALS = 20
"""Draws of each class that a value of a column needs to be named among what gives the class away."""

GROUPED_BY = ("attack", "engine", "kind", "corpus", "source")
AS_THEY_ARE, AS_TRAINED = "recordings", "windows"


@dataclass(frozen=True)
class Rate:
    """A rate, a fraction, with its bootstrap interval: recordings are drawn anew, with all that was copied from them."""

    value: float
    interval: Interval

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"value": self.value, "interval": list(self.interval)}


@dataclass(frozen=True)
class Told:
    """What the probe makes of one cue, or of all.

    EER where whole sources are held out (None: there is but one) and where recordings at random are: the first is what
    carries over to a source that is new, the second what a model could learn of those there are. ``within_pairs``: how
    often a probe that was fitted to rank pairs, of other sources, picks the bona fide trial of two of one source (None:
    the recipe draws no pairs). ``medians``: of bona fide draws and of spoofs, in the cue's unit.
    """

    cue: Cue
    by_source: Rate | None
    at_random: Rate
    within_pairs: Rate | None
    medians: tuple[float | None, float | None] = (None, None)

    @property
    def eer(self) -> Rate:
        """With sources held out, where there are any."""
        return self.by_source or self.at_random

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "cue": self.cue.name,
            "group": self.cue.group,
            "unit": self.cue.unit,
            "eer_by_source": _dict(self.by_source),
            "eer_at_random": _dict(self.at_random),
            "accuracy_within_pairs": _dict(self.within_pairs),
            "median_bonafide": self.medians[0],
            "median_spoof": self.medians[1],
        }


@dataclass(frozen=True)
class Giveaway:
    """Spoofs of one value of a column, against the bona fide members of their pairs, or what stands for them, by all cues.

    ``cue``: the one whose values part them most by themselves, ``higher`` or lower in the spoofs.
    """

    column: str
    value: str
    bonafide: int
    spoofs: int
    eer: Rate
    cue: str
    higher: bool

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**vars(self), "eer": self.eer.to_dict()}


@dataclass(frozen=True)
class Seen:
    """What is told of the recordings, or of the windows; ``giveaways`` from the surest on."""

    cues: tuple[Told, ...]
    joint: Told
    giveaways: tuple[Giveaway, ...]

    @property
    def near_chance(self) -> bool | None:
        """Whether all cues together come near chance on sources that are held out, and within pairs; None: the draws are too
        few to tell."""
        low, high = self.joint.eer.interval
        pairs = self.joint.within_pairs
        if high < NEAR_CHANCE or (pairs is not None and pairs.interval[0] > 1 - NEAR_CHANCE):
            return False
        told = low >= NEAR_CHANCE - WIDEST and (pairs is None or pairs.interval[1] <= 1 - NEAR_CHANCE + WIDEST)
        return True if told else None

    @property
    def verdict(self) -> str:
        """`near_chance` in words."""
        words = {True: "near chance", False: "NOT near chance", None: "too few draws to tell"}
        return words[self.near_chance]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "near_chance": self.near_chance,
            "joint": self.joint.to_dict(),
            "cues": [told.to_dict() for told in self.cues],
            "giveaways": [giveaway.to_dict() for giveaway in self.giveaways],
        }


@dataclass(frozen=True)
class Findings:
    """Of the draws of one training: how many, of what, and what the probe made of them."""

    draws: int
    bonafide: int
    recordings: int
    sources: int
    pairs: int
    copies: int
    pairs_within: int
    left_out: int
    seen: Mapping[str, Seen]

    def to_dict(self) -> dict[str, Any]:
        """For JSON: rates are fractions."""
        counts = {name: value for name, value in vars(self).items() if name != "seen"}
        return counts | {name: seen.to_dict() for name, seen in self.seen.items()}


def findings(
    drawn: Drawn,
    *,
    within: str = "source",
    rounds: int = ROUNDS,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> Findings:
    """Ask the probe about draws; ``within``: the recipe's ``sampling.within``. ``progress`` is told the cues done, of
    `steps`.

    Raises `DataError` ``no_class`` where what could be read is of one class.
    """
    trials = drawn.trials.take(drawn.rows)
    assert trials.bonafide is not None
    if not trials.bonafide.any() or trials.bonafide.all():
        raise DataError("no_class", f"{trials.source}: of {len(trials):,} draws none is of the other class: draw more")
    source = sources_of(trials, within)
    recording = _recordings_of(trials.columns.get("pair"), drawn.rows)
    one_source = np.asarray(source[drawn.pairs[:, 0]] == source[drawn.pairs[:, 1]])
    probe = _Probe(trials.bonafide, source, recording, drawn.pairs[one_source], rounds, seed)
    columns = [
        (cue, trials.columns[cue.name])
        for cue in COLUMN_CUES
        if cue.name in trials.columns and len(set(trials.columns[cue.name].tolist())) > 1
    ]
    done = 0

    def on() -> None:
        nonlocal done
        done += 1
        progress(done)

    seen = {}
    for name, values, more in ((AS_THEY_ARE, drawn.recordings, columns), (AS_TRAINED, drawn.windows, [])):
        seen[name] = probe.seen(values, more, trials.columns, drawn.pairs, on)
    return Findings(
        draws=len(drawn),
        bonafide=int(trials.bonafide.sum()),
        recordings=len(np.unique(drawn.rows)),
        sources=len(np.unique(source)),
        pairs=len(drawn.pairs),
        copies=int(drawn.copied.sum()),
        pairs_within=int(one_source.sum()),
        left_out=len(drawn.faults),
        seen=seen,
    )


STEPS = 2 * (len(CUES) + 2) + len(COLUMN_CUES)
"""Of `findings`, at the most."""


class _Probe:
    """Asks about cues of the same draws, with the same folds and the same rounds of the bootstrap."""

    def __init__(
        self,
        labels: Booleans,
        source: Strings,
        recording: Strings,
        pairs: Integers,
        rounds: int,
        seed: int,
    ) -> None:
        self._labels, self._recording, self._pairs = labels, recording, pairs
        self._rounds, self._seed = rounds, seed
        self._by_source = even_folds(source) if len(np.unique(source)) > 1 else None
        self._at_random = even_folds(recording, seed)
        folds = self._at_random if self._by_source is None else self._by_source
        self._pair_folds = np.unique(folds[pairs[:, 0]], return_inverse=True)[1] if len(pairs) else None

    def seen(
        self,
        values: Float64,
        columns: Sequence[tuple[Cue, Strings]],
        grouped: Mapping[str, Strings],
        pairs: Integers,
        on: Callable[[], None],
    ) -> Seen:
        """What cues (N, C) tell, and columns beside them; ``pairs``: all of them, of one source or not."""
        rank = [ranks(values[:, number]) for number in range(values.shape[1])]
        parts: list[tuple[Cue, Float64]] = [(cue, bent(one)) for cue, one in zip(CUES, rank, strict=True)]
        parts += [(cue, values_told_apart(column)) for cue, column in columns]
        medians = [self._medians(values[:, number]) for number in range(len(CUES))] + [(None, None)] * len(columns)
        told = []
        for (cue, features), of in zip(parts, medians, strict=True):
            told.append(self._told(cue, features, (RIDGE,), of)[0])
            on()
        together = np.column_stack([*(features for _, features in parts), products(rank)])
        joint, scores = self._told(Cue(JOINT, "", "", "all of them"), together, JOINT_RIDGES, (None, None))
        on()
        giveaways = self._giveaways(scores, values, grouped, pairs)
        on()
        return Seen(tuple(told), joint, giveaways)

    def _told(
        self, cue: Cue, features: Float64, ridges: Sequence[float], medians: tuple[float | None, float | None]
    ) -> tuple[Told, Float64]:
        """And the scores (N,) by folds of sources, where there are any."""
        at_random = cross_validated(features, self._labels, self._at_random, ridges)
        scores, by_source, within = at_random, None, None
        if self._by_source is not None:
            scores = cross_validated(features, self._labels, self._by_source, ridges)
            by_source = self._eer(scores)
        if self._pair_folds is not None:
            differences = features[self._pairs[:, 0]] - features[self._pairs[:, 1]]
            picked = cross_validated_pairs(differences, self._pair_folds, ridges)
            within = self._accuracy(picked, self._recording[self._pairs[:, 0]])
        return Told(cue, by_source, self._eer(at_random), within, medians), scores

    def _eer(self, scores: Float64, rows: Integers | None = None) -> Rate:
        """EER of the draws at ``rows`` (all of them), whose interval draws recordings."""
        rows = np.arange(len(scores)) if rows is None else rows
        labels, recording = self._labels[rows], self._recording[rows]
        placed, resampler = Placed(scores[rows], labels), Resampler(labels, recording, seed=self._seed)
        drawn = [eer.of(placed.resampled(resampler.weights(number))) for number in range(self._rounds)]
        return Rate(eer.of(placed.tally), _interval(np.array(drawn)))

    def _accuracy(self, picked: Float64, recording: Strings) -> Rate:
        """Share of the pairs (P,) scored above 0, those at 0 counting one half."""
        right = (picked > 0) + 0.5 * (picked == 0)
        number = np.unique(recording, return_inverse=True)[1]
        of, count = np.bincount(number, right), np.bincount(number)
        random = np.random.default_rng(self._seed)
        times = random.multinomial(len(of), np.full(len(of), 1 / len(of)), self._rounds)
        return Rate(float(right.mean()), _interval((times @ of) / (times @ count)))

    def _medians(self, values: Float64) -> tuple[float | None, float | None]:
        bonafide, spoofs = (values[mine & ~np.isnan(values)] for mine in (self._labels, ~self._labels))
        return (
            float(np.median(bonafide)) if len(bonafide) else None,
            float(np.median(spoofs)) if len(spoofs) else None,
        )

    def _giveaways(
        self, scores: Float64, values: Float64, columns: Mapping[str, Strings], pairs: Integers
    ) -> tuple[Giveaway, ...]:
        """What the spoofs of each value of each column are told by, the surest first."""
        found = []
        for name in GROUPED_BY:
            if name not in columns:
                continue
            column = columns[name]
            for value in np.unique(column[~self._labels]).tolist():
                rows = self._beside(np.asarray(column == value), pairs)
                bonafide = int(self._labels[rows].sum())
                spoofs = len(rows) - bonafide
                if value and min(bonafide, spoofs) >= FEWEST_TRIALS:
                    cue, higher = self._parting(values[rows], self._labels[rows])
                    found.append(Giveaway(name, value, bonafide, spoofs, self._eer(scores, rows), cue, higher))
        return tuple(sorted(found, key=lambda giveaway: giveaway.eer.interval[1]))

    def _beside(self, mine: Booleans, pairs: Integers) -> Integers:
        """The draws to compare spoofs of one value with: their partners; without pairs the bona fide trials of the value,
        or all where it has too few."""
        if len(pairs):
            return np.sort(pairs[mine[pairs[:, 1]]].reshape(-1))
        of_value = mine & self._labels
        bonafide = of_value if of_value.sum() >= FEWEST_TRIALS else self._labels
        return np.flatnonzero(bonafide | (mine & ~self._labels))

    def _parting(self, values: Float64, labels: Booleans) -> tuple[str, bool]:
        """The cue that parts the classes most by its value alone, and whether it is higher in spoofs."""
        areas = []
        for number in range(values.shape[1]):
            known = ~np.isnan(values[:, number])
            bonafide, spoofs = (values[known & mine, number] for mine in (labels, ~labels))
            areas.append(auc(bonafide, spoofs) if len(bonafide) and len(spoofs) else 0.5)
        most = int(np.argmax(np.abs(np.array(areas) - 0.5)))
        return CUES[most].name, areas[most] < 0.5


def _recordings_of(pair: Strings | None, rows: Integers) -> Strings:
    """What each draw (N,) goes back to: one name for a recording and its copies."""
    own = strings(f"#{row}" for row in rows.tolist())
    return own if pair is None else np.where(np.asarray(pair == ""), own, pair)


def _interval(values: Float64) -> Interval:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _dict(rate: Rate | None) -> dict[str, Any] | None:
    return None if rate is None else rate.to_dict()
