"""The proof of parity in a model file: how far its logits lie from those of the model it was made from, and how that was
found. It names the graph that it is of by hash: of a graph that was changed since, it proves nothing."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any

from aasist.errors import ModelError
from aasist.runtime import modelfile

PARITY_KEY = "aasist.parity"


@dataclass(frozen=True)
class Case:
    """One comparison on seeded noise: ``batch`` waveforms of ``samples`` with standard deviation ``level``."""

    batch: int
    samples: int
    level: float
    difference: float
    """The largest of a logit."""


@dataclass(frozen=True)
class Parity:
    """What was compared with what, and how far apart they were at most."""

    reference: str
    """What the logits ought to be: ``torch``, or ``onnxruntime`` for a file that was made of an ONNX file."""
    runtime: str
    """What ran the file."""
    tolerance: float
    """Of the largest difference of a logit: beyond it no file is written."""
    cases: tuple[Case, ...]
    opset: int
    """Version of ONNX's operators in the graph, or in that which it was made of."""
    exporter: str
    versions: dict[str, str]
    """Package -> its version, of all that took part."""
    graph_sha256: str = ""
    """Of the graph that was compared, without metadata."""

    @property
    def largest_difference(self) -> float:
        """Of a logit, over all cases; NaN where one is."""
        differences = [case.difference for case in self.cases]
        return math.nan if any(map(math.isnan, differences)) else max(differences, default=0.0)

    def in_words(self) -> str:
        """One line for people."""
        lengths = sorted({case.samples for case in self.cases})
        batches = sorted({case.batch for case in self.cases})
        versions = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        return (
            f"within {self.largest_difference:.2g} of {self.reference} in {self.runtime} (limit {self.tolerance:g}), on "
            f"{len(self.cases)} inputs of {lengths[0]:,} to {lengths[-1]:,} samples in batches of "
            f"{', '.join(map(str, batches))}; opset {self.opset}, {self.exporter}; {versions}"
        )

    def to_json(self) -> str:
        """One line of JSON, with ``largest_difference`` beside the fields."""
        return json.dumps(
            {**asdict(self), "largest_difference": self.largest_difference}, sort_keys=True, allow_nan=False
        )

    @classmethod
    def from_json(cls, text: str) -> Parity:
        """Read ``to_json``'s line; ``ModelError`` for anything else."""
        try:
            values: dict[str, Any] = json.loads(text)
            values.pop("largest_difference", None)
            if set(values) != {field.name for field in fields(cls)}:
                raise ModelError("model", "the model's proof of parity has keys that this version does not know")
            values["cases"] = tuple(Case(**case) for case in values["cases"])
            found = cls(**values)
            found.in_words()  # every number is one, and there is a case
        except (ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError) as error:
            raise ModelError("model", f"the model's proof of parity cannot be read: {error}") from error
        return found


def graph_sha256(content: bytes) -> str:
    """SHA-256 over every field of an ONNX file but its metadata."""
    sha = hashlib.sha256()
    for key, raw in modelfile.entries(content):
        if key is None:
            sha.update(raw)
    return sha.hexdigest()


def with_parity(content: bytes, parity: Parity) -> bytes:
    """ONNX bytes with the proof as a metadata entry, in the place of an older one."""
    bare = b"".join(raw for key, raw in modelfile.entries(content) if key != PARITY_KEY)
    return bare + modelfile.metadata_entry(PARITY_KEY, parity.to_json())


def parity_of(content: bytes) -> Parity | None:
    """The proof in a model file's bytes; None where there is none, or it is of another graph."""
    texts = [modelfile.value(raw) for key, raw in modelfile.entries(content) if key == PARITY_KEY]
    if len(texts) != 1:
        return None
    parity = Parity.from_json(texts[0])
    return parity if parity.graph_sha256 == graph_sha256(content) else None
