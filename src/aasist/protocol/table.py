"""Columns of a text file, with the line that each row stands on."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aasist.errors import ProtocolError
from aasist.protocol.lines import StrPath, read_blocks, shown
from aasist.trial import NO_ATTACK, Booleans, Strings

Integers = NDArray[np.int64]

_END = "\0"
"""Marks the end of a line: text with this character in it is refused before it comes here."""

_Row = list[str]
_Block = tuple[list[int] | range, list[_Row]]


MOST_MAGNITUDE = 1e100
"""No score is larger; one that is would overflow where scores are squared or subtracted."""


@dataclass(frozen=True, eq=False)
class Table:
    """Columns by name, each (N,), and ``lines`` (N,): the number of the line each row came from."""

    columns: Mapping[str, Strings]
    lines: Integers
    path: StrPath

    def __len__(self) -> int:
        return len(self.lines)

    def error(self, message: str, row: int) -> ProtocolError:
        """An error that names the line of ``row``."""
        return ProtocolError(message, path=self.path, line=int(self.lines[row]))

    def require_unique(self, ids: Strings, what: str = "trial") -> None:
        """`ProtocolError` naming both lines when one of ``ids`` (N,) stands twice."""
        names = ids.tolist()
        if len(set(names)) == len(names):
            return
        seen: dict[str, int] = {}
        for row, name in enumerate(names):
            if name in seen:
                raise self.error(f"{what} {shown(name)} stands on line {self.lines[seen[name]]} already", row)
            seen[name] = row

    def require_filled(self, name: str) -> None:
        """`ProtocolError` when the column ``name`` has an empty cell."""
        empty = np.flatnonzero(self.columns[name] == "")
        if empty.size:
            raise self.error(f"the column {name!r} is empty", int(empty[0]))

    def labels(self, name: str, bonafide: str, spoof: str) -> Booleans:
        """The column ``name`` as bona fide or not (N,); `ProtocolError` for a label of another spelling."""
        column = self.columns[name]
        is_bonafide: Booleans = np.asarray(column == bonafide)
        unknown = np.flatnonzero(~(is_bonafide | np.asarray(column == spoof)))
        if unknown.size:
            row = int(unknown[0])
            raise self.error(f"the label must be {bonafide!r} or {spoof!r}, got {shown(str(column[row]))}", row)
        return is_bonafide

    def attacks(self, name: str, bonafide: Booleans | None, nothing: Collection[str] = ("", NO_ATTACK)) -> Strings:
        """The column ``name`` with `NO_ATTACK` for bona fide and an empty text for a spoof of unknown attack.

        ``nothing`` are the spellings of no attack. `ProtocolError` for a bona fide trial that names an attack.
        """
        column = self.columns[name]
        is_none = np.zeros(len(column), bool)
        for spelling in nothing:
            is_none |= np.asarray(column == spelling)
        attacks = column.copy()
        attacks[is_none] = ""
        if bonafide is None:
            return attacks
        named = np.flatnonzero(bonafide & ~is_none)
        if named.size:
            row = int(named[0])
            raise self.error(f"a bona fide trial names the attack {shown(str(column[row]))}", row)
        attacks[bonafide] = NO_ATTACK
        return attacks

    def numbers(self, name: str) -> NDArray[np.float64]:
        """The column ``name`` as finite float64 (N,); `ProtocolError` for what is no number, NaN or infinite."""
        texts = self.columns[name].tolist()
        try:
            values = np.array(list(map(float, texts)), dtype=np.float64)
        except ValueError:
            for row, text in enumerate(texts):
                try:
                    float(text)
                except ValueError:
                    raise self.error(f"the {name} must be a number, got {shown(text)}", row) from None
            raise
        bad = np.flatnonzero(~(np.abs(values) <= MOST_MAGNITUDE))  # true for NaN as well
        if bad.size:
            raise self.error(f"the {name} must be a finite number, got {shown(texts[bad[0]])}", int(bad[0]))
        # Python takes 1_000 for a number; no other reader of the field does.
        if "_" in "".join(texts):
            row = next(row for row, text in enumerate(texts) if "_" in text)
            raise self.error(f"the {name} must be a number, got {shown(texts[row])}", row)
        return values


def read_columns(path: StrPath, layouts: Mapping[int, tuple[str, ...]], *, what: str) -> Table:
    """A file without a header, its columns separated by spaces or tabs.

    ``layouts`` names the columns by their number; the file keeps to one of them throughout. Columns named with an
    empty text are left out. ``what`` says in errors what was expected (``an ASVspoof 2019 protocol``).
    """
    names: tuple[str, ...] | None = None
    parts: list[list[Strings]] = []
    numbers: list[Integers] = []
    for first, lines in read_blocks(path):
        columns = _regular(lines, len(names)) if names else None
        if names is None or columns is None:
            split = [(number, row) for number, line in enumerate(lines, first) if (row := line.split())]
            if not split:
                continue
            names = names or layouts.get(len(split[0][1]))
            _require_width(split, names, layouts, what, path)
            columns = list(zip(*(row for _, row in split), strict=True))
            numbers.append(np.array([number for number, _ in split], np.int64))
        else:
            numbers.append(np.arange(first, first + len(lines)))
        parts.append([_array(column) for column in columns])
    if names is None:
        raise ProtocolError(f"the file holds blank lines only: expected {what}", path=path)
    return _joined(names, parts, numbers, path)


def read_header_columns(path: StrPath, separator: str, *, quoted: bool) -> Table:
    """A file whose first line names its columns, separated by ``separator``.

    ``quoted``: fields may stand in double quotes, as spreadsheets write them. Names in the header are stripped of
    spaces; a name that stands twice, or an empty one, is an error, and so is a row of another width.
    """
    records = _quoted_records(path, separator) if quoted else _plain_records(path, separator)
    header: tuple[str, ...] = ()
    parts: list[list[Strings]] = []
    numbers: list[Integers] = []
    for all_lines, all_rows in records:
        lines, rows = all_lines, all_rows
        if not header:
            header = _header(rows[0], path, lines[0])
            lines, rows = lines[1:], rows[1:]
        wrong = _first_of_other_width(rows, len(header))
        if wrong is not None:
            raise ProtocolError(
                f"expected {len(header)} columns as in the header ({', '.join(header)}), got {len(rows[wrong])}",
                path=path,
                line=lines[wrong],
            )
        if rows:
            parts.append(_columns(rows))
            numbers.append(np.asarray(lines, np.int64))
    if not header:
        raise ProtocolError("the file holds blank lines only: expected a header that names the columns", path=path)
    if not parts:
        raise ProtocolError("the file has a header but no rows", path=path)
    return _joined(header, parts, numbers, path)


def require_columns(table: Table, names: Iterable[str]) -> None:
    """`ProtocolError` for the columns ``names`` that the header lacks."""
    missing = [name for name in names if name not in table.columns]
    if missing:
        raise ProtocolError(
            f"the header lacks the column {', '.join(map(repr, missing))}; it has {', '.join(table.columns)}",
            path=table.path,
            line=1,
        )


def _regular(lines: list[str], width: int) -> list[Sequence[str]] | None:
    """The columns of a block in which every line has ``width`` of them; None where one has not.

    One split for the whole block, its lines told apart by a character that no text file holds, takes half the time
    of one for each line.
    """
    words = f" {_END} ".join(lines).split()
    if len(words) + 1 != (width + 1) * len(lines) or words[width :: width + 1] != [_END] * (len(lines) - 1):
        return None
    return [words[column :: width + 1] for column in range(width)]


def _require_width(
    split: list[tuple[int, _Row]],
    names: tuple[str, ...] | None,
    layouts: Mapping[int, tuple[str, ...]],
    what: str,
    path: StrPath,
) -> None:
    for number, row in split:
        if names is None or len(row) != len(names):
            known = layouts if names is None else {len(names): names}
            raise ProtocolError(
                f"expected {what}, its columns {_described(known)}; got {len(row)} columns: {shown(' '.join(row))}",
                path=path,
                line=number,
            )


def _plain_records(path: StrPath, separator: str) -> Iterator[_Block]:
    for first, lines in read_blocks(path):
        kept = [(number, line) for number, line in enumerate(lines, first) if line.strip()]
        if kept:
            yield [number for number, _ in kept], [line.split(separator) for _, line in kept]


def _quoted_records(path: StrPath, separator: str) -> Iterator[_Block]:
    every_line = (f"{line}\n" for _, lines in read_blocks(path) for line in lines)
    reader = csv.reader(every_line, delimiter=separator, strict=True)
    numbers: list[int] = []
    rows: list[_Row] = []
    try:
        for row in reader:
            if row and any(row):
                numbers.append(reader.line_num)
                rows.append(row)
            if len(rows) == 50_000:
                yield numbers, rows
                numbers, rows = [], []
    except csv.Error as error:
        raise ProtocolError(f"cannot be read as quoted text: {error}", path=path, line=reader.line_num) from error
    if rows:
        yield numbers, rows


def _columns(rows: list[_Row]) -> list[Strings]:
    return [_array(column) for column in zip(*rows, strict=True)]


def _array(column: Sequence[str]) -> Strings:
    return np.array(column, dtype=np.dtypes.StringDType())


def _joined(names: tuple[str, ...], parts: list[list[Strings]], numbers: list[Integers], path: StrPath) -> Table:
    columns = {name: np.concatenate([part[index] for part in parts]) for index, name in enumerate(names) if name}
    return Table(columns, np.concatenate(numbers), path)


def _header(row: _Row, path: StrPath, line: int) -> tuple[str, ...]:
    names = tuple(name.strip() for name in row)
    if "" in names:
        raise ProtocolError(f"the header has a column without a name: {shown(', '.join(names))}", path=path, line=line)
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ProtocolError(f"the header names the column {min(twice)!r} twice", path=path, line=line)
    return names


def _first_of_other_width(rows: list[_Row], width: int) -> int | None:
    if not {*map(len, rows)} - {width}:
        return None
    return next(index for index, row in enumerate(rows) if len(row) != width)


def _described(layouts: Mapping[int, tuple[str, ...]]) -> str:
    return " or ".join(f"({' '.join(name or '-' for name in layout)})" for layout in layouts.values())
