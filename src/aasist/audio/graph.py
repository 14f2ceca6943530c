"""ONNX graphs put together node by node, for what a packaged file computes in too slow a form.

The light install has no ``onnx`` package: `aasist.wire` writes the fields. Numbers of fields and kinds are those of
onnx.proto (IR version 8).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from aasist import wire

IR_VERSION, OPSET = 8, 18
_KINDS = {np.dtype(np.float32): 1, np.dtype(np.int64): 7}
_ATTRIBUTE_INT = 2

Array = NDArray[np.float32] | NDArray[np.int64]
Kind = tuple[type, int]
"""np.float32 or np.int64, and how many dimensions, of any size."""


class Graph:
    """A graph that grows: each method gives the names of what it added."""

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._constants: list[bytes] = []
        self._named: dict[tuple[object, ...], str] = {}

    def constant(self, array: Array) -> str:
        """An array that the graph holds, once however often it is asked for."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._named:
            self._named[key] = f"constant_{len(self._named)}"
            self._constants.append(_tensor(self._named[key], array))
        return self._named[key]

    def add(self, operator: str, *inputs: str, **attributes: int) -> str:
        """An operator with one output."""
        (name,) = self.add_named(operator, inputs, [f"value_{len(self._nodes)}"], **attributes)
        return name

    def add_named(
        self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: int
    ) -> Sequence[str]:
        """An operator whose outputs are to have these names; an empty name leaves an input out."""
        parts = [wire.message(1, name.encode()) for name in inputs]
        parts += [wire.message(2, name.encode()) for name in outputs]
        parts.append(wire.message(4, operator.encode()))
        for name, value in attributes.items():
            attribute = wire.message(1, name.encode()) + wire.whole_number(3, value)
            parts.append(wire.message(5, attribute + wire.whole_number(20, _ATTRIBUTE_INT)))
        self._nodes.append(b"".join(parts))
        return outputs

    def columns(self, source: str, first: int, last: int) -> str:
        """Columns ``first`` to ``last`` (not included) of a matrix."""
        ends = (self.constant(np.array([number], np.int64)) for number in (first, last, 1))
        return self.add("Slice", source, *ends)

    def to_onnx(self, inputs: Mapping[str, Kind], outputs: Mapping[str, Kind]) -> bytes:
        """The bytes of an ONNX file, which takes and gives what these names are."""
        parts = [wire.message(1, each) for each in self._nodes]
        parts.append(wire.message(2, b"graph"))
        parts += [wire.message(5, each) for each in self._constants]
        parts += [wire.message(11, _value(name, *kind)) for name, kind in inputs.items()]
        parts += [wire.message(12, _value(name, *kind)) for name, kind in outputs.items()]
        operators = wire.message(1, b"") + wire.whole_number(2, OPSET)
        return wire.whole_number(1, IR_VERSION) + wire.message(7, b"".join(parts)) + wire.message(8, operators)


def _tensor(name: str, array: Array) -> bytes:
    parts = [wire.whole_number(1, size) for size in array.shape]
    parts += [wire.whole_number(2, _KINDS[array.dtype]), wire.message(8, name.encode())]
    little = array.astype(array.dtype.newbyteorder("<"))
    return b"".join([*parts, wire.message(9, little.tobytes())])


def _value(name: str, kind: type, dimensions: int) -> bytes:
    shape = wire.message(1, b"") * dimensions
    tensor = wire.whole_number(1, _KINDS[np.dtype(kind)]) + wire.message(2, shape)
    return wire.message(1, name.encode()) + wire.message(2, wire.message(1, tensor))
