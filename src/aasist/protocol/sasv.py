"""Scores of spoofing-robust speaker verification (SASV): of the whole, and of the two systems that it may be made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aasist.errors import ProtocolError
from aasist.protocol.asv import KINDS, names_in, read_named, require_unique_pairs, rows_by_kind, with_key
from aasist.protocol.lines import StrPath, first_line, shown
from aasist.protocol.table import Table, read_columns, require_columns
from aasist.trial import Strings

Float64 = NDArray[np.float64]

_SCORES = {"sasv": ("sasv-score", "sasv_score"), "cm": ("cm-score", "cm_score"), "asv": ("score",)}
"""Field -> the columns that may hold it; ``asv-score`` is called ``score`` where ASV scores are read."""
_NOTHING = "-"
"""Stands for a score that a system does not give."""
_WITHOUT_HEADER = ("speaker", "id", "sasv-score", "key")
"""Of github.com/shimhz/a_dcf: ``LA_0015 LA_E_1103494 6.96 target``."""


@dataclass(frozen=True, eq=False)
class SasvScores:
    """Scores of trials, each a recording that is said to be of a speaker; (N,) each, None where the file has none.

    ``kinds`` is ``target``, ``nontarget`` or ``spoof``. ``sasv`` are scores of the whole system, ``asv`` of its speaker
    verification, ``cm`` of its countermeasure: higher = more like the speaker, and more bona fide. ``speakers`` are those
    who the trials claim to be.
    """

    kinds: Strings
    speakers: Strings
    sasv: Float64 | None
    cm: Float64 | None
    asv: Float64 | None
    source: str = "sasv scores"

    def __len__(self) -> int:
        return len(self.kinds)


def read_sasv_scores(path: StrPath, *, key: StrPath | None = None) -> SasvScores:
    """Scores of a system of ASVspoof 5, track 2 (evaluation-package/README.md of asvspoof-challenge/asvspoof5).

    - A header with ``spk``, ``filename`` and any of ``cm-score``, ``asv-score``, ``sasv-score``, separated by tabs; a
      column that is ``-`` throughout is one the system does not give. The key is a column ``asv-label``, or the file
      ``key``: ``spk filename cm-label asv-label``, or a trial list (``ASVspoof5.*.track_2.trial.tsv``).
    - Without a header: ``speaker trial score target|nontarget|spoof``, as the package ``a_dcf`` reads them.

    Raises `ProtocolError` with the line for what cannot be used, and when one of the three kinds of trial is absent.
    """
    number, line = first_line(path)
    names = names_in(line)
    if "id" in names and any(names & set(columns) for columns in _SCORES.values()):
        table = read_named(path, line)
        require_columns(table, ["speaker", "id"])
        if key is not None or "key" not in table.columns:
            table = with_key(table, key, path)
        else:
            require_unique_pairs(table)
    elif len(line.split()) == len(_WITHOUT_HEADER) and key is None:
        table = read_columns(path, {len(_WITHOUT_HEADER): _WITHOUT_HEADER}, what="SASV scores")
        require_unique_pairs(table)
    else:
        raise ProtocolError(
            "expected a header with spk, filename and sasv-score (cm-score, asv-score), or lines such as "
            f"'LA_0015 LA_E_1 1.5 target' and no key, got {shown(line)}",
            path=path,
            line=number,
        )
    return _checked(table, path)


def _checked(table: Table, path: StrPath) -> SasvScores:
    rows = rows_by_kind(table)
    for kind in KINDS:
        if not rows[kind].any():
            raise ProtocolError(f"holds no {kind} trial: all of {', '.join(KINDS)} are needed", path=path)
    # What a key calls a dummy takes no part, whatever else stands on its line.
    picked = rows["target"] | rows["nontarget"] | rows["spoof"]
    table = Table({name: column[picked] for name, column in table.columns.items()}, table.lines[picked], path)
    _require_agreement(table, rows["spoof"][picked])
    scores = {field: _scores(table, columns) for field, columns in _SCORES.items()}
    if scores["sasv"] is None and (scores["cm"] is None or scores["asv"] is None):
        raise ProtocolError("expected sasv-score, or both of cm-score and asv-score: the others are '-'", path=path)
    return SasvScores(table.columns["key"], table.columns["speaker"], **scores, source=str(path))


def _scores(table: Table, names: tuple[str, ...]) -> Float64 | None:
    """The scores of one system (N,); None where there is no such column, or nothing in it."""
    name = next((name for name in names if name in table.columns), None)
    if name is None or np.asarray(table.columns[name] == _NOTHING).all():
        return None
    return table.numbers(name)


def _require_agreement(table: Table, is_spoof: NDArray[np.bool_]) -> None:
    """`ProtocolError` where the countermeasure's key and the verification system's contradict each other."""
    if "cm_label" not in table.columns:
        return
    labels = table.columns["cm_label"]
    other = np.flatnonzero(np.asarray(labels != np.where(is_spoof, "spoof", "bonafide")))
    if other.size:
        row = int(other[0])
        kind = str(table.columns["key"][row])
        raise table.error(f"the cm-label {shown(str(labels[row]))} contradicts the asv-label {kind!r}", row)
