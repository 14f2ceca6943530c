"""Operating points that a model file carries by name, so that a user can choose by what an error costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from aasist.errors import ModelError

Rates = tuple[float, float]


@dataclass(frozen=True)
class NamedPoint:
    """A threshold on llr, the rule that chose it, and the error rates it gave on the trials it was chosen on, each with
    its 95 % interval: ``miss`` of bona fide rejected, ``false_acceptance`` of spoofs accepted, from 0 to 1."""

    name: str
    threshold: float
    rule: str
    miss: float
    miss_interval: Rates
    false_acceptance: float
    false_acceptance_interval: Rates

    def __post_init__(self) -> None:
        """Raises ``ModelError``: a model file comes from anywhere."""
        if not (isinstance(self.name, str) and self.name and self.name.isprintable() and isinstance(self.rule, str)):
            raise ModelError("model", f"an operating point must have a name and a rule, got {self.name!r}")
        if not _is_number(self.threshold) or not math.isfinite(self.threshold):
            raise ModelError("model", f"the threshold of {self.name!r} must be a finite number, got {self.threshold!r}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_interval"):
                fits = isinstance(value, tuple) and len(value) == 2 and all(map(_is_share, value))
                wanted = "two shares from 0 to 1"
            elif field.name in {"miss", "false_acceptance"}:
                fits, wanted = _is_share(value), "a share from 0 to 1"
            else:
                continue
            if not fits:
                raise ModelError("model", f"{field.name} of {self.name!r} must be {wanted}, got {value!r}")

    @classmethod
    def from_json(cls, values: object) -> NamedPoint:
        """Of the object that ``dataclasses.asdict`` gave; raises ``ModelError`` for anything else."""
        known = {field.name for field in fields(cls)}
        if not isinstance(values, dict) or set(values) != known:
            raise ModelError("model", f"an operating point must be an object with {', '.join(sorted(known))}")
        given: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in values.items()}
        return cls(**given)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_share(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
