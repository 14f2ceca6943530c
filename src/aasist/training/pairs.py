"""Pairs of a bona fide trial and a spoof that share a source, so that what the source sounds like tells nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aasist.training.recordings import DataError, Integers
from aasist.trial import NO_ATTACK, Booleans, Strings, Trials, strings

COPY, MIXED, SHARED = 0, 1, 2
"""Kinds of pairs."""

SOURCE = "source"
"""The usual column of sources; where no corpus has it, speakers stand in for all."""


class Pairs:
    """Trials by what a pair may be drawn from.

    Three kinds: a recording and its *copy* (one value in the column ``pair``: they say the same in one voice over one
    channel); *shared*, two trials of one source (the value of the column ``within``, or the speaker where that is not
    known, or the corpus); and *mixed*, two trials of any sources. Sources are drawn by the square root of the spoofs (of
    mixed pairs: the trials of the class) that they hold, within one the speakers of bona fide trials and the attacks of
    spoofs evenly. A trial that has a copy is drawn with it alone.

    A source is one whatever corpora it stands in: manifests of one campaign share them. A speaker is one within his
    corpus: corpora count theirs from 1.
    """

    def __init__(self, trials: Trials, *, within: str = SOURCE) -> None:
        """Raises `DataError` ``no_column`` where no corpus has the column ``within``, unless that is the usual one."""
        assert trials.bonafide is not None
        if within != SOURCE and within not in trials.columns:
            raise DataError(
                "no_column",
                f"{trials.source}: no column {within!r} for pairs to be drawn within (sampling.within); there are: "
                f"{', '.join(sorted(trials.columns))}",
            )
        labels, unknown = trials.bonafide, strings([""] * len(trials))
        pair, attack = (trials.columns.get(name, unknown) for name in ("pair", "attack"))
        own = _speakers(trials)
        has_copy = _both_classes(pair, labels) & np.asarray(pair != "")
        self._copies = _Sources(pair, unknown, labels, np.flatnonzero(has_copy))
        self._sources = _Sources(
            sources_of(trials, within), np.where(labels, own, attack), labels, np.flatnonzero(~has_copy)
        )
        self._name = trials.source

    def draw(
        self, count: int, copies: float, mixed: float, random: np.random.Generator
    ) -> tuple[Integers, Integers, Booleans]:
        """Rows (P,) of bona fide trials, rows (P,) of spoofs, and whether the two are copies (P,).

        ``copies`` and ``mixed`` are shares of the pairs, the others are of one source. A kind that the trials do not
        allow leaves its share to the others. Raises `DataError` ``too_few`` when no kind is allowed.
        """
        held = self._sources.held
        shared = np.where(held.all(0), np.sqrt(held[0]), 0.0)
        allowed = np.array([self._copies.held.any(), held.any(1).all(), shared.any()])
        if not allowed.any():
            raise DataError("too_few", f"{self._name}: no bona fide trial and spoof that a pair could be made of")
        shares = np.array([copies, mixed, max(0.0, 1.0 - copies - mixed)]) * allowed
        if not shares.any():
            shares = allowed.astype(float)
        kinds = random.choice(3, count, p=shares / shares.sum())
        rows = np.zeros((2, count), np.int64)
        for kind in np.unique(kinds):
            at = np.flatnonzero(kinds == kind)
            of = self._copies if kind == COPY else self._sources
            weights = shared if kind == SHARED else np.ones(of.held.shape[1])
            one = _drawn(weights, len(at), random)
            for label in (0, 1):
                sources = _drawn(np.sqrt(held[label]), len(at), random) if kind == MIXED else one
                rows[label, at] = of.draw(label, sources, random)
        return rows[1], rows[0], kinds == COPY


class _Sources:
    """Rows of trials by class, source and group (a speaker, an attack), as runs in sorted arrays.

    ``held`` (2, S): how many trials of spoof (0) and bona fide (1) each source holds.
    """

    def __init__(self, source: Strings, group: Strings, labels: Booleans, rows: Integers) -> None:
        names, sources = np.unique(source[rows], return_inverse=True)
        groups = np.unique(group[rows], return_inverse=True)[1]
        self.held = np.stack([np.bincount(sources[labels[rows] == label], minlength=len(names)) for label in (0, 1)])
        self._members: list[Integers] = []
        self._starts: list[NDArray[np.intp]] = []
        self._first: list[NDArray[np.intp]] = []
        for label in (0, 1):
            mine = np.flatnonzero(labels[rows] == label)
            order = mine[np.lexsort((groups[mine], sources[mine]))]
            of, within = sources[order], groups[order]
            new = np.flatnonzero(np.diff(of, prepend=-1) | np.diff(within, prepend=-1))
            self._members.append(rows[order])
            self._starts.append(np.append(new, len(order)))
            self._first.append(np.searchsorted(of[new], np.arange(len(names) + 1)))

    def draw(self, label: int, sources: Integers, random: np.random.Generator) -> Integers:
        """A row for each of ``sources`` (P,), each of which holds trials of the class: a group evenly, and one of it."""
        first, starts = self._first[label], self._starts[label]
        group = random.integers(first[sources], first[sources + 1])
        return self._members[label][random.integers(starts[group], starts[group + 1])]


def sources_of(trials: Trials, within: str = SOURCE) -> Strings:
    """The source (N,) of each trial: its value of the column ``within``, and where that is not known, its speaker in its
    corpus, or the corpus."""
    unknown = strings([""] * len(trials))
    return _first_known(unknown if within == "speaker" else trials.columns.get(within, unknown), _speakers(trials))


def _speakers(trials: Trials) -> Strings:
    """``corpus/speaker`` (N,); of an unknown speaker ``corpus/``."""
    unknown = strings([""] * len(trials))
    corpus, speaker = (trials.columns.get(name, unknown) for name in ("corpus", "speaker"))
    return np.strings.add(np.strings.add(corpus, "/"), _first_known(speaker, unknown))


def _drawn(weights: NDArray[np.float64], count: int, random: np.random.Generator) -> Integers:
    return random.choice(len(weights), count, p=weights / weights.sum()).astype(np.int64)


def _both_classes(column: Strings, labels: Booleans) -> Booleans:
    """Whether the value of each row (N,) stands at trials of both classes."""
    values, number = np.unique(column, return_inverse=True)
    counts = np.stack([np.bincount(number[labels == label], minlength=len(values)) for label in (False, True)])
    return np.asarray(np.asarray(counts.all(0))[number])


def _first_known(*columns: Strings) -> Strings:
    """The first of the columns (N,) that says something, row by row."""
    known = columns[-1]
    for column in reversed(columns[:-1]):
        known = np.where(np.asarray((column == "") | (column == NO_ATTACK)), known, column)
    return known
