"""Recordings to train on: the trials of one corpus or several as one table, checked before the first is decoded."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aasist.errors import AasistError, ProtocolError
from aasist.parallel import in_order
from aasist.trial import Strings, Trials, strings

Integers = NDArray[np.int64]

MISSING = -1
"""The size of a file that is not there."""

_NAMED = 5
"""Trials that a message names; the others are counted."""

_STAT_FILES = 1_000
"""Files that a thread asks for at a time."""


class DataError(AasistError):
    """The data cannot be trained on, or no longer: codes ``no_class``, ``no_column``, ``missing_audio``, ``too_few``,
    ``faults``, ``reading``, ``coding``, ``worker_lost``."""


def gathered(corpora: Iterable[tuple[str, Trials, str | os.PathLike[str]]]) -> Trials:
    """Trials of several corpora (name, trials, root) as one table in which ``path`` is where the recording lies.

    ``corpus`` is the name given here where the trials do not say themselves; of two roots under one name the second is
    ``name-2``. Columns that some corpora lack are empty there. Ids that stand in two corpora get the names of theirs in
    front (``asvspoof5/T_01``), and so do all values of ``pair``; those of ``source`` stay: one name is one source. Raises
    `ProtocolError` for trials without labels or without paths, and for two that are one recording by whatever name.
    """
    parts: list[Trials] = []
    names: list[str] = []
    roots: dict[str, list[Path]] = {}
    for given, trials, place in corpora:
        if trials.bonafide is None:
            raise ProtocolError("training needs labels, and these trials have none", path=trials.source)
        if "path" not in trials.columns:
            raise ProtocolError("no column 'path': where the recordings lie is not known", path=trials.source)
        root = Path(place).absolute()
        name = _numbered(given, root, roots.setdefault(given, []))
        # A manifest that is named itself is its own root; its paths begin in its folder.
        folder = root.parent if root.is_file() else root
        columns = dict(trials.columns)
        columns["path"] = strings(str(folder / path) for path in columns["path"].tolist())
        own = columns.get("corpus", strings([""] * len(trials)))
        columns["corpus"] = np.where(np.asarray(own == ""), np.array(name, own.dtype), own)
        parts.append(Trials(trials.ids, trials.bonafide, columns, trials.source))
        names.append(name)
    if not parts:
        raise ValueError("no corpus was given")
    return parts[0] if len(parts) == 1 else _joined(parts, names)


def _numbered(name: str, root: Path, roots: list[Path]) -> str:
    """``name``, or with a number behind it when it stands for a second root; ``roots`` are those it has stood for."""
    if root not in roots:
        roots.append(root)
    number = roots.index(root) + 1
    return name if number == 1 else f"{name}-{number}"


def _joined(parts: Sequence[Trials], names: Sequence[str]) -> Trials:
    every = dict.fromkeys(name for part in parts for name in part.columns)
    columns = {
        name: np.concatenate([part.columns.get(name, strings([""] * len(part))) for part in parts]) for name in every
    }
    corpora = np.repeat(strings(names), [len(part) for part in parts])
    if "pair" in columns:
        columns["pair"] = _prefixed(corpora, columns["pair"])
    ids = np.concatenate([part.ids for part in parts])
    if _twice(ids) is not None:
        ids = _prefixed(corpora, ids)
    if (path := _twice(_real(columns["path"]))) is not None:
        raise ProtocolError("the recording stands in two of the corpora given", path=path)
    if (trial := _twice(ids)) is not None:
        raise ProtocolError(f"two trials have the id {trial!r}", path=parts[0].source)
    labels = [part.bonafide for part in parts if part.bonafide is not None]
    return Trials(ids, np.concatenate(labels), columns, ", ".join(dict.fromkeys(part.source for part in parts)))


def _prefixed(names: Strings, texts: Strings) -> Strings:
    """``name/text`` (N,); an empty text stays one."""
    return np.where(np.asarray(texts == ""), texts, np.strings.add(np.strings.add(names, "/"), texts))


def _real(paths: Strings) -> Strings:
    """Where recordings (N,) lie once links and ``..`` are followed; folders are looked at once each."""
    folders: dict[str, str] = {}

    def real(path: str) -> str:
        folder, name = os.path.split(path)
        if folder not in folders:
            folders[folder] = os.path.realpath(folder)
        found = f"{folders[folder]}/{name}"
        return os.path.realpath(found) if name in ("", "..") or Path(found).is_symlink() else found

    return strings(map(real, paths.tolist()))


def _twice(texts: Strings) -> str | None:
    """The first text that stands twice, if one does."""
    values, counts = np.unique(texts, return_counts=True)
    return str(values[counts > 1][0]) if len(values) < len(texts) else None


def require_both_classes(trials: Trials) -> None:
    """`DataError` ``no_class`` unless there are bona fide trials and spoofs."""
    assert trials.bonafide is not None
    bonafide = int(trials.bonafide.sum())
    spoofs = len(trials) - bonafide
    if not bonafide or not spoofs:
        raise DataError(
            "no_class",
            f"{trials.source}: training needs trials of both classes, got {bonafide:,} bona fide and {spoofs:,} spoofs; "
            "is this the right subset?",
        )


def sizes_bytes(trials: Trials, *, threads: int = 8) -> Integers:
    """Size (N,) of each recording's file in bytes, `MISSING` where there is none. Opens nothing."""
    paths = trials.columns["path"]

    def of(first: int) -> list[int]:
        return [_size(path) for path in paths[first : first + _STAT_FILES].tolist()]

    parts = list(in_order(of, range(0, len(paths), _STAT_FILES), threads=threads))
    return np.array([size for part in parts for size in part], np.int64)


def require_present(trials: Trials, sizes: Integers | None = None) -> Integers:
    """Sizes (N,) as `sizes_bytes` gives them (``sizes``, where they are known), all of them there.

    Raises `DataError` ``missing_audio``: how many are missing, and the first by name.
    """
    sizes = sizes_bytes(trials) if sizes is None else sizes
    missing = np.flatnonzero(sizes == MISSING)
    if len(missing):
        paths = trials.columns["path"]
        named = "; ".join(f"{trials.ids[row]}: {paths[row]}" for row in missing[:_NAMED])
        more = f"; and {len(missing) - _NAMED:,} more" if len(missing) > _NAMED else ""
        raise DataError(
            "missing_audio",
            f"{trials.source}: {len(missing):,} of {len(trials):,} trials have no recording ({named}{more}); "
            "is the root right, and is everything unpacked?",
        )
    return sizes


def _size(path: str) -> int:
    try:
        return Path(path).stat().st_size
    except (OSError, ValueError):
        return MISSING
