"""Folds: of each, one family of systems and some of the sources are held out of training, for an error rate on both unseen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aasist.corpus.collection import Collection, Integers, systems_of
from aasist.corpus.draws import number
from aasist.corpus.families import Families, FamiliesError
from aasist.trial import Booleans, Strings

_NONE = -1
"""The fold of a group that no fold holds out."""

_MOST_PASSES = 50


@dataclass(frozen=True, eq=False)
class Fold:
    """A fold: rows of the trials to train on and of those held out, and how many are in neither, by reason.

    ``left_out``: ``family`` (spoofs of the family, of sources that are trained on), ``source`` (other spoofs of sources
    held out), ``speaker`` (of speakers held out), ``bonafide`` (of sources held out: more than there are spoofs, or twice
    the same).
    """

    families: tuple[str, ...]
    train: Integers
    held_out: Integers
    left_out: dict[str, int]

    @property
    def name(self) -> str:
        """Its families."""
        return ", ".join(self.families)


@dataclass(frozen=True)
class Count:
    """What trials come to."""

    bonafide: int
    spoofs: int
    systems: tuple[str, ...]
    sources: int
    compared: tuple[int, int]
    """Bona fide trials and spoofs of sources with both."""


def folded(
    collection: Collection, families: Families, *, count: int | None = None, seed: int = 1234
) -> tuple[list[Fold], Integers]:
    """The folds, one a family in the order of the table (or ``count``: families share them), and the fold (G,) that each
    group of sources is held out in, -1 where none.

    Nothing of a source, a recording or a speaker (one by name, whatever manifest) is on both sides of a fold. A source is
    held out in one fold at the most, where its bona fide recordings and the family's spoofs can best be compared; there,
    bona fide are the partners of the spoofs, then other recordings until they are as many as the spoofs of the source.
    The same for the same trials, table and seed, whatever the order. Raises `FamiliesError` for systems that the table
    lacks, and for a fold that lacks a class.
    """
    families.require(systems_of(collection.systems.tolist()))
    dealt = _dealt(collection, families, len(families.names) if count is None else count)
    of_fold = {name: place for place, names in enumerate(dealt) for name in names}
    judged, kept_out = _folds_of(collection, families, of_fold, len(dealt))
    where = _assigned(collection, judged, len(dealt), seed)
    speakers = _numbers(collection.trials.columns.get("speaker"), len(collection.groups))
    order = _drawn(collection, seed)
    folds = []
    for place, names in enumerate(dealt):
        fold = _fold(
            collection, names, where[collection.groups] == place, judged == place, kept_out[place], speakers, order
        )
        _require_classes(collection, fold)
        folds.append(fold)
    return folds, where


def counted(collection: Collection, rows: Integers) -> Count:
    """What the trials at ``rows`` come to."""
    labels, groups = collection.bonafide[rows], collection.groups[rows]
    both = np.isin(groups, np.intersect1d(groups[labels], groups[~labels]))
    return Count(
        int(labels.sum()),
        int((~labels).sum()),
        tuple(systems_of(collection.systems[rows].tolist())),
        len(np.unique(groups)),
        (int((labels & both).sum()), int((~labels & both).sum())),
    )


def _dealt(collection: Collection, families: Families, count: int) -> list[tuple[str, ...]]:
    """The families of each fold; where they share folds, the largest first to the smallest fold."""
    names = families.names
    if not 2 <= count <= len(names):
        raise FamiliesError(f"the number of folds must be from 2 to {len(names)}, that of the families; got {count}")
    if count == len(names):
        return [(name,) for name in names]
    held = dict.fromkeys(names, 0)
    for system in collection.systems.tolist():
        for name in families.of.get(system, ())[:1]:
            held[name] += 1
    folds: list[list[str]] = [[] for _ in range(count)]
    for name in sorted(names, key=lambda name: -held[name]):
        min(folds, key=lambda fold: sum(held[one] for one in fold)).append(name)
    return [tuple(sorted(fold, key=names.index)) for fold in folds]


def _folds_of(
    collection: Collection, families: Families, of_fold: dict[str, int], count: int
) -> tuple[Integers, Booleans]:
    """The fold (N,) that each spoof is judged in, `_NONE` for others, and whether each fold trains without it (K, N)."""
    systems, place = np.unique(collection.systems, return_inverse=True)
    judged, out = np.full(len(systems), _NONE), np.zeros((count, len(systems)), bool)
    for row, system in enumerate(systems.tolist()):
        for first, family in enumerate(families.of.get(system, ())):
            out[of_fold[family], row] = True
            if not first:
                judged[row] = of_fold[family]
    return judged[place], out[:, place]


def _assigned(collection: Collection, judged: Integers, folds: int, seed: int) -> Integers:
    """The fold (G,) that holds out each group.

    Of a fold that holds a group out, the group's worth is the square root of how many recordings can be compared with as
    many spoofs, and half that of its spoofs; a fold's worth is the square root of the sum, for what has little gains most,
    less the square of the share of all recordings that its training loses, on the scale of a fold that holds out all. From
    where each group is worth most, groups move as long as the folds together gain. Groups without spoofs go where bona fide
    recordings are fewer than spoofs.
    """
    groups = len(collection.sources)
    spoofs = np.zeros((groups, folds))
    np.add.at(spoofs, (collection.groups[judged != _NONE], judged[judged != _NONE]), 1)
    real = np.unique(np.stack([collection.groups, collection.recordings])[:, collection.bonafide], axis=1)[0]
    recordings = np.bincount(real, minlength=groups)
    compared = np.minimum(recordings[:, None], spoofs)
    worth = np.sqrt(compared) + 0.5 * np.sqrt(spoofs)
    share = recordings / max(1, recordings.sum())
    cost = np.sqrt(worth.max(1).sum())
    turn = sorted(range(groups), key=lambda group: number(seed, "fold", collection.sources[group]))
    where = np.where(worth.any(1), worth.argmax(1), _NONE).astype(np.int64)
    total, lost = (np.array([of[where == k].sum() for k in range(folds)]) for of in (worth.max(1), share))
    for _ in range(_MOST_PASSES):
        moved = False
        for group in turn:
            now = where[group]
            if now == _NONE:
                continue
            total[now] -= worth[group, now]
            lost[now] -= share[group]
            gains = np.sqrt(total.clip(0) + worth[group]) - np.sqrt(total.clip(0))
            gains -= cost * share[group] * (2 * lost + share[group])
            gains[worth[group] == 0] = -np.inf
            best = int(gains.argmax())
            if gains[best] > gains[now] + 1e-9:
                moved, where[group] = True, best
            total[where[group]] += worth[group, where[group]]
            lost[where[group]] += share[group]
        if not moved:
            break
    held = [np.flatnonzero(where == place) for place in range(folds)]
    lacking = np.array([(spoofs[of, k] - compared[of, k]).sum() for k, of in enumerate(held)])
    for group in sorted(turn, key=lambda group: -recordings[group]):
        most = int(lacking.argmax())
        if where[group] == _NONE and recordings[group] and lacking[most] > 0:
            where[group] = most
            lacking[most] -= recordings[group]
    return where


def _fold(
    collection: Collection,
    names: tuple[str, ...],
    here: Booleans,
    judged: Booleans,
    kept_out: Booleans,
    speakers: Integers,
    order: Integers,
) -> Fold:
    """One fold: ``here`` (N,) are the trials of its sources, ``judged`` (N,) the spoofs of its families, ``kept_out`` (N,)
    those that it trains without."""
    spoofs = here & judged
    real = _beside(collection, here & collection.bonafide, spoofs, order)
    held_out = spoofs | real
    voices = np.unique(speakers[held_out])
    strangers = ~np.isin(speakers, voices[voices >= 0])
    allowed = ~here & ~kept_out
    reasons = {
        "family": ~here & kept_out,
        "source": here & ~collection.bonafide & ~judged,
        "speaker": allowed & ~strangers,
        "bonafide": here & collection.bonafide & ~real,
    }
    return Fold(
        names,
        np.flatnonzero(allowed & strangers).astype(np.int64),
        np.flatnonzero(held_out).astype(np.int64),
        {reason: int(rows.sum()) for reason, rows in reasons.items()},
    )


def _beside(collection: Collection, real: Booleans, spoofs: Booleans, order: Integers) -> Booleans:
    """Which of the bona fide trials ``real`` (N,) stand beside the ``spoofs`` (N,).

    A copy's partner first; then recordings that no partner stands for, in the ``order`` given, until a source has as many
    as it has spoofs. Where sources have none, theirs fill up what the fold lacks.
    """
    pair = _numbers(collection.trials.columns.get("pair"), len(real))
    chosen: Booleans = real & (pair >= 0) & np.isin(pair, pair[spoofs])
    wanted = np.bincount(collection.groups[spoofs], minlength=len(collection.sources))
    have = np.bincount(collection.groups[chosen], minlength=len(collection.sources))
    known = {*collection.recordings[chosen].tolist()}
    rows = sorted(np.flatnonzero(real & ~chosen).tolist(), key=lambda row: (pair[row] >= 0, order[row]))
    for row in rows:
        group, recording = collection.groups[row], int(collection.recordings[row])
        if have[group] < wanted[group] and recording not in known:
            known.add(recording)
            chosen[row] = True
            have[group] += 1
    lacking = int(spoofs.sum() - chosen.sum())
    for row in rows:
        recording = int(collection.recordings[row])
        if lacking > 0 and not wanted[collection.groups[row]] and recording not in known:
            known.add(recording)
            chosen[row] = True
            lacking -= 1
    return chosen


def _drawn(collection: Collection, seed: int) -> Integers:
    """A place (N,) in a random order for each trial, of its id alone."""
    draws = np.array([number(seed, "trial", id_) for id_ in collection.trials.ids.tolist()], np.uint64)
    return draws.argsort(kind="stable").argsort().astype(np.int64)


def _numbers(texts: Strings | None, count: int) -> NDArray[np.int64]:
    """A number (N,) for each text, -1 for an empty one."""
    if texts is None:
        return np.full(count, -1)
    values, place = np.unique(texts, return_inverse=True)
    return np.where(np.asarray(values == "")[place], -1, place).astype(np.int64)


def _require_classes(collection: Collection, fold: Fold) -> None:
    for what, rows in (("to train on", fold.train), ("to hold out", fold.held_out)):
        labels = collection.bonafide[rows]
        for kind, found in (("bona fide trial", labels.any()), ("spoof", (~labels).any())):
            if not found:
                raise FamiliesError(
                    f"the fold of {fold.name} has no {kind} {what}: give more sources (spoofs of each family beside bona "
                    "fide recordings of the same source), or fewer families (--folds)"
                )


def unknown_of(collection: Collection, families: Families) -> Booleans:
    """The spoofs (N,) of no known family."""
    systems: Sequence[str] = collection.systems.tolist()
    return np.logical_and(~collection.bonafide, [not families.of.get(system) for system in systems])
