"""Linear fusion of several countermeasures' scores: their mean, weights of one's own, or those that minimise Cllr."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from aasist.evaluation.calibration import regressed
from aasist.evaluation.tally import Float64


@dataclass(frozen=True)
class Fusion:
    """``fused = sum of weight x score + offset`` over systems, in their order."""

    weights: tuple[float, ...]
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not self.weights or not all(map(math.isfinite, (*self.weights, self.offset))) or not any(self.weights):
            raise ValueError(f"weights must be finite numbers, not all of them 0, got {_shown(self.weights)}")

    def of(self, scores: Sequence[ArrayLike]) -> Float64:
        """Scores (N,) of each system -> fused scores (N,). Raises ``ValueError`` for another number of systems."""
        if len(scores) != len(self.weights):
            raise ValueError(f"the fusion is of {len(self.weights)} systems, got scores of {len(scores)}")
        return np.asarray(np.stack([np.asarray(of, np.float64) for of in scores], axis=1) @ self.weights + self.offset)

    def to_json(self) -> str:
        """One line that ``from_json`` reads back to the bit."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Fusion:
        """``ValueError`` for what `to_json` does not write."""
        values: Any = json.loads(text)
        if not isinstance(values, dict) or set(values) != {"weights", "offset"}:
            raise ValueError("expected an object with 'weights' and 'offset'")
        weights, offset = values["weights"], values["offset"]
        if not isinstance(weights, list) or not all(map(_is_number, [*weights, offset])):
            raise ValueError("'weights' must be a list of numbers and 'offset' a number")
        return cls(tuple(map(float, weights)), float(offset))


def mean_of(weights: Sequence[float]) -> Fusion:
    """The mean of systems whose weights these are, 0 or more; they count by their ratio. Raises ``ValueError``."""
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not sum(weights) > 0:
        raise ValueError(f"weights must be 0 or more, not all of them 0, got {_shown(weights)}")
    return Fusion(tuple(weight / sum(weights) for weight in weights))


def fit_fusion(bonafide: Sequence[ArrayLike], spoof: Sequence[ArrayLike]) -> Fusion:
    """Scores (N,) and (M,) of each system -> the fusion whose result, read as llr, has the least Cllr on them.

    Logistic regression at a prior of 0.5, as Brümmer et al., "Fusion of heterogeneous speaker recognition systems",
    TASLP 2007, and the BOSARIS toolkit have it. A weight may be negative: a system may be worth something
    for what it has in common with another's errors. Raises ``ValueError`` when a class is empty, or a score not finite.
    """
    positive, negative = (np.stack([np.asarray(of, np.float64) for of in side], axis=1) for side in (bonafide, spoof))
    if not len(positive) or not len(negative):
        raise ValueError("fusion needs trials of both classes")
    scores = np.concatenate([positive, negative])
    if not np.isfinite(scores).all():
        raise ValueError("fusion needs finite scores")
    weights, offset = regressed(scores, len(positive))
    return Fusion(tuple(weights.tolist()), offset)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(weights: Sequence[float]) -> str:
    return ", ".join(f"{weight:g}" for weight in weights) or "none"
