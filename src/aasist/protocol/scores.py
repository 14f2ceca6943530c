"""Score files of countermeasures: read, matched with the trials they are of, and written as challenges want them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aasist.errors import ProtocolError
from aasist.protocol.asv import AsvScores, read_asv_scores
from aasist.protocol.draft import replacing_text
from aasist.protocol.lines import StrPath, first_line, read_blocks, shown
from aasist.protocol.manifest import without_extension
from aasist.protocol.table import Table, read_columns, read_header_columns
from aasist.trial import NO_ATTACK, Booleans, Strings, Trials, strings

__all__ = ["SCORE_LAYOUTS", "AsvScores", "ScoreFile", "match_scores", "read_asv_scores", "read_scores", "write_scores"]

Float64 = NDArray[np.float64]

ID_NAMES = ("filename", "id", "utterance", "trial", "file", "path")
SCORE_NAMES = ("cm-score", "cm_score", "llr", "score")
LABEL_NAMES = ("label", "key", "cm-label", "cm_label")
ATTACK_NAMES = ("attack", "system")
"""Names of columns in a header, the first that is there counts."""

_WIDTHS = {2: ("id", "score"), 4: ("id", "attack", "label", "score")}


@dataclass(frozen=True, eq=False)
class ScoreFile:
    """Scores as a file gives them, a row each: higher = more bona fide.

    ``ids`` (N,) are unique, as written in the file (a path where the file holds paths); ``values`` (N,) are finite;
    ``bonafide`` (N,) and ``attack`` (N,) where the file has them; ``lines`` (N,) are the numbers of the lines.
    """

    ids: Strings
    values: Float64
    lines: NDArray[np.int64]
    source: str
    bonafide: Booleans | None = None
    attack: Strings | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def trials(self) -> Trials:
        """The trials as far as the file knows them."""
        return Trials(self.ids, self.bonafide, {} if self.attack is None else {"attack": self.attack}, self.source)


def read_scores(path: StrPath) -> ScoreFile:
    """A score file, plain or gzipped; its form is taken from the first line.

    - ``utterance score``: ASVspoof 2015, 2017 and 2021.
    - ``utterance attack key score``: ASVspoof 2019.
    - A header with columns separated by tabs or commas: ``filename cm-score`` of the ASVspoof 5 evaluation package, or
      one of `ID_NAMES` and one of `SCORE_NAMES`, with or without a label and an attack.
    - JSON lines of ``aasist detect --json``: ``path`` and ``llr``.

    Raises `ProtocolError` with the line for a score that is no finite number, an id that stands twice, a label of
    another spelling and a wrong number of columns.
    """
    number, line = first_line(path)
    if line.lstrip().startswith("{"):
        table = _read_json_lines(path)
    elif (separator := _header_separator(line)) is not None:
        table = _chosen(read_header_columns(path, separator, quoted=separator == ","), path, number)
    else:
        table = read_columns(path, _WIDTHS, what="scores")
    table.require_filled("id")
    table.require_unique(table.columns["id"])
    bonafide = table.labels("label", "bonafide", "spoof") if "label" in table.columns else None
    attack = table.attacks("attack", bonafide, ("", NO_ATTACK, "bonafide")) if "attack" in table.columns else None
    return ScoreFile(table.columns["id"], table.numbers("score"), table.lines, os.fspath(path), bonafide, attack)


def match_scores(scores: ScoreFile, trials: Trials, *, others: Trials | None = None) -> Float64:
    """Scores in the order of ``trials`` (N,).

    Ids are compared as they are, then as paths (of the recordings, below any root), then without extension, then by file name alone where that is unique.
    ``others`` are further trials whose scores may stand in the file (the other subsets of a challenge that asks for all
    of them at once). Raises `ProtocolError` for trials without a score, for scores of unknown trials, for a file that
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


def write_scores(path: StrPath, trials: Trials, values: ArrayLike, layout: str) -> None:
    """Write ``values`` (N,), higher = more bona fide, as a challenge wants them.

    ``layout``: ``asvspoof2015``, ``asvspoof2017``, ``asvspoof2021`` (``utterance score``), ``asvspoof2019``
    (``utterance attack key score``), ``asvspoof5`` (the evaluation package's TSV), or ``tsv`` (ours: id, label and
    attack where they are known, and score). Numbers are written so that they are read back to the bit. Raises
    `ProtocolError` for a value that is not finite, an id with a space in it, and a missing key where one is needed.
    """
    if layout not in SCORE_LAYOUTS:
        raise ProtocolError(
            f"no score layout {layout!r}; there are {', '.join(SCORE_LAYOUTS)}", path=path, code="usage"
        )
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != trials.ids.shape:
        raise ValueError(f"{len(trials)} trials, but scores of shape {numbers.shape}")
    bad = np.flatnonzero(~np.isfinite(numbers))
    if bad.size:
        raise ProtocolError(
            f"{bad.size} scores are not finite, the first is that of {shown(str(trials.ids[bad[0]]))}", path=path
        )
    separator, header, columns = SCORE_LAYOUTS[layout](trials, path)
    for name in columns[0]:
        if not name or {separator, "\t", "\n", "\r", "\0"} & {*name}:
            raise ProtocolError(f"the id {shown(name)} cannot be written in a score file of {layout}", path=path)
    with replacing_text(path) as file:
        if header:
            file.write(separator.join(header) + "\n")
        rows = zip(*columns, map(repr, numbers.tolist()), strict=True)
        file.writelines(separator.join(row) + "\n" for row in rows)


