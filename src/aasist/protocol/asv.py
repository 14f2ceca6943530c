"""Scores of a speaker verification system (ASV), which the tandem costs weigh a countermeasure against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aasist.errors import ProtocolError
from aasist.protocol.lines import StrPath, first_line, shown
from aasist.protocol.table import Table, read_columns, read_header_columns, require_columns
from aasist.trial import Booleans, Strings, strings

Float64 = NDArray[np.float64]

METADATA = "trial_metadata.txt"
KINDS = ("target", "nontarget", "spoof")

_METADATA_LAYOUTS = {
    8: ("speaker", "id", "codec", "transmission", "attack", "key", "trim", "subset"),
    12: (
        *("speaker", "id", "asv_room", "asv_microphone", "distance_to_asv", "attacker_room"),
        *("attacker_microphone", "attacker_device", "attacker_distance", "key", "trim", "subset"),
    ),
}
"""2021's ASV protocols, LA and PA: eval-package/config.py of github.com/asvspoof-challenge/2021."""
_TRIALS_2019 = ("attack", "key", "score")
_TRIALS_2021 = ("speaker", "id", "score")
_TRIALS_5 = ("speaker", "id", "gender", "attack", "key")
_OTHER_NAMES = {
    **{"spk": "speaker", "tar_spk_anon": "speaker", "filename": "id", "trial_anon": "id"},
    **{"asv-score": "score", "asv_score": "score", "asv-label": "key", "asv_label": "key", "cm-label": "cm_label"},
}
"""What evaluation-package/util.py of github.com/asvspoof-challenge/asvspoof5 calls the columns -> what they are here."""
_DUMMY = ("track_2_tag", "dummy")
"""Column and value in the full keys of ASVspoof 5 of trials that take no part."""


@dataclass(frozen=True, eq=False)
class AsvScores:
    """Scores, higher = more like the claimed speaker: ``target`` (T,), ``nontarget`` (K,), ``spoof`` (S,).

    ``spoof_attacks`` (S,) names the attack of each spoof, where the file does.
    """

    target: Float64
    nontarget: Float64
    spoof: Float64
    spoof_attacks: Strings | None = None
    source: str = "asv scores"


def read_asv_scores(path: StrPath, *, key: StrPath | None = None, where: Mapping[str, str] | None = None) -> AsvScores:
    """ASV scores of a challenge.

    - ASVspoof 2019: ``bonafide|attack target|nontarget|spoof score``, without a header (README.LA.txt).
    - ASVspoof 2021: ``speaker trial score``, whose key is the ``trial_metadata.txt`` one folder up, line by line as in
      the organisers' package, or the file ``key``.
    - ASVspoof 5: a header with ``spk``, ``filename`` and ``asv-score``; the key is a column ``asv-label``, or the file
      ``key``: one of the evaluation package, or a trial list (``ASVspoof5.*.track_2.trial.tsv``).

    ``where`` picks trials by columns of the key (``{"subset": "eval"}``). Raises `ProtocolError` with the line for what
    cannot be used, and when one of the three kinds of trial is absent.
    """
    number, line = first_line(path)
    words = line.split()
    if "score" in names_in(line):
        table = read_named(path, line)
        if "key" not in table.columns:
            table = with_key(table, key, path)
    elif len(words) == 3 and words[1] in KINDS:
        table = read_columns(path, {3: _TRIALS_2019}, what="ASV scores")
    elif len(words) == 3:
        table = _with_metadata(read_columns(path, {3: _TRIALS_2021}, what="ASV scores"), key, path)
    else:
        raise ProtocolError(
            f"expected ASV scores ('bonafide target 1.5', 'speaker trial 1.5' or a header with asv-score), "
            f"got {shown(line)}",
            path=path,
            line=number,
        )
    return _by_kind(table, where or {}, path)


def _by_kind(table: Table, where: Mapping[str, str], path: StrPath) -> AsvScores:
    require_columns(table, where)
    rows, scores = rows_by_kind(table), table.numbers("score")
    picked = np.ones(len(table), bool)
    for column, value in where.items():
        picked &= np.asarray(table.columns[column] == value)
    for kind in KINDS:
        rows[kind] &= picked
        if not rows[kind].any():
            of = "".join(f", {column} {value}" for column, value in where.items())
            raise ProtocolError(f"holds no {kind} trial{of}: a tandem cost needs all of {', '.join(KINDS)}", path=path)
    attacks = table.columns["attack"][rows["spoof"]] if "attack" in table.columns else None
    return AsvScores(scores[rows["target"]], scores[rows["nontarget"]], scores[rows["spoof"]], attacks, str(path))


