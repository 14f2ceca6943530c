"""Faults: the trials that could not be read so far, and how many may be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from aasist.training.reader import Fault
from aasist.training.recordings import DataError

_NAMED = 10


class Faults:
    """Trials that could not be read so far, each counted once however often it came.

    ``limit``: how many may be before the run stops, ``share`` of the trials or one.
    """

    def __init__(self, trials: int, share: float, known: Iterable[Mapping[str, Any]] = ()) -> None:
        """``known``: those of a run that is resumed, as `to_json` gave them."""
        self.limit = max(1, int(share * trials))
        self._by_row = {fault.row: fault for fault in (Fault(**values) for values in known)}

    def __len__(self) -> int:
        return len(self._by_row)

    def __iter__(self) -> Iterator[Fault]:
        return iter(self._by_row.values())

    def add(self, faults: Iterable[Fault]) -> list[Fault]:
        """Count the faults of a batch; those that are new."""
        new = [fault for fault in faults if fault.row not in self._by_row]
        self._by_row |= {fault.row: fault for fault in new}
        return new

    def check(self) -> None:
        """`DataError` ``faults`` when more trials than ``limit`` could not be read."""
        if len(self) > self.limit:
            raise DataError(
                "faults",
                f"{len(self):,} trials could not be read, and no more than {self.limit:,} may (loading.faults): {self}; "
                "repair or leave out the recordings and begin another run, or resume with a larger share",
            )

    def __str__(self) -> str:
        """The first by name, the others counted."""
        first = list(self._by_row.values())[:_NAMED]
        named = "; ".join(f"{fault.id} ({fault.path}): {fault.message}" for fault in first)
        return named + (f"; and {len(self) - _NAMED:,} more" if len(self) > _NAMED else "")

    def to_json(self) -> list[dict[str, Any]]:
        """For the state of a run."""
        return [fault._asdict() for fault in self]
