"""What a model file says of itself: all that a verdict needs beside the graph."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, fields, replace
from types import UnionType
from typing import Any

from aasist.errors import ModelError
from aasist.recipe import Architecture
from aasist.runtime.points import NamedPoint
from aasist.session import SAMPLE_RATE, WINDOW_SAMPLES

FORMAT = 1
"""Version of the notes; a file with a newer one needs a newer ``aasist``."""
MOST_WINDOW_SAMPLES = 1 << 24
"""17 minutes; a batch of such windows still fits into memory."""
FULL_BITS, REDUCED_BITS = 8, 7
"""Of an int8 weight (`aasist.runtime.saturation`)."""
PRECISIONS = ("fp32", "bf16", "fp16", "int8")


@dataclass(frozen=True)
class Calibration:
    """Affine, strictly increasing map from logit difference to llr: ``slope * (bona fide - spoof) + offset``."""

    slope: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not (_is_finite(self.slope) and _is_finite(self.offset) and self.slope > 0):
            raise ModelError("model", f"calibration must be finite with a positive slope, got {self}")


@dataclass(frozen=True)
class StatedFor:
    """What holds where a file is run in another precision than its own: scores move with it."""

    precision: str
    calibration: Calibration | None = None
    threshold: float = 0.0
    operating_point: str = ""
    points: tuple[NamedPoint, ...] = ()

    @classmethod
    def from_json(cls, values: object) -> StatedFor:
        """Of the object that ``dataclasses.asdict`` gave; raises ``ModelError`` for anything else."""
        if not isinstance(values, dict) or set(values) - {field.name for field in fields(cls)}:
            raise ModelError("model", f"what is stated for a precision must be an object that is known, got {values!r}")
        return cls(**_with_parts(values))


@dataclass(frozen=True)
class ModelNotes:
    """What a model file says of itself."""

    name: str
    version: str = "0"
    variant: str = "{}"
    """The architecture (``aasist.recipe``) as JSON."""
    precision: str = "fp32"
    sample_rate: int = SAMPLE_RATE
    window_samples: int = WINDOW_SAMPLES
    hop_samples: int = WINDOW_SAMPLES // 2
    calibration: Calibration | None = None
    """None: the scores are raw logit differences."""
    threshold: float = 0.0
    """On llr: a recording below it is called a spoof."""
    operating_point: str = ""
    """The rule that chose the threshold, and the rates it gave where it was chosen."""
    points: tuple[NamedPoint, ...] = ()
    """Other thresholds to choose from, by name."""
    pooling: str = "mean"
    """How the llr of a recording comes from those of its windows: ``mean``."""
    training: str = ""
    """Summary of the training data."""
    licence: str = ""
    quantised: str = ""
    """How weights and activations were rounded, which layers stayed float, and by what windows."""
    weight_bits: int = 0
    """Of the int8 weights; 0: it has none."""
    stated: tuple[StatedFor, ...] = ()
    """What holds in other precisions than ``precision``, for which calibration and thresholds above were chosen."""
    format: int = FORMAT

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, _KINDS[str(field.type)]) or isinstance(value, bool):
                raise ModelError("model", f"the model's {field.name} must be {field.type}, got {value!r}")
        self._check_stated()
        expected = {
            "sample_rate": self.sample_rate == SAMPLE_RATE,
            "pooling": self.pooling == "mean",
            "precision": self.precision in PRECISIONS,
            "weight_bits": self.weight_bits in (0, REDUCED_BITS, FULL_BITS),
        }
        for key, met in expected.items():
            if not met:
                raise ModelError("model", f"this version cannot run a model with {key} {getattr(self, key)!r}")
        if self.format > FORMAT:
            raise ModelError("model", f"the model file has format {self.format}, newer than {FORMAT}: update aasist")
        _require_one_name_each(self.points)
        if not 0 < self.hop_samples <= self.window_samples <= MOST_WINDOW_SAMPLES or not _is_finite(self.threshold):
            raise ModelError(
                "model",
                f"the hop must be above 0 and at most a window, a window at most {MOST_WINDOW_SAMPLES:,} samples and the "
                f"threshold finite, got {self.hop_samples}, {self.window_samples} and {self.threshold}",
            )

    def _check_stated(self) -> None:
        """Refuse what `at` could not keep to."""
        named = [self.precision, *(one.precision for one in self.stated)]
        if len(set(named)) < len(named) or not set(named) <= set(PRECISIONS):
            raise ModelError("model", f"each precision may be stated once, of {', '.join(PRECISIONS)}; got {named}")
        for one in self.stated:
            wrong = not isinstance(one.calibration, Calibration | None) or not isinstance(one.operating_point, str)
            if wrong or isinstance(one.threshold, bool) or not _is_finite(one.threshold):
                raise ModelError("model", f"what is stated for {one.precision} cannot be kept to: {one}")
            _require_one_name_each(one.points)

    @classmethod
    def of(cls, architecture: Architecture) -> ModelNotes:
        """What can be said of weights without being told more: windows overlap by half, and there is no calibration."""
        return cls(
            name=architecture.name,
            variant=architecture.to_json(),
            window_samples=architecture.window_samples,
            hop_samples=architecture.window_samples // 2,
        )

    def at(self, precision: str) -> ModelNotes:
        """The notes for a run in ``precision``: what is stated for it in the place of calibration, threshold and points; where
        nothing is, the notes as they are, whose ``precision`` then says what they were chosen for."""
        stated = next((one for one in self.stated if one.precision == precision), None)
        if stated is None:
            return self
        return replace(self, stated=(), precision=precision).stating(stated)

    def stating(self, stated: StatedFor) -> ModelNotes:
        """The notes with what was found in a precision, in the place of what they said of it before."""
        if stated.precision != self.precision:
            others = tuple(one for one in self.stated if one.precision != stated.precision)
            return replace(self, stated=(*others, stated))
        return replace(self, **{field.name: getattr(stated, field.name) for field in fields(stated)})

    def threshold_of(self, name: str) -> float:
        """The threshold of the operating point ``name``; ``ModelError`` ``unknown_point`` where there is none."""
        for point in self.points:
            if point.name == name:
                return point.threshold
        has = ", ".join(point.name for point in self.points) or "none: calibrate it first"
        raise ModelError("unknown_point", f"{self.name} has no operating point {name!r}; it has {has}")

    def to_json(self) -> str:
        """One line of JSON."""
        values = asdict(self)
        if not self.stated:  # so that older versions, which refuse what they do not know, read the file too
            del values["stated"]
        if not self.weight_bits:
            del values["weight_bits"]
        return json.dumps(values, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelNotes:
        """Read ``to_json``'s line; raises ``ModelError`` if a key is unknown or of another type."""
        try:
            values = json.loads(text)
            unknown = sorted(set(values) - {field.name for field in fields(cls)}) if isinstance(values, dict) else []
            if unknown or not isinstance(values, dict):
                what = ", ".join(unknown) or type(values).__name__
                raise ModelError(
                    "model", f"the model's metadata has keys that this version does not know ({what}): update aasist"
                )
            values["stated"] = tuple(map(StatedFor.from_json, _list(values, "stated")))
            return cls(**_with_parts(values))
        except (ValueError, TypeError, RecursionError) as error:
            raise ModelError("model", f"the model's metadata cannot be read: {error}") from error


def _with_parts(values: dict[str, Any]) -> dict[str, Any]:
    """Values with what is an object in JSON, the calibration and the points, as ours."""
    calibration, points = values.get("calibration"), _list(values, "points")
    return values | {
        "calibration": None if calibration is None else Calibration(**calibration),
        "points": tuple(map(NamedPoint.from_json, points)),
    }


def _list(values: dict[str, Any], key: str) -> list[Any]:
    found = values.get(key, [])
    if not isinstance(found, list):
        raise ModelError("model", f"the model's {key} must be a list, got {found!r}")
    return found


def _require_one_name_each(points: tuple[NamedPoint, ...]) -> None:
    if len({point.name for point in points}) != len(points):
        raise ModelError("model", "two operating points of the model have one name")


_KINDS: dict[str, type | UnionType] = {
    "str": str,
    "int": int,
    "float": int | float,
    "Calibration | None": Calibration | None,
    "tuple[NamedPoint, ...]": tuple,
    "tuple[StatedFor, ...]": tuple,
}


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max
