"""Selection: which trials a run trains on and which it chooses by, and a fingerprint of both; never those to evaluate on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aasist.errors import AasistError
from aasist.protocol.corpora import ALL, CORPORA, read_corpus
from aasist.protocol.subsets import DEV, EVALUATION, OWN_NAMES, TRAIN
from aasist.training.recipe import Data
from aasist.training.recordings import Integers, gathered, require_both_classes, require_present
from aasist.trial import Trials

SAMPLED_BY = ("corpus", "source", "speaker", "attack", "pair")
"""Columns that plans of epochs go by, besides the one that ``sampling.within`` names."""


@dataclass(frozen=True, eq=False)
class Selected:
    """The trials of both roles as one table, rows (N,) of each, and what all of them are, as 64 hexadecimal digits."""

    trials: Trials
    train: Integers
    dev: Integers
    fingerprints: dict[str, str]

    def of(self, role: str) -> Trials:
        """The trials to train on, or those to choose by."""
        return self.trials.take(self.train if role == TRAIN else self.dev)


def select(data: Data, *, within: str = "source") -> Selected:
    """The trials that a recipe's ``data`` names, all recordings there; ``within`` is its ``sampling.within``.

    Raises `AasistError`: nothing named, a subset that is for evaluation, a corpus without a subset for the role, a class
    without trials, recordings that are missing, one that stands in both roles.
    """
    if not data.train:
        raise AasistError("usage", "which trials? Name a corpus and its root, or a manifest (data.train)")
    apart = bool(data.dev)
    parts = [(TRAIN, *_read(given, TRAIN, data.train_subset, alone=apart)) for given in data.train]
    parts += [(DEV, *_read(given, DEV, data.dev_subset, alone=apart)) for given in data.dev or data.train]
    trials = gathered((name, part, root) for _, name, part, root in parts)
    roles = np.concatenate([np.full(len(part), role == TRAIN) for role, _, part, _ in parts])
    train, dev = np.flatnonzero(roles).astype(np.int64), np.flatnonzero(~roles).astype(np.int64)
    for rows in (train, dev):
        require_both_classes(trials.take(rows))
    sizes = require_present(trials)
    fingerprints = {}
    for role in (TRAIN, DEV):
        digest, first = hashlib.sha256(), 0
        for own, name, part, _ in parts:
            if own == role:
                for line in _lines(name, part, sizes[first : first + len(part)], (*SAMPLED_BY, within)):
                    digest.update(line.encode(errors="surrogateescape"))
            first += len(part)
        fingerprints[role] = digest.hexdigest()
    return Selected(trials, train, dev, fingerprints)


def training_trials(data: Data) -> Trials:
    """The trials that a training by a recipe's ``data`` is made of, as `select` has them, whatever there is for dev: a
    corpus without subsets is taken whole. Raises `AasistError` as `select` does."""
    if not data.train:
        raise AasistError("usage", "which trials? Name a corpus and its root, or a manifest (data.train)")
    trials = gathered(_read(given, TRAIN, data.train_subset, alone=True) for given in data.train)
    require_both_classes(trials)
    require_present(trials)
    return trials


def split_spec(given: str) -> tuple[str, Path]:
    """``[CORPUS:]PATH`` -> the corpus's name (``manifest`` without one) and its root."""
    name, colon, path = given.partition(":")
    return (name, Path(path)) if colon and name in CORPORA else ("manifest", Path(given))


def _read(given: str, role: str, wanted: str | None, *, alone: bool) -> tuple[str, Trials, Path]:
    """Name, trials and root of one corpus; ``alone``: it serves this role alone, and may do so whole."""
    name, root = split_spec(given)
    subsets = CORPORA[name].subsets
    if name == "manifest":
        whole = read_corpus(name, root, ALL)
        column = whole.columns.get("subset")
        subsets = () if column is None else tuple(filter(None, dict.fromkeys(column.tolist())))
    subset = _subset(given, subsets, role, wanted, alone=alone)
    tests = CORPORA[name].tests
    _require_not_for_evaluation(given, subset, tests)
    trials = read_corpus(name, root, subset)
    column = trials.columns.get("subset")
    for value in () if column is None else np.unique(column).tolist():
        _require_not_for_evaluation(given, value, tests)
    return name, trials, root


def _subset(given: str, subsets: tuple[str, ...], role: str, wanted: str | None, *, alone: bool) -> str:
    if wanted is not None:
        return wanted
    own = next((name for name in OWN_NAMES[role] if name in subsets), None)
    if own is not None:
        return own
    if alone and set(subsets) <= {ALL}:
        return ALL
    taken = (*CORPORA[split_spec(given)[0]].tests, *OWN_NAMES[DEV if role == TRAIN else TRAIN])
    offered = [name for name in subsets if name not in taken and not EVALUATION.search(name)]
    what = "train on" if role == TRAIN else "choose the weights by"
    none = "it has none for that" if subsets else "it has no subsets"
    there = f"name one of its subsets by data.{role}_subset ({', '.join(offered)})" if offered else none
    raise AasistError(
        "usage",
        f"{given}: no subset {OWN_NAMES[role][0]!r} to {what}; {there}, or give other trials for dev (data.dev)",
    )


def _require_not_for_evaluation(given: str, subset: str, tests: tuple[str, ...]) -> None:
    if subset in tests or EVALUATION.search(subset):
        raise AasistError(
            "usage", f"{given}: the subset {subset!r} is for evaluation, and takes no part in training or in choosing the "
            "weights; name another (data.train_subset, data.dev_subset)",
        )  # fmt: skip


def _lines(name: str, trials: Trials, sizes: Integers, sampled_by: tuple[str, ...]) -> Iterator[str]:
    """What a fingerprint is of: corpus, id, label, path below the root and size of each trial, in order, and the columns
    that decide when it comes; one that the trials lack counts as empty."""
    assert trials.bonafide is not None
    columns = (trials.ids.tolist(), trials.bonafide.tolist(), trials.columns["path"].tolist(), sizes.tolist())
    more = [
        trials.columns[column].tolist() if column in trials.columns else [""] * len(trials) for column in sampled_by
    ]
    for trial, bonafide, path, size, *sampled in zip(*columns, *more, strict=True):
        yield "\t".join((name, trial, "bonafide" if bonafide else "spoof", path, str(size), *sampled)) + "\n"
