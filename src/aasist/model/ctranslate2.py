"""CTranslate2's model files, as faster-whisper publishes Whisper in: names and arrays behind a short head, no code."""

from __future__ import annotations

import math
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

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

    ``specification`` is the kind of model that the file must be of (``WhisperSpec``). What goes by another name, such as a
    decoder, is passed over unread. Raises `ModelError` for anything else.
    """
    try:
        with path.open("rb") as file:
            return _variables(_Reader(file), specification, prefix)
    except OSError as error:
        raise ModelError("encoder", f"{path}: cannot be read: {error.strerror or error}") from error
    except (struct.error, UnicodeDecodeError, ValueError) as error:
        raise ModelError("encoder", f"{path}: not a model file of CTranslate2, or cut short: {error}") from error
    except ModelError as error:
        raise ModelError("encoder", f"{path}: {error.message}") from error


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self.file, self.left = file, os.fstat(file.fileno()).st_size

    def number(self, form: str) -> int:
        (value,) = struct.unpack(f"<{form}", self.bytes(struct.calcsize(f"<{form}")))
        return int(value)

    def text(self) -> str:
        """Its length in two bytes, a zero at its end."""
        return self.bytes(self.number("H")).decode().removesuffix("\0")

    def bytes(self, length: int) -> bytes:
        self._take(length)
        return self.file.read(length)

    def skip(self, length: int) -> None:
        self._take(length)
        self.file.seek(length, os.SEEK_CUR)

    def _take(self, length: int) -> None:
        if length > self.left:
            raise ValueError(f"{length:,} bytes are wanted, {self.left:,} are left")
        self.left -= length


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
        kind, size = reader.number("B"), reader.number("I")
        if not name.startswith(prefix):
            reader.skip(size)
            continue
        if kind not in DTYPES:
            raise ModelError("encoder", f"{name} is of type {kind}; known: float32, float16 and whole numbers")
        if size != math.prod(shape) * DTYPES[kind].itemsize:
            raise ValueError(f"{name} of shape {shape} has {size:,} bytes")
        values = np.frombuffer(reader.bytes(size), DTYPES[kind]).reshape(shape)
        wide = values.astype(np.float32) if values.dtype.kind == "f" else values.astype(np.int64)
        tensors[name.removeprefix(prefix)] = torch.from_numpy(wide)
    return tensors
