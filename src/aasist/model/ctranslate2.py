"""CTranslate2's model files, as faster-whisper publishes Whisper in: names and arrays behind a short head, no code."""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aasist.errors import ModelError

VERSION = 6
"""Of the format; the one that is read here."""
DTYPES: dict[int, np.dtype[Any]] = {
    0: np.dtype("<f4"),
    1: np.dtype("i1"),
    2: np.dtype("<i2"),
    3: np.dtype("<i4"),
    4: np.dtype("<f2"),
}
"""Numbers of the types, as the format counts them; bfloat16 (5) is none of NumPy's."""
MOST_DIMENSIONS = 8


def read(path: Path, specification: str, prefix: str) -> dict[str, Tensor]:
    """Those variables of a file whose names begin with ``prefix``, without it; float16 as float32.

    ``specification`` is the kind of model that the file must be of (``WhisperSpec``). Raises `ModelError` for anything else.
    """
    content = path.read_bytes()
    try:
        return _variables(_Reader(content), specification, prefix)
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        raise ModelError("encoder", f"{path}: not a model file of CTranslate2, or cut short: {error}") from error
    except ModelError as error:
        raise ModelError("encoder", f"{path}: {error.message}") from error


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.place = memoryview(content), 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(f"<{form}", self.content, self.place)
        self.place += struct.calcsize(form)
        return int(value)

    def text(self) -> str:
        """Its length in two bytes, a zero at its end."""
        return bytes(self.bytes(self.number("H"))).decode().removesuffix("\0")

    def bytes(self, length: int) -> memoryview:
        part = self.content[self.place : self.place + length]
        if len(part) != length:
            raise ValueError(f"{length:,} bytes are wanted, {len(part):,} are left")
        self.place += length
        return part


def _variables(reader: _Reader, specification: str, prefix: str) -> dict[str, Tensor]:
    version, found, _ = reader.number("I"), reader.text(), reader.number("I")
    if version != VERSION or found != specification:
        raise ModelError(
            "encoder", f"wanted {specification} in version {VERSION} of the format, got {found} in {version}"
        )
    tensors = {}
    for _ in range(reader.number("I")):
        name, rank = reader.text(), reader.number("B")
        if rank > MOST_DIMENSIONS:
            raise ValueError(f"{name} has {rank} dimensions")
        shape = [reader.number("I") for _ in range(rank)]
        kind, payload = reader.number("B"), reader.bytes(reader.number("I"))
        if not name.startswith(prefix):
            continue
        if kind not in DTYPES:
            raise ModelError("encoder", f"{name} is of type {kind}; known: float32, float16 and whole numbers")
        if len(payload) != math.prod(shape) * DTYPES[kind].itemsize:
            raise ValueError(f"{name} of shape {shape} has {len(payload):,} bytes")
        values = np.frombuffer(payload, DTYPES[kind]).reshape(shape)
        wide = values.astype(np.float32) if values.dtype.kind == "f" else values.astype(np.int64)
        tensors[name.removeprefix(prefix)] = torch.from_numpy(wide)
    return tensors
