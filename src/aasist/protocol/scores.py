"""Score files of countermeasures: read, and written as challenges want them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
from numpy.typing import ArrayLike, NDArray

from aasist.errors import ProtocolError
from aasist.protocol.asv import AsvScores, read_asv_scores
from aasist.protocol.draft import replacing_text
from aasist.protocol.lines import StrPath, first_line, read_blocks, shown
from aasist.protocol.table import Table, read_columns, read_header_columns
from aasist.trial import NO_ATTACK, Booleans, Strings, Trials, strings

__all__ = ["SCORE_LAYOUTS", "AsvScores", "ScoreFile", "read_asv_scores", "read_scores", "score_lines", "write_scores"]

Float64 = NDArray[np.float64]

ID_NAMES = ("filename", "id", "utterance", "trial", "file", "path")
SCORE_NAMES = ("cm-score", "cm_score", "llr", "score")
LABEL_NAMES = ("label", "key", "cm-label", "cm_label")
ATTACK_NAMES = ("attack", "system")
"""Names of columns in a header, the first that is there counts."""

_SPELLINGS = {"id": ID_NAMES, "score": SCORE_NAMES, "label": LABEL_NAMES, "attack": ATTACK_NAMES}

_WIDTHS = {2: ("id", "score"), 4: ("id", "attack", "label", "score")}


@dataclass(frozen=True, eq=False)
class ScoreFile:
    """Scores as a file gives them, a row each: higher = more bona fide.

    ``ids`` (N,) are unique, as written in the file (a path where the file holds paths); ``values`` (N,) are finite;
    ``bonafide`` (N,) where the file has labels; ``columns`` (N,) each: ``attack``, and whatever else a header names
    (``speaker``, ``codec``, ...); ``lines`` (N,) are the numbers of the lines.
    """

    ids: Strings
    values: Float64
    lines: NDArray[np.int64]
    source: str
    bonafide: Booleans | None = None
    columns: Mapping[str, Strings] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def trials(self) -> Trials:
        """The trials as far as the file knows them."""
        return Trials(self.ids, self.bonafide, self.columns, self.source)


def read_scores(path: StrPath) -> ScoreFile:
    """A score file, plain or gzipped; its form is taken from the first line.

    - ``utterance score``: ASVspoof 2015, 2017 and 2021.
    - ``utterance attack key score``: ASVspoof 2019.
    - A header with columns separated by tabs or commas: ``filename cm-score`` of the ASVspoof 5 evaluation package, or
      one of `ID_NAMES` and one of `SCORE_NAMES`, with or without a label, an attack and further columns, which are kept.
    - JSON lines of ``aasist detect --json``: ``path`` and ``llr``.

    Raises `ProtocolError` with the line for a score that is no finite number, an id that stands twice, a label of
    another spelling and a wrong number of columns.
    """
    _, line = first_line(path)
    if line.lstrip().startswith("{"):
        table = _read_json_lines(path)
    elif (separator := _header_separator(line)) is not None:
        table = _chosen(read_header_columns(path, separator, quoted=separator == ","), path)
    else:
        table = read_columns(path, _WIDTHS, what="scores")
    table.require_filled("id")
    table.require_unique(table.columns["id"])
    bonafide = table.labels("label", "bonafide", "spoof") if "label" in table.columns else None
    columns = {name: column for name, column in table.columns.items() if name not in ("id", "score", "label")}
    if "attack" in columns:
        columns["attack"] = table.attacks("attack", bonafide, ("", NO_ATTACK, "bonafide"))
    return ScoreFile(table.columns["id"], table.numbers("score"), table.lines, os.fspath(path), bonafide, columns)


def write_scores(path: StrPath, trials: Trials, values: ArrayLike, layout: str) -> None:
    """Write ``values`` (N,), higher = more bona fide, as a challenge wants them.

    ``layout``: ``asvspoof2015``, ``asvspoof2017``, ``asvspoof2021`` (``utterance score``), ``asvspoof2019``
    (``utterance attack key score``), ``asvspoof5`` (the evaluation package's TSV), or ``tsv`` (ours: id, label and
    attack where they are known, all other columns of the trials, and score, so that what is read back comes to the same
    figures). Numbers are written so that they are read back to the bit. Raises `ProtocolError` for a value that is not
    finite, an id with a space in it, and a missing key where one is needed.
    """
    lines = score_lines(trials, values, layout, path=path)
    with replacing_text(path) as file:
        file.writelines(lines)


def score_lines(trials: Trials, values: ArrayLike, layout: str, *, path: StrPath) -> Iterator[str]:
    """The lines that `write_scores` writes to ``path``, which is what its errors name; all of them are raised here."""
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
    # The second column of ASVspoof 2019 is the attack; ours have become writable by `_fields`.
    checked = {"id": columns[0], **({"attack": columns[1]} if layout == "asvspoof2019" else {})}
    for what, column in checked.items():
        for name in column:
            if not name or {separator, *_UNWRITABLE} & {*name}:
                raise ProtocolError(
                    f"the {what} {shown(name)} cannot be written in a score file of {layout}", path=path
                )
    rows = zip(*columns, map(repr, numbers.tolist()), strict=True)
    head = [separator.join(header) + "\n"] if header else []
    return chain(head, (separator.join(row) + "\n" for row in rows))


_UNWRITABLE = "\t\n\r\0"
"""No field of a score file can hold these."""

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
    columns = {"id": trials.ids.tolist()}
    if trials.bonafide is not None:
        columns["label"] = _labels(trials.bonafide)
    if "attack" in trials.columns:
        columns["attack"] = _fields(_attacks(trials))
    taken = {"id", "score", "label", *_read_as_another({*columns, "score"})}
    for name, column in trials.columns.items():
        # A path that is not below the corpus's root tells of one machine, and nobody else finds the recording by it.
        if name in columns or name in taken or (name == "path" and not _all_relative(column)):
            continue
        if name == name.strip() != "" and not {*_UNWRITABLE} & {*name}:
            columns[name] = _fields(column)
    return "\t", (*columns, "score"), [*columns.values()]


def _read_as_another(written: Collection[str]) -> Iterator[str]:
    """Names of columns that `read_scores` would take for one of its own, beside those that are ``written``."""
    for name, spellings in _SPELLINGS.items():
        yield from spellings[: spellings.index(name)] if name in written else spellings


def _all_relative(paths: Strings) -> bool:
    return not any(path[:1] in ("/", "\\") or path[1:2] == ":" for path in paths.tolist())


def _fields(column: Strings | list[str]) -> list[str]:
    """Texts as fields of a table: what a field cannot hold, such as a line break in a transcript, becomes a space."""
    texts: list[str] = column if isinstance(column, list) else column.tolist()
    if not {*_UNWRITABLE} & {*"".join(texts)}:
        return texts
    spaces = str.maketrans(dict.fromkeys(_UNWRITABLE, " "))
    return [text.translate(spaces) for text in texts]


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


def _chosen(table: Table, path: StrPath) -> Table:
    """The columns that scores are made of under our names, then all others under theirs."""
    there = {name: [s for s in spellings if s in table.columns] for name, spellings in _SPELLINGS.items()}
    ours = {name: spellings[0] for name, spellings in there.items() if spellings}
    columns = {name: table.columns[spelling] for name, spelling in ours.items()}
    others = table.columns.keys() - {*ours.values(), *ours}
    return Table(columns | {name: table.columns[name] for name in table.columns if name in others}, table.lines, path)


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
