"""Protobuf's wire format, as far as ONNX needs it: numbered fields, some of which are messages.

The light install has neither ``onnx`` nor ``protobuf``. Field numbers are those of onnx.proto (IR version 10).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from aasist.errors import ModelError

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
METADATA, _OPSETS = 14, 8
"""``ModelProto.metadata_props``: a message of key (1) and value (2); ``opset_import``: of domain (1) and version (2)."""

_PARTS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Message -> its fields that may lead to a tensor, and what they are."""
_EXTERNAL = (13, 14)
"""``TensorProto.external_data`` and ``data_location``, whose only other value, 0, needs no field."""
_DEEPEST = 32


class Field(NamedTuple):
    """One field of a message: its number, its bytes with tag, and its payload where it has a length."""

    number: int
    raw: bytes
    payload: bytes | None


def fields(message: bytes) -> Iterator[Field]:
    """The fields of a message, in order; ``ModelError`` where the bytes are none."""
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        if tag >> 32:  # protobuf would cut it, and read another field than we do
            raise damaged("a field has a number that is too large")
        kind, payload = tag & 7, position
        if kind == VARINT:
            _, position = _varint(message, position)
        elif kind == BYTES:
            length, payload = _varint(message, position)
            position = payload + length
        elif kind in (FIXED64, FIXED32):
            position += 8 if kind == FIXED64 else 4
        else:
            raise damaged("there are bytes that no field begins with")
        if position > len(message):
            raise damaged("a field runs past the end")
        yield Field(tag >> 3, message[start:position], message[payload:position] if kind == BYTES else None)


def strings(entry: bytes) -> tuple[str, str]:
    """Key and value of a metadata entry's payload."""
    found = {1: b"", 2: b""}
    for field in fields(entry):
        if field.payload is None:
            raise damaged("a metadata entry is broken")
        found[field.number] = field.payload
    try:
        return found[1].decode(), found[2].decode()
    except UnicodeDecodeError as error:
        raise damaged("a metadata entry is no text") from error


def varints(packed: bytes) -> list[int]:
    """Whole numbers, one behind the other, as a shape is written."""
    numbers, position = [], 0
    while position < len(packed):
        number, position = _varint(packed, position)
        numbers.append(number)
    return numbers


def has_external_data(model: bytes) -> bool:
    """Whether any tensor of an ONNX model, in subgraphs too, keeps its data in another file."""
    waiting = [("model", model, 0)]
    while waiting:
        kind, message, depth = waiting.pop()
        if depth > _DEEPEST:
            raise damaged("its graphs are nested too deeply")
        for field in fields(message):
            if kind == "tensor":
                if field.number in _EXTERNAL:
                    return True
            elif field.payload is not None and field.number in _PARTS[kind]:
                waiting.append((_PARTS[kind][field.number], field.payload, depth + 1))
    return False


def opset(model: bytes) -> int | None:
    """Version of the standard operators that an ONNX model is written in; None where it names none."""
    for field in fields(model):
        if field.number != _OPSETS or field.payload is None:
            continue
        found = {part.number: part for part in fields(field.payload)}
        domain = found[1].payload if 1 in found else b""
        if domain in (b"", b"ai.onnx") and 2 in found:
            return _varint(found[2].raw, 1)[0]
    return None


def message(number: int, payload: bytes) -> bytes:
    """A field that holds ``payload``."""
    return _encoded(number << 3 | BYTES) + _encoded(len(payload)) + payload


def whole_number(number: int, value: int) -> bytes:
    """A field that holds ``value``, 0 or more."""
    return _encoded(number << 3 | VARINT) + _encoded(value)


def number(field: int, value: int) -> bytes:
    """A field that holds a whole number from 0."""
    return bytes([field << 3 | VARINT]) + _encoded(value)


def damaged(what: str) -> ModelError:
    """The error for bytes that are no ONNX file."""
    return ModelError(
        "model", f"not an ONNX file, or a damaged one: {what}; copy it anew, or make one with 'aasist export'"
    )


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A base-128 number -> its value and the position after it."""
    value = shift = 0
    while True:
        if position >= len(data):
            raise damaged("a number runs past the end")
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
        if shift > 63:
            raise damaged("a number is too long")


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
