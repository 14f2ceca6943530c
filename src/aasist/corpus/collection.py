"""A collection: trials of several manifests as one table, with the system of each spoof and what each trial belongs to."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aasist.corpus.recordings import TRAIN
from aasist.errors import ProtocolError
from aasist.protocol.corpora import ALL, read_corpus
from aasist.trial import NO_ATTACK, Booleans, Strings, Trials, strings

Integers = NDArray[np.int64]

_BAND = re.compile(r"@\d+$")
"""What `aasist.corpus.plan` puts behind a recording's id where its partner is narrower than the recording."""


@dataclass(frozen=True, eq=False)
class Collection:
    """Trials (N,) of several manifests.

    ``trials``: their table; ``path`` is absolute, ``pair`` has the manifest's name in front, ``attack`` the system's.
    ``systems`` (N,): what made each spoof: the engine of a built corpus, or else the attack; empty where that is not
    known, and for bona fide. ``recordings`` (N,): numbers of the recording that each trial is or was made of. ``groups``
    (N,): numbers of what must stay together: a source, or several that share a recording. ``sources``: the name of each
    group.
    """

    trials: Trials
    systems: Strings
    recordings: Integers
    groups: Integers
    sources: tuple[str, ...]

    @property
    def bonafide(self) -> Booleans:
        """Whether each trial (N,) is bona fide."""
        assert self.trials.bonafide is not None
        return self.trials.bonafide


def collected(manifests: Sequence[str | os.PathLike[str]]) -> Collection:
    """The trials of manifests (files, or folders that hold one): the subset to train on where there is one, else all.

    A recording is known to be another's by the column ``pair`` of a built corpus, which is the recording's id. A source
    is one whatever manifest it stands in; a trial without any belongs to that of its recording, or else to its speaker in
    its manifest, or else is a source by itself. Raises `ProtocolError`: no labels, no paths, a recording that stands twice.
    """
    parts, folders, names, named = [], [], [], Counter[str]()
    for given in manifests:
        place = Path(given)
        trials = _to_train_on(read_corpus("manifest", place, ALL))
        if trials.bonafide is None or "path" not in trials.columns:
            lacks = "labels" if trials.bonafide is None else "column 'path'"
            raise ProtocolError(f"it has no {lacks}: both are needed", path=trials.source)
        folder = Path(os.path.realpath(place.parent if place.is_file() else place))
        named[folder.name] += 1
        names.append(folder.name if named[folder.name] == 1 else f"{folder.name}-{named[folder.name]}")
        parts.append(trials)
        folders.append(folder)
    counts = [len(part) for part in parts]
    every = dict.fromkeys(name for part in parts for name in part.columns)
    columns = {
        name: np.concatenate([part.columns.get(name, strings([""] * len(part))) for part in parts]) for name in every
    }
    bonafide = np.concatenate([part.bonafide for part in parts if part.bonafide is not None])
    ids = np.concatenate([part.ids for part in parts])
    owner = np.repeat(strings(names), counts)
    unknown = strings([""] * len(ids))
    columns["path"] = strings(
        os.path.normpath(folder / path)
        for folder, part in zip(folders, parts, strict=True)
        for path in part.columns["path"].tolist()
    )
    _require_once(columns["path"], "the recording {} stands twice")
    pair = columns.get("pair", unknown)
    recordings = _recordings(ids, pair, owner)
    sources, groups = _groups(columns.get("source", unknown), columns.get("speaker", unknown), owner, ids, recordings)
    columns["corpus"] = _first(columns.get("corpus", unknown), owner)
    columns["pair"] = _prefixed(owner, pair)
    attack = columns.get("attack", unknown)
    systems = np.where(bonafide, unknown, _first(columns.get("engine", unknown), attack))
    systems = np.where(np.asarray(systems == NO_ATTACK), unknown, systems)
    both = np.asarray((systems != attack) & (attack != "") & (systems != "") & ~bonafide)
    columns["attack"] = np.where(both, _prefixed(systems, attack), np.where(bonafide, attack, systems))
    columns["attack"] = np.where(bonafide, np.array(NO_ATTACK, attack.dtype), columns["attack"])
    if len({*ids.tolist()}) < len(ids):
        ids = _prefixed(owner, ids)
    _require_once(ids, "two trials have the id {}")
    return Collection(
        Trials(ids, bonafide, columns, ", ".join(map(str, manifests))), systems, recordings, groups, sources
    )


def _to_train_on(trials: Trials) -> Trials:
    """The subset to train on where there is one; `ProtocolError` for subsets of other names alone."""
    column = trials.columns.get("subset")
    known = [] if column is None else sorted({*column.tolist()} - {""})
    own = next((name for name in TRAIN if name in known), None)
    if own is not None:
        return trials.where("subset", own)
    if known:
        raise ProtocolError(
            f"no subset to train on: expected 'train', there are {', '.join(known)}; dev and test take no part in folds",
            path=trials.source,
        )
    return trials


def _recordings(ids: Strings, pair: Strings, owner: Strings) -> Integers:
    """Numbers (N,) of the recordings: those of one ``pair`` are one, with the trial of that id in whatever manifest."""
    of = [_BAND.sub("", name) for name in pair.tolist()]
    copied = {*of} - {""}
    numbers: dict[tuple[str, str], int] = {}
    return np.array(
        [
            numbers.setdefault(("", name or id_) if name or id_ in copied else (whose, id_), len(numbers))
            for name, id_, whose in zip(of, ids.tolist(), owner.tolist(), strict=True)
        ],
        np.int64,
    )


def _groups(
    source: Strings, speaker: Strings, owner: Strings, ids: Strings, recordings: Integers
) -> tuple[tuple[str, ...], Integers]:
    """Names of the groups, sorted, and the number (N,) of each trial's."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    of_recording: dict[int, str] = {}
    for name, recording in zip(source.tolist(), recordings.tolist(), strict=True):
        if name:
            one, other = root(name), root(of_recording.setdefault(recording, name))
            parent[max(one, other)] = min(one, other)
    names = []
    for row in zip(source.tolist(), speaker.tolist(), owner.tolist(), ids.tolist(), recordings.tolist(), strict=True):
        name, voice, whose, id_, recording = row
        known = name or of_recording.get(recording)
        if known is None:
            known = of_recording[recording] = f"{whose}/{voice or id_}"
        names.append(root(known))
    found, groups = np.unique(strings(names), return_inverse=True)
    return tuple(found.tolist()), groups.astype(np.int64)


def _require_once(texts: Strings, what: str) -> None:
    values, counts = np.unique(texts, return_counts=True)
    if len(values) < len(texts):
        raise ProtocolError(what.format(repr(str(values[counts > 1][0]))), path="the manifests given")


def _prefixed(names: Strings, texts: Strings) -> Strings:
    """``name/text`` (N,); an empty text stays one."""
    return np.where(np.asarray(texts == ""), texts, np.strings.add(np.strings.add(names, "/"), texts))


def _first(texts: Strings, others: Strings) -> Strings:
    """``texts`` (N,), and where one is empty the other."""
    return np.where(np.asarray(texts == ""), others, texts)


def systems_of(systems: Iterable[str]) -> list[str]:
    """Those that are known, sorted, once each."""
    return sorted({*systems} - {""})
