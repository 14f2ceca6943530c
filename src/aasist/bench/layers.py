"""The layers of a model file: which of its nodes belong to the front, to which residual block, to the graphs.

The exporter keeps the names of weights, and a node belongs to where its weights do; one without weights belongs to the
furthest of what it reads. The light install has no ``onnx``: `aasist.wire` walks the file.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from aasist import wire

FRONT, GRAPHS = 0, 1 << 16
"""Places along the model, with those of the blocks, from 1, between them."""

_BLOCK = re.compile(r"\bencoder\.blocks\.(\d+)\.")
_BEFORE = re.compile(r"\b(sinc|front|speech_encoder)\.|\bencoder\.norm\b")
_BEHIND = re.compile(r"\b(spectral|temporal)_(position|attention|pool)\b|\b(branches|context|prosody|out)\.")
"""Names of weights in the front, in the blocks, in the graphs."""
_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_INPUT, _OUTPUT, _NODE_NAME, _KIND = 1, 2, 3, 4
_DIMS, _TENSOR_NAME = 1, 8
"""Field numbers of onnx.proto: ModelProto, GraphProto, NodeProto, TensorProto."""


@dataclass
class Layers:
    """Where each node of a file belongs, by its own name and by the names of what it gives."""

    places: dict[str, int] = field(default_factory=dict)
    kernels: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """The shape of the weight that a node multiplies by, of those that have one."""

    def known(self, name: str) -> str | None:
        """The name in the file behind what a runtime calls a node of its optimised graph; None for one it added.

        ONNX Runtime says ``getitem_6_nchwc``, OpenVINO ``node_Conv_875/WithoutBiases``.
        """
        if name in self.places:
            return name
        for end in reversed([match.start() for match in re.finditer(r"[/_]", name)]):
            if name[:end] in self.places:
                return name[:end]
        return None


def name_of(place: int) -> str:
    """``front``, ``block 1``, ..., ``graphs``."""
    return {FRONT: "front", GRAPHS: "graphs"}.get(place, f"block {place}")


def layers_of(model: bytes) -> Layers:
    """The layers of an ONNX file; `ModelError` where the bytes are none."""
    graphs = [part.payload for part in wire.fields(model) if part.number == _GRAPH and part.payload is not None]
    parts = [part for graph in graphs for part in wire.fields(graph) if part.payload is not None]
    found = Layers()
    place: dict[str, int] = {}
    shape: dict[str, tuple[int, ...]] = {}
    for name, dims in (_tensor(part.payload) for part in parts if part.number == _INITIALIZER):
        shape[name] = dims
        named = _place(name)
        if named is not None:
            place[name] = named
    for inputs, outputs, name, kind in (_node(part.payload) for part in parts if part.number == _NODE):
        at = max((place[read] for read in inputs if read in place), default=FRONT)  # nodes come in the order of data
        if kind == "ReduceMax" and at > FRONT:
            at = GRAPHS  # maxima over bands or time of the last block's maps are the nodes of the graphs
        kernel = next((shape[read] for read in inputs[1:] if len(shape.get(read, ())) > 1), None)
        if len(inputs) >= 1 and inputs[0] in shape and all(read in shape or not read for read in inputs):
            # Weights on their way, such as from int8 to float: what they become has their shape.
            shape.update(dict.fromkeys(outputs, shape[inputs[0]]))
        for known in (name, *outputs):
            place[known] = found.places[known] = at
            if kernel is not None:
                found.kernels[known] = kernel
    return found


def convolution_gflop(kernel: Sequence[int], output: Sequence[int]) -> float:
    """Of a kernel (out, in, ...) and an output of any layout; a multiplication and an addition are two."""
    channels, *each = kernel
    # Filled up to a multiple of what the processor takes at once: what is computed there is nobody's work.
    told = channels if channels in (output[1], output[-1]) else output[1]
    return 2 * math.prod(output) / told * channels * math.prod(each) / 1e9


def product_gflop(left: list[int], output: list[int]) -> float:
    """Of a matrix product with ``left`` (..., M, K) or (..., K, M) and ``output`` (..., M, N)."""
    if len(left) < 2 or len(output) < 2 or not output[-2]:
        return 2 * math.prod(left or [0]) * (output[-1] if output else 0) / 1e9
    return 2 * math.prod(output) * (left[-1] * left[-2] // output[-2]) / 1e9


def _place(name: str) -> int | None:
    block = _BLOCK.search(name)
    if block is not None:
        return 1 + int(block[1])
    if _BEFORE.search(name):
        return FRONT
    return GRAPHS if _BEHIND.search(name) else None


def _text(payload: bytes | None) -> str:
    return (payload or b"").decode(errors="replace")


def _node(message: bytes | None) -> tuple[list[str], list[str], str, str]:
    """Inputs, outputs, name, operator."""
    assert message is not None
    inputs, outputs, name, kind = [], [], "", ""
    for part in wire.fields(message):
        if part.number == _INPUT:
            inputs.append(_text(part.payload))
        elif part.number == _OUTPUT:
            outputs.append(_text(part.payload))
        elif part.number == _NODE_NAME:
            name = _text(part.payload)
        elif part.number == _KIND:
            kind = _text(part.payload)
    return inputs, outputs, name, kind


def _tensor(message: bytes | None) -> tuple[str, tuple[int, ...]]:
    """Name and shape."""
    assert message is not None
    name, dims = "", []
    for part in wire.fields(message):
        if part.number == _TENSOR_NAME:
            name = _text(part.payload)
        elif part.number == _DIMS:
            # Behind a tag of one byte; packed, many of them, or one.
            dims += wire.varints(part.raw[1:] if part.payload is None else part.payload)
    return name, tuple(dims)
