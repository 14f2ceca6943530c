"""Weights in an ONNX file, read and changed where they lie: no library is needed for that.

The file is a message of protocol buffers: a ``ModelProto`` whose field 7 is the graph, whose fields 5 are its weights, each
a ``TensorProto`` of sizes (1), type (2; 1 is float32) and little-endian values (9). (onnx.proto; protobuf.dev, Encoding.)
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from aasist.corpus.engine import EngineError
from aasist.session import Float32

GRAPH, WEIGHTS, SIZES, TYPE, VALUES = 7, 5, 1, 2, 9
FLOAT32 = 1


def weights(model: bytearray) -> Iterator[Float32]:
    """Each array of float32 weights, in the file's order; what is written into one is written into ``model``.

    Raises `EngineError` for what is no such file.
    """
    for _, graph, end in _fields(model, 0, len(model), GRAPH):
        for _, first, last in _fields(model, graph, end, WEIGHTS):
            kind = next((value for value, *_ in _fields(model, first, last, TYPE)), 0)
            place = next(((at, to) for _, at, to in _fields(model, first, last, VALUES)), None)
            if kind == FLOAT32 and place is not None:
                sizes = _sizes(model, first, last)
                values = np.frombuffer(memoryview(model)[place[0] : place[1]], "<f4")
                if values.size != np.prod(sizes, dtype=np.int64):
                    raise EngineError(f"weights of the sizes {sizes} are {values.size} values: not an ONNX file")
                yield values.reshape(sizes)


def _sizes(model: bytearray, first: int, last: int) -> tuple[int, ...]:
    """Sizes may come one by one or packed."""
    found: list[int] = []
    for value, at, end in _fields(model, first, last, SIZES):
        if at == end:
            found.append(value)
        place = at
        while place < end:
            size, place = _varint(model, place, end)
            found.append(size)
    return tuple(found)


def _fields(model: bytearray, at: int, end: int, wanted: int) -> Iterator[tuple[int, int, int]]:
    """Of the fields in [at, end) with that number: (its value, end, end) of a number, (0, begin, end) of bytes."""
    while at < end:
        key, at = _varint(model, at, end)
        value, begin = 0, at
        match key & 7:  # number, eight bytes, bytes with their count, four bytes
            case 0:
                value, at = _varint(model, at, end)
                begin = at
            case 1:
                at += 8
            case 2:
                size, begin = _varint(model, at, end)
                at = begin + size
            case 5:
                at += 4
            case kind:
                raise EngineError(f"a field of the kind {kind} at byte {at}: not an ONNX file")
        if at > end:
            raise EngineError(f"a field ends at byte {at}, behind the {end} there are: not an ONNX file")
        if key >> 3 == wanted:
            yield value, begin, at


def _varint(model: bytearray, at: int, end: int) -> tuple[int, int]:
    """Seven bits a byte, the lowest first -> the number, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= end:
            break
        byte = model[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    raise EngineError(f"a number at byte {at} has no end: not an ONNX file")
