"""Scores matched with the trials they are of: by id, by path, by file name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aasist.errors import ProtocolError
from aasist.protocol.lines import shown
from aasist.protocol.manifest import without_extension
from aasist.protocol.scores import ScoreFile
from aasist.trial import Strings, Trials

Float64 = NDArray[np.float64]


def match_scores(scores: ScoreFile, trials: Trials, *, others: Trials | None = None) -> Float64:
    """Scores in the order of ``trials`` (N,).

    Ids are compared as they are, then as paths (of the recordings, below any root), then without extension, then by file
    name where that is unique and no folder contradicts it (``eval/a`` is not ``dev/a``). ``others`` are further trials
    whose scores may stand in the file (the other subsets of a challenge that asks for all of them at once). Raises `ProtocolError` for trials without a score, for scores of unknown trials, for a file that
    seems to be of another subset, and, with the line, for a label that contradicts the key of its trial.
    """
    rows = _rows_of(scores, trials)
    missing = np.flatnonzero(rows < 0)
    extra = np.setdiff1d(np.arange(len(scores)), rows)
    if others is not None and extra.size:
        of_others = _rows_of(scores, others)
        extra = np.setdiff1d(extra, of_others)
    _require_same_subset(scores, trials, missing, extra)
    if missing.size:
        raise ProtocolError(
            f"no score for {missing.size} of {len(trials)} trials of {trials.source}: "
            f"{_first_few(trials.ids[missing])}",
            path=scores.source,
        )
    if extra.size:
        raise ProtocolError(
            f"{extra.size} of {len(scores)} scores are of trials that {trials.source} does not have: "
            f"{_first_few(scores.ids[extra])}",
            path=scores.source,
            line=int(scores.lines[extra[0]]),
        )
    if scores.bonafide is not None and trials.bonafide is not None:
        wrong = np.flatnonzero(scores.bonafide[rows] != trials.bonafide)
        if wrong.size:
            first = int(wrong[np.argmin(scores.lines[rows[wrong]])])
            said, key = ("spoof", "bonafide") if trials.bonafide[first] else ("bonafide", "spoof")
            raise ProtocolError(
                f"{shown(str(trials.ids[first]))} is called {said}, but {key} in {trials.source} "
                f"({wrong.size} labels differ)",
                path=scores.source,
                line=int(scores.lines[rows[first]]),
            )
    return scores.values[rows]


def _rows_of(scores: ScoreFile, trials: Trials) -> NDArray[np.int64]:
    """For each trial the row of its score, -1 where there is none (N,)."""
    if len(scores) == len(trials) and bool(np.all(scores.ids == trials.ids)):
        return np.arange(len(trials))
    names, given = trials.ids.tolist(), scores.ids.tolist()
    paths = trials.columns["path"].tolist() if "path" in trials.columns else []
    bare = [without_extension(name) for name in given]
    best = np.full(len(trials), -1)
    for look_up, wanted, have in (
        (_looked_up, names, given),
        (_looked_up, paths, _below_root(given, paths) if paths else given),
        (_looked_up, names, bare),
        (_by_file_name, names, bare),
    ):
        rows = look_up(wanted, have) if wanted else best
        if np.count_nonzero(rows >= 0) > np.count_nonzero(best >= 0):
            best = rows
        if (best >= 0).all():
            break
    return best


def _looked_up(wanted: Sequence[str], given: Sequence[str]) -> NDArray[np.int64]:
    """For each of ``wanted`` its place in ``given``, or -1; all -1 where names are not unique."""
    places = {name: place for place, name in enumerate(given)}
    if len(places) < len(given) or len({*wanted}) < len(wanted):
        return np.full(len(wanted), -1)
    return np.array([places.get(name, -1) for name in wanted], dtype=np.int64)


def _by_file_name(wanted: Sequence[str], given: Sequence[str]) -> NDArray[np.int64]:
    """`_looked_up` by file name, where one of both paths is the end of the other."""
    rows = _looked_up(list(map(_file_name, wanted)), list(map(_file_name, given)))
    for number in np.flatnonzero(rows >= 0).tolist():
        one, other = f"/{wanted[number]}", f"/{given[rows[number]]}"
        if not (one.endswith(other) or other.endswith(one)):
            rows[number] = -1
    return rows


def _below_root(given: list[str], paths: list[str]) -> list[str]:
    """Paths as given, without the folder that ``paths`` are relative to, where one of them shows it."""
    whole = next((path for path in given if path.endswith(f"/{paths[0]}")), None)
    return given if whole is None else [path.removeprefix(whole.removesuffix(paths[0])) for path in given]


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


def _require_same_subset(
    scores: ScoreFile, trials: Trials, missing: NDArray[np.int64], extra: NDArray[np.int64]
) -> None:
    """`ProtocolError` when most ids on both sides have no counterpart."""
    if 2 * missing.size > len(trials) and 2 * extra.size > len(scores):
        found = len(trials) - missing.size
        raise ProtocolError(
            f"{found} of {len(trials)} trials of {trials.source} have a score: the file seems to be of another subset "
            f"or corpus; it scores {_first_few(scores.ids[extra])}, the trials are {_first_few(trials.ids[missing])}",
            path=scores.source,
        )


def _first_few(ids: Strings) -> str:
    few = ", ".join(map(str, ids[:3].tolist()))
    return f"{few}, ..." if len(ids) > 3 else few