_Columns = tuple[str, tuple[str, ...], list[list[str]]]
"""Separator, header, and the columns before the score."""


def _two_columns(trials: Trials, path: StrPath) -> _Columns:
    return " ", (), [trials.ids.tolist()]


def _wav_and_score(trials: Trials, path: StrPath) -> _Columns:
    return " ", (), [[f"{trial}.wav" for trial in trials.ids.tolist()]]


def _four_columns(trials: Trials, path: StrPath) -> _Columns:
    if trials.bonafide is None:
        raise ProtocolError("a score file of ASVspoof 2019 needs the key of each trial", path=path)
    return " ", (), [trials.ids.tolist(), _attacks(trials), _labels(trials.bonafide)]


def _evaluation_package(trials: Trials, path: StrPath) -> _Columns:
    return "\t", ("filename", "cm-score"), [trials.ids.tolist()]


def _our_own(trials: Trials, path: StrPath) -> _Columns:
    header, columns = ["id"], [trials.ids.tolist()]
    if trials.bonafide is not None:
        header.append("label")
        columns.append(_labels(trials.bonafide))
    if "attack" in trials.columns:
        header.append("attack")
        columns.append(_attacks(trials))
    return "\t", (*header, "score"), columns


SCORE_LAYOUTS: dict[str, Callable[[Trials, StrPath], _Columns]] = {
    "asvspoof2015": _two_columns,
    "asvspoof2017": _wav_and_score,
    "asvspoof2019": _four_columns,
    "asvspoof2021": _two_columns,
    "asvspoof5": _evaluation_package,
    "tsv": _our_own,
}
"""What `write_scores` can write."""


def _labels(bonafide: Booleans) -> list[str]:
    return ["bonafide" if label else "spoof" for label in bonafide.tolist()]


def _attacks(trials: Trials) -> list[str]:
    if "attack" not in trials.columns:
        return [NO_ATTACK] * len(trials)
    return [attack or NO_ATTACK for attack in trials.columns["attack"].tolist()]


def _header_separator(line: str) -> str | None:
    """What separates the columns if ``line`` is a header that names ids and scores, otherwise None."""
    for separator in ("\t", ","):
        names = {name.strip(' "') for name in line.split(separator)}
        if len(names) > 1 and names & {*ID_NAMES} and names & {*SCORE_NAMES}:
            return separator
    return None


def _chosen(table: Table, path: StrPath, line: int) -> Table:
    """The columns that scores are made of, under our names."""
    wanted = {"id": ID_NAMES, "score": SCORE_NAMES, "label": LABEL_NAMES, "attack": ATTACK_NAMES}
    columns = {}
    for name, spellings in wanted.items():
        there = [spelling for spelling in spellings if spelling in table.columns]
        if there:
            columns[name] = table.columns[there[0]]
    return Table(columns, table.lines, path)


def _read_json_lines(path: StrPath) -> Table:
    ids: list[str] = []
    scores: list[str] = []
    numbers: list[int] = []
    for first, lines in read_blocks(path):
        for number, line in enumerate(lines, first):
            if line.strip():
                trial, llr = _json_score(line, path, number)
                ids.append(trial)
                scores.append(repr(llr))
                numbers.append(number)
    return Table({"id": strings(ids), "score": strings(scores)}, np.array(numbers, np.int64), path)


def _json_score(line: str, path: StrPath, number: int) -> tuple[str, float]:
    try:
        verdict = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"expected one JSON object a line: {error}", path=path, line=number) from None
    if not isinstance(verdict, dict) or not isinstance(verdict.get("path"), str):
        raise ProtocolError("expected a JSON object with 'path' and 'llr'", path=path, line=number)
    llr, failure = verdict.get("llr"), verdict.get("error")
    if llr is None and isinstance(failure, dict):
        raise ProtocolError(
            f"{shown(verdict['path'])} could not be scored: {failure.get('message') or failure.get('code')}",
            path=path,
            line=number,
        )
    if isinstance(llr, bool) or not isinstance(llr, int | float):
        raise ProtocolError(f"the llr must be a number, got {shown(json.dumps(llr))}", path=path, line=number)
    return verdict["path"], llr


def _rows_of(scores: ScoreFile, trials: Trials) -> NDArray[np.int64]:
    """For each trial the row of its score, -1 where there is none (N,)."""
    if len(scores) == len(trials) and bool(np.all(scores.ids == trials.ids)):
        return np.arange(len(trials))
    names, given = trials.ids.tolist(), scores.ids.tolist()
    paths = trials.columns["path"].tolist() if "path" in trials.columns else []
    best = np.full(len(trials), -1)
    for wanted, have in (
        (names, lambda: given),
        (paths, lambda: _below_root(given, paths)),
        (names, lambda: list(map(without_extension, given))),
        (list(map(_file_name, names)), lambda: list(map(_file_name, map(without_extension, given)))),
    ):
        rows = _looked_up(wanted, have()) if wanted else best
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
