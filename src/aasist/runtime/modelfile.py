"""Model files: ONNX with what a verdict needs in their own metadata, and a digest over all of it.

The light install has no ``onnx`` package: `aasist.runtime.wire` walks the file.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import UnionType

from aasist import files
from aasist.errors import ModelError
from aasist.runtime import wire
from aasist.runtime.points import NamedPoint
from aasist.session import SAMPLE_RATE, WINDOW_SAMPLES

NOTES_KEY = "aasist"
DIGEST_KEY = "aasist.digest"
FORMAT = 1
"""Version of the notes; a file with a newer one needs a newer ``aasist``."""
MOST_BYTES = 1 << 30
_FIRST_BYTE = b"\x08"
"""Of every ONNX file in use: its first field is the version of the format."""
MOST_WINDOW_SAMPLES = 1 << 24
"""17 minutes; a batch of such windows still fits into memory."""
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
    format: int = FORMAT

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, _KINDS[str(field.type)]) or isinstance(value, bool):
                raise ModelError("model", f"the model's {field.name} must be {field.type}, got {value!r}")
        expected = {
            "sample_rate": self.sample_rate == SAMPLE_RATE,
            "pooling": self.pooling == "mean",
            "precision": self.precision in PRECISIONS,
        }
        for key, met in expected.items():
            if not met:
                raise ModelError("model", f"this version cannot run a model with {key} {getattr(self, key)!r}")
        if self.format > FORMAT:
            raise ModelError("model", f"the model file has format {self.format}, newer than {FORMAT}: update aasist")
        if len({point.name for point in self.points}) != len(self.points):
            raise ModelError("model", "two operating points of the model have one name")
        if not 0 < self.hop_samples <= self.window_samples <= MOST_WINDOW_SAMPLES or not _is_finite(self.threshold):
            raise ModelError(
                "model",
                f"the hop must be above 0 and at most a window, a window at most {MOST_WINDOW_SAMPLES:,} samples and the "
                f"threshold finite, got {self.hop_samples}, {self.window_samples} and {self.threshold}",
            )

    def threshold_of(self, name: str) -> float:
        """The threshold of the operating point ``name``; ``ModelError`` ``unknown_point`` where there is none."""
        for point in self.points:
            if point.name == name:
                return point.threshold
        has = ", ".join(point.name for point in self.points) or "none: calibrate it first"
        raise ModelError("unknown_point", f"{self.name} has no operating point {name!r}; it has {has}")

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelNotes:
        """Read ``to_json``'s line; raises ``ModelError`` if a key is unknown or of another type."""
        try:
            values = json.loads(text)
            if not isinstance(values, dict) or set(values) - {field.name for field in fields(cls)}:
                raise ModelError("model", "the model's metadata has keys that this version does not know")
            if values.get("calibration") is not None:
                values["calibration"] = Calibration(**values["calibration"])
            points = values.get("points", [])
            if not isinstance(points, list):
                raise ModelError("model", f"the model's points must be a list, got {points!r}")
            values["points"] = tuple(map(NamedPoint.from_json, points))
            return cls(**values)
        except (ValueError, TypeError, RecursionError) as error:
            raise ModelError("model", f"the model's metadata cannot be read: {error}") from error


_KINDS: dict[str, type | UnionType] = {
    "str": str,
    "int": int,
    "float": int | float,
    "Calibration | None": Calibration | None,
    "tuple[NamedPoint, ...]": tuple,
}


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= sys.float_info.max


def write(path: Path | str, onnx: bytes, notes: ModelNotes) -> str:
    """Put ``notes`` and a digest into ONNX bytes, replacing what was there, and write them -> the file's sha256.

    The file is there whole or not at all. A link stays one: what it leads to is replaced. ``ModelError`` where the bytes
    are not ONNX or the file cannot be written.
    """
    content = with_notes(onnx, notes)
    try:
        files.write(path, content)
    except OSError as error:
        raise ModelError("output", f"{path}: cannot be written: {error.strerror or error}") from error
    return hashlib.sha256(content).hexdigest()


def with_notes(onnx: bytes, notes: ModelNotes) -> bytes:
    """ONNX bytes with ``notes`` and the digest as their metadata entries; ``ModelError`` if they are not ONNX."""
    bare = b"".join(raw for key, raw in _entries(onnx) if key not in (NOTES_KEY, DIGEST_KEY))
    noted = bare + _metadata_entry(NOTES_KEY, notes.to_json())
    return noted + _metadata_entry(DIGEST_KEY, digest(noted))


def digest(onnx: bytes) -> str:
    """SHA-256 over every field of the file, but the digest's own entry."""
    sha = hashlib.sha256()
    for key, raw in _entries(onnx):
        if key != DIGEST_KEY:
            sha.update(raw)
    return sha.hexdigest()


def read(path: Path) -> tuple[bytes, ModelNotes]:
    """A model file's bytes and notes; ``ModelError`` if it is not ours, was altered, or cannot be read."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ModelError("model", f"{path}: over {MOST_BYTES >> 20} MiB: not a model of ours")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError("unknown_model", f"{path}: cannot be read: {error.strerror}") from error
    try:
        return content, notes_of(content)
    except ModelError as error:
        if error.code == "model" and content[:1] != _FIRST_BYTE:
            raise ModelError("model", f"{path}: not an ONNX file: make one with 'aasist export'") from error
        raise ModelError(error.code, f"{path}: {error.message}") from error


def notes_of(content: bytes) -> ModelNotes:
    """The notes in a model file's bytes; ``ModelError`` if it is not ours or was altered."""
    metadata = {key: _value(raw) for key, raw in _entries(content) if key in (NOTES_KEY, DIGEST_KEY)}
    if wire.has_external_data(content):
        raise ModelError("model", "its weights lie in another file, which no digest covers: export it again")
    if set(metadata) != {NOTES_KEY, DIGEST_KEY}:
        raise ModelError("foreign_model", "not a model of ours: make one with 'aasist export'")
    if metadata[DIGEST_KEY] != digest(content):
        raise ModelError("altered_model", "the file was altered after it was made: its digest does not match")
    return ModelNotes.from_json(metadata[NOTES_KEY])


def _entries(onnx: bytes) -> Iterator[tuple[str | None, bytes]]:
    """Each top-level field with its raw bytes, and its key where it is a metadata entry."""
    for field in wire.fields(onnx):
        is_metadata = field.number == wire.METADATA and field.payload is not None
        yield (wire.strings(field.payload)[0] if is_metadata and field.payload is not None else None), field.raw


def _value(raw: bytes) -> str:
    (entry,) = wire.fields(raw)
    assert entry.payload is not None
    return wire.strings(entry.payload)[1]


def _metadata_entry(key: str, value: str) -> bytes:
    return wire.message(wire.METADATA, wire.message(1, key.encode()) + wire.message(2, value.encode()))