def rows_by_kind(table: Table) -> dict[str, Booleans]:
    """Which rows (N,) are of each of `KINDS`, and of none: dummies of ASVspoof 5; `ProtocolError` for another key."""
    key = table.columns["key"]
    column, dummy = _DUMMY
    is_dummy = np.asarray(table.columns[column] == dummy) if column in table.columns else np.zeros(len(table), bool)
    rows = {kind: np.asarray(key == kind) & ~is_dummy for kind in KINDS}
    unknown = np.flatnonzero(~(rows["target"] | rows["nontarget"] | rows["spoof"] | is_dummy))
    if unknown.size:
        row = int(unknown[0])
        raise table.error(f"the key must be target, nontarget or spoof, got {shown(str(key[row]))}", row)
    return rows


def names_in(line: str) -> set[str]:
    """The columns that a header names, by their names here."""
    return {_OTHER_NAMES.get(word.strip(), word.strip()) for word in line.split("\t" if "\t" in line else None)}


def read_named(path: StrPath, header: str) -> Table:
    """A file whose first line is ``header``, separated by tabs or else by single spaces, its columns by their names here."""
    table = read_header_columns(path, "\t" if "\t" in header else " ", quoted=False)
    columns = {_OTHER_NAMES.get(name, name): column for name, column in table.columns.items()}
    return Table(columns, table.lines, table.path)


def _with_metadata(scores: Table, key: StrPath | None, path: StrPath) -> Table:
    """2021's scores with the columns of their protocol, row by row."""
    file = Path(path).parent.parent / METADATA if key is None else key
    if not Path(file).is_file():
        raise ProtocolError(f"scores without a key need the file {file}, which is not there", path=path)
    metadata = read_columns(file, _METADATA_LAYOUTS, what="a protocol of ASV trials")
    if len(metadata) != len(scores):
        raise ProtocolError(f"holds {len(scores)} scores, but {file} {len(metadata)} trials", path=path)
    for column in ("speaker", "id"):
        other = np.flatnonzero(np.asarray(scores.columns[column] != metadata.columns[column]))
        if other.size:
            row = int(other[0])
            raise scores.error(
                f"expected the {'trial' if column == 'id' else column} {shown(str(metadata.columns[column][row]))} as on "
                f"line {metadata.lines[row]} of {file}, got {shown(str(scores.columns[column][row]))}",
                row,
            )
    return Table({**metadata.columns, "score": scores.columns["score"]}, scores.lines, path)


def with_key(scores: Table, key: StrPath | None, path: StrPath) -> Table:
    """Scores with the key of each pair of speaker and trial, from a file of its own: one of the evaluation package of
    ASVspoof 5, or a trial list. Both hold the same pairs, in any order."""
    if key is None:
        raise ProtocolError("the header lacks the column 'asv-label': name the file that holds the key", path=path)
    require_columns(scores, ["speaker", "id"])
    header = first_line(key)[1]
    if "id" in names_in(header):
        listed = read_named(key, header)
        require_columns(listed, ["speaker", "id", "key"])
    else:
        listed = read_columns(key, {5: _TRIALS_5}, what="a list of ASV trials")
    rows_by_kind(listed)
    for table in (listed, scores):
        require_unique_pairs(table)
    rows = {pair: row for row, pair in enumerate(_pairs(listed))}
    try:
        order = np.array([rows[pair] for pair in _pairs(scores)], dtype=np.int64)
    except KeyError:
        row, pair = next((row, pair) for row, pair in enumerate(_pairs(scores)) if pair not in rows)
        raise scores.error(f"the trial {pair[1]} of the speaker {pair[0]} is not in {key}", row) from None
    if len(scores) != len(listed):
        raise ProtocolError(f"holds {len(scores)} scores, but {key} {len(listed)} trials", path=path)
    # A key may be another system's score file: its scores are not those asked for.
    known = {name: column[order] for name, column in listed.columns.items() if not name.endswith("score")}
    return Table({**scores.columns, **known}, scores.lines, path)


def require_unique_pairs(table: Table) -> None:
    """`ProtocolError` naming both lines when a trial of one speaker stands twice."""
    table.require_unique(strings(f"{trial} of {speaker}" for speaker, trial in _pairs(table)))


def _pairs(table: Table) -> list[tuple[str, str]]:
    return list(zip(table.columns["speaker"].tolist(), table.columns["id"].tolist(), strict=True))
