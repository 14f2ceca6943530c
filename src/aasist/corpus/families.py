"""Families of systems: which way of making speech each has, so that one can be kept from a training as a whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aasist.errors import AasistError
from aasist.protocol.lines import StrPath
from aasist.protocol.table import read_header_columns, require_columns

UNKNOWN = "unknown"
"""The family of a system of which nothing is known: it is never held out."""

_NAMED = 20
"""Systems that a message names; the others are counted."""


class FamiliesError(AasistError):
    """A table of families that does not fit the trials; code ``families``."""

    def __init__(self, message: str) -> None:
        super().__init__("families", message)


@dataclass(frozen=True)
class Families:
    """The families of each system, that which it is judged with first; empty where it is unknown.

    ``names``: all families, in the order of the table.
    """

    of: Mapping[str, tuple[str, ...]]
    names: tuple[str, ...]
    source: str

    def require(self, systems: Iterable[str]) -> None:
        """`FamiliesError` that names the systems without a line in the table."""
        missing = sorted({*systems} - self.of.keys())
        if missing:
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            raise FamiliesError(
                f"{self.source} lacks {len(missing)} systems of the spoofs: {', '.join(missing[:_NAMED])}{more}; add a line "
                f"for each, system and family with a tab between ({', '.join(self.names)}, or {UNKNOWN})"
            )


def read_families(path: StrPath) -> Families:
    """A table with the columns ``system`` and ``family``, tab-separated; others, such as ``note``, are for people.

    A system with parts of two families has both, by commas (``codec,gan``): it is held out with the first, and stands in
    no training from which one of the others is held out. Raises `ProtocolError` with the line, for a system that stands
    twice too, and `FamiliesError` for a table that cannot be meant.
    """
    table = read_header_columns(path, "\t", quoted=False)
    require_columns(table, ["system", "family"])
    for name in ("system", "family"):
        table.require_filled(name)
    table.require_unique(table.columns["system"], "system")
    of: dict[str, tuple[str, ...]] = {}
    for row, (system, given) in enumerate(
        zip(table.columns["system"].tolist(), table.columns["family"].tolist(), strict=True)
    ):
        parts = tuple(part.strip() for part in given.split(","))
        if not all(parts) or len({*parts}) < len(parts) or (UNKNOWN in parts and len(parts) > 1):
            raise table.error(
                f"the family must be a name, several with commas between, or {UNKNOWN}; got {given!r}", row
            )
        of[system] = () if parts == (UNKNOWN,) else parts
    names = tuple(dict.fromkeys(parts[0] for parts in of.values() if parts))
    for system, parts in of.items():
        for part in parts[1:]:
            if part not in names:
                raise FamiliesError(
                    f"{path}: {part!r}, second family of {system}, comes first nowhere: is it spelt right? "
                    f"There are {', '.join(names)}"
                )
    if len(names) < 2:
        raise FamiliesError(f"{path}: at least two families are needed, one to hold out and one to train on")
    return Families(of, names, str(path))
