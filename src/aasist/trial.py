"""Trials: utterances to judge, as columns of one table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Strings = NDArray[Any]
"""Text (N,) of NumPy's variable-width type: a tenth of the memory of a list, and shared by forked workers untouched."""

Booleans = NDArray[np.bool_]

NO_ATTACK = "-"
"""What stands in the column ``attack`` of a bona fide trial, as in the challenges' protocols."""


def strings(values: Iterable[str]) -> Strings:
    """Text -> an array (N,) of `Strings`."""
    return np.array(list(values), dtype=np.dtypes.StringDType())


@dataclass(frozen=True, eq=False)
class Trials:
    """Trials of one corpus or subset, a row each.

    ``ids`` (N,) are unique. ``bonafide`` (N,) is the key, None where it is not known (an unlabelled evaluation set).
    ``columns`` holds whatever else is known, by name, each (N,): ``attack`` (the system that made a spoof, `NO_ATTACK`
    for bona fide), ``speaker``, ``path`` (of the audio, relative to the corpus's root), ``subset``, ``kind``,
    ``codec``, ``language``, ...; an empty text is an unknown value. ``source`` names the file that errors speak of.
    """

    ids: Strings
    bonafide: Booleans | None
    columns: Mapping[str, Strings] = field(default_factory=dict)
    source: str = "trials"

    def __post_init__(self) -> None:
        for name, column in {"bonafide": self.bonafide, **self.columns}.items():
            if column is not None and column.shape != self.ids.shape:
                raise ValueError(f"column {name!r} has shape {column.shape}, the ids {self.ids.shape}")

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: NDArray[Any]) -> Trials:
        """The trials at ``rows`` (indices, or a mask (N,)), in that order."""
        return Trials(
            self.ids[rows],
            None if self.bonafide is None else self.bonafide[rows],
            {name: column[rows] for name, column in self.columns.items()},
            self.source,
        )

    def where(self, column: str, value: str) -> Trials:
        """The trials whose ``column`` is ``value``."""
        return self.take(np.asarray(self.columns[column] == value))
