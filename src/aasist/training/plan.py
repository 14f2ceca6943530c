"""The order of one epoch: which trial comes when, and which draws it gets, from the seed and the epoch alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aasist.keys import RecipeError, key
from aasist.training.draws import Purpose, generator
from aasist.training.pairs import SOURCE, Pairs
from aasist.training.recordings import DataError, Integers, require_both_classes
from aasist.trial import NO_ATTACK, Strings, Trials, strings


@dataclass(frozen=True)
class Sampling:
    """Which trials an epoch is made of (a section of a recipe)."""

    mode: str = key(
        "shuffle",
        "what an epoch is; shuffle: each trial once; balanced: equal shares for every group; pairs: a bona fide trial "
        "and a spoof side by side",
        choices=("shuffle", "balanced", "pairs"),
    )
    epoch_trials: int = key(
        0, "trials in an epoch of the modes balanced and pairs; 0: as many as there are", unit="trials", low=0
    )
    balance: tuple[str, ...] = key(
        ("class", "corpus", "attack"),
        "groups that are given equal shares, outermost first",
        choices=("class", "corpus", "attack"),
    )
    within: str = key(
        SOURCE,
        "column whose value, in whatever corpus, the members of a pair share; where trials have none, their speaker in "
        "their corpus",
    )
    copies: float = key(0.4, "share of the pairs that are a recording and its copy (one value of the column pair)",
                        low=0.0, high=1.0)  # fmt: skip
    mixed: float = key(0.2, "share of the pairs whose members come from anywhere", low=0.0, high=1.0)
    same_chain: float = key(
        0.6, "probability that the members of a pair share their draws, as a copy and its recording always do",
        low=0.0, high=1.0,
    )  # fmt: skip

    def __post_init__(self) -> None:
        if self.copies + self.mixed > 1 + 1e-9:
            raise RecipeError(
                "sampling.copies and sampling.mixed are shares of the pairs, and must be at most 1 together, got "
                f"{self.copies:g} and {self.mixed:g}"
            )


@dataclass(frozen=True, eq=False)
class Plan:
    """One epoch in order, a position each.

    ``rows`` (N,) of the trials; ``draws`` (N,): the key of the random draws of a position, its own number unless it
    shares them with the other of its pair; ``places`` (N,): the same for where the crop is taken. ``unit``: positions
    that belong together and are never parted between ranks, 2 for pairs (bona fide at the even position).
    """

    rows: Integers
    draws: Integers
    places: Integers
    unit: int = 1

    def __len__(self) -> int:
        return len(self.rows)

    def batches(self, batch_rows: int, *, whole: bool = True) -> int:
        """How many batches of ``batch_rows`` there are; a last one that is not full is left out if ``whole``."""
        return len(self) // batch_rows if whole else -(-len(self) // batch_rows)

    def at(self, rows: Integers) -> Plan:
        """The plan of a part of the trials as one of them all, in which the part's trials stand at ``rows``."""
        return Plan(rows[self.rows], self.draws, self.places, self.unit)


def in_turn(count: int) -> Plan:
    """Every one of ``count`` trials once, in the order they have: for scoring."""
    positions = np.arange(count, dtype=np.int64)
    return Plan(positions, positions, positions)


def plan(trials: Trials, sampling: Sampling, seed: int, epoch: int) -> Plan:
    """The order of ``epoch``, a function of the trials, their order, the recipe, the seed and the epoch.

    ``shuffle`` takes each trial once, as the published code does. ``balanced`` gives the classes equal shares of
    ``epoch_trials``, within each the corpora, within each the attacks (or whatever ``balance`` says), and within a
    group takes all trials equally often but for one. ``pairs``: see `Pairs`.

    Raises `DataError` ``no_class`` when a class has no trials, ``too_few`` when no pair can be made, ``no_column`` when
    pairs are to be drawn within a column that there is not.
    """
    require_both_classes(trials)
    random = generator(seed, Purpose.ORDER, epoch)
    count = sampling.epoch_trials or len(trials)
    if sampling.mode == "pairs":
        return _paired(Pairs(trials, within=sampling.within), sampling, count // 2, random)
    if sampling.mode == "balanced":
        rows = _shared_out(np.arange(len(trials)), _columns(trials, sampling.balance), count, random)
        rows = random.permutation(rows)
    else:
        rows = random.permutation(len(trials))
    positions = np.arange(len(rows), dtype=np.int64)
    return Plan(rows.astype(np.int64), positions, positions)


def _paired(pairs: Pairs, sampling: Sampling, count: int, random: np.random.Generator) -> Plan:
    if not count:
        raise DataError("too_few", f"an epoch of pairs needs 2 trials or more, got {sampling.epoch_trials or 1}")
    bonafide, spoofs, copied = pairs.draw(count, sampling.copies, sampling.mixed, random)
    together = copied | (random.random(count) < sampling.same_chain)
    first = 2 * np.arange(count, dtype=np.int64)
    return Plan(
        np.stack([bonafide, spoofs], 1).reshape(-1).astype(np.int64),
        np.stack([first, np.where(together, first, first + 1)], 1).reshape(-1),
        np.stack([first, np.where(copied, first, first + 1)], 1).reshape(-1),
        unit=2,
    )


def _columns(trials: Trials, balance: Sequence[str]) -> list[Strings]:
    """The columns to balance by, outermost first; one that the trials lack is the same for all."""
    assert trials.bonafide is not None
    nothing = strings([NO_ATTACK] * len(trials))
    label = np.where(trials.bonafide, "bonafide", "spoof").astype(nothing.dtype)
    return [label if name == "class" else trials.columns.get(name, nothing) for name in balance]


def _shared_out(rows: Integers, columns: Sequence[Strings], count: int, random: np.random.Generator) -> Integers:
    """``count`` of ``rows``, in equal parts for each value of the first column, and within it of the next."""
    if not columns:
        passes, rest = divmod(count, len(rows))
        return np.concatenate([np.tile(rows, passes), random.permutation(rows)[:rest]])
    values, group = np.unique(columns[0][rows], return_inverse=True)
    shares = np.full(len(values), count // len(values))
    shares[random.permutation(len(values))[: count % len(values)]] += 1
    parts = [_shared_out(rows[group == number], columns[1:], int(share), random) for number, share in enumerate(shares)]
    return np.concatenate(parts)
