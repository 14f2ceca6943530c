"""Our own manifest: a table of recordings with a header, as tab-separated text or Parquet."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from aasist.errors import MissingExtra, ProtocolError
from aasist.protocol.draft import replacing, replacing_text
from aasist.protocol.lines import StrPath, opened, shown
from aasist.protocol.table import Table, read_header_columns, require_columns
from aasist.trial import NO_ATTACK, Strings, Trials

PARQUET = b"PAR1"
ALIASES = {"split": "subset", "system": "attack", "key": "label", "cm-label": "label", "filename": "id"}
"""Other names of columns, taken where the column itself is not there; the last two are ASVspoof 5's evaluation keys."""


def read_manifest(path: StrPath) -> Trials:
    """Trials of a manifest: TSV (plain or gzipped) or Parquet, told apart by their first bytes.

    Columns: ``path`` of the recording, relative to the manifest's folder, or ``id``, or both (the id of a trial is its
    path without extension unless there is a column of its own); ``label`` (``bonafide`` or ``spoof``; without the
    column the trials have no key); ``attack`` or ``system``; ``subset`` or ``split``; whatever else is there is kept.
    ``-`` in a column other than ``attack`` is an unknown value. Raises `ProtocolError`, with the line for TSV and the
    row (the header is line 1) for Parquet, and `MissingExtra` for Parquet without pyarrow.
    """
    table = _read_parquet(path) if is_parquet(path) else read_header_columns(path, "\t", quoted=False)
    if not {"path", "id", *(other for other, name in ALIASES.items() if name == "id")} & table.columns.keys():
        require_columns(table, ["path"])
    columns = dict(table.columns)
    for other, name in ALIASES.items():
        if name not in columns and other in columns:
            columns[name] = columns.pop(other)
    table = Table(columns, table.lines, path)
    name = "id" if "id" in columns else "path"
    table.require_filled(name)
    ids = columns["id"] if name == "id" else _without_extension(columns["path"])
    table.require_unique(ids)
    bonafide = table.labels("label", "bonafide", "spoof") if "label" in columns else None
    for name in columns.keys() - {"id", "label", "attack"}:
        known = columns[name].copy()
        known[np.asarray(known == NO_ATTACK)] = ""
        columns[name] = known
    if "attack" in columns:
        columns["attack"] = table.attacks("attack", bonafide)
    kept = {name: column for name, column in columns.items() if name not in ("id", "label")}
    return Trials(ids, bonafide, kept, os.fspath(path))


def write_manifest(path: StrPath, trials: Trials) -> None:
    """Write every column of ``trials``: Parquet when the name ends in ``.parquet``, otherwise TSV (``.gz`` gzips it).

    `read_manifest` gives the same trials back. Raises `ProtocolError` for a text with a tab or a line break in it, or a
    column named like one of the manifest's own, and `MissingExtra` for Parquet without pyarrow.
    """
    columns: dict[str, Strings] = {"id": trials.ids}
    if trials.bonafide is not None:
        columns["label"] = np.where(trials.bonafide, "bonafide", "spoof").astype(np.dtypes.StringDType())
    taken = {other for other, name in ALIASES.items() if name not in columns.keys() | trials.columns.keys()}
    clash = trials.columns.keys() & (taken | {"id", "label"})
    if clash:
        raise ProtocolError(f"the column {min(clash)!r} would be read back as another: rename it", path=path)
    columns |= trials.columns
    if os.fspath(path).endswith(".parquet"):
        _write_parquet(path, columns)
        return
    texts = {name: column.tolist() for name, column in columns.items()}
    if not all(map(str.strip, texts["id"])):
        raise ProtocolError("a trial's id is blank", path=path)
    for name, column in texts.items():
        for text in (name, *column):
            if {"\t", "\n", "\r", "\0"} & {*text}:
                raise ProtocolError(
                    f"the {name} {shown(text)} holds a tab or a line break, which a TSV cannot: write Parquet",
                    path=path,
                )
    with replacing_text(path) as file:
        file.write("\t".join(texts) + "\n")
        file.writelines("\t".join(row) + "\n" for row in zip(*texts.values(), strict=True))


def is_parquet(path: StrPath) -> bool:
    """Whether a file begins as Parquet does; `ProtocolError` if it cannot be read."""
    with opened(path) as file:
        return file.read(len(PARQUET)) == PARQUET


def _without_extension(paths: Strings) -> Strings:
    return np.array([without_extension(path) for path in paths.tolist()], dtype=paths.dtype)


def without_extension(path: str) -> str:
    """``dev/a.b.flac`` -> ``dev/a.b``; what has no extension stays as it is."""
    folder, slash, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return f"{folder}{slash}{stem}" if dot and stem else path


def _pyarrow(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise MissingExtra("Parquet", "parquet") from None


def _read_parquet(path: StrPath) -> Table:
    arrow, parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
    try:
        table = parquet.read_table(os.fspath(path))
    except (OSError, arrow.ArrowException) as error:
        raise ProtocolError(f"cannot be read as Parquet: {error}", path=path) from error
    columns: dict[str, Strings] = {}
    for name in table.column_names:
        try:
            texts = table.column(name).cast(arrow.string()).to_pylist()
        except arrow.ArrowException as error:
            raise ProtocolError(f"the column {name!r} cannot be read as text: {error}", path=path) from error
        columns[name] = np.array([text or "" for text in texts], dtype=np.dtypes.StringDType())
    if table.num_rows == 0:
        raise ProtocolError("the file has columns but no rows", path=path)
    return Table(columns, np.arange(2, table.num_rows + 2), path)


def _write_parquet(path: StrPath, columns: Mapping[str, Strings]) -> None:
    arrow, parquet = _pyarrow("pyarrow"), _pyarrow("pyarrow.parquet")
    table = arrow.table({name: arrow.array(column.tolist(), arrow.string()) for name, column in columns.items()})
    with replacing(path) as file:
        parquet.write_table(table, file)
