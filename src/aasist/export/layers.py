"""Layers of an exported graph that int8 can take: each convolution of the encoder alone, and sinc, graph layers and
readout as one layer each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import onnx

Kind = Literal["convolution", "narrow", "sinc", "graph", "readout"]

WITH_WEIGHTS = ("Conv", "MatMul", "Gemm")

NARROW_CHANNELS = 4
"""A convolution of fewer input channels is ``narrow``: of one channel it took 6 to 8 times as long in int8, which gathers
patches for a matrix product, as in float, which does not (docs/log.md)."""


@dataclass(frozen=True)
class GraphLayer:
    """Nodes of the graph that are rounded together: their names, and how many weights they hold."""

    name: str
    kind: Kind
    nodes: tuple[str, ...]
    weights: int


def named(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every node has a name of its own, by which it can be picked."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    taken: set[str] = set()
    for number, node in enumerate(copy.graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{number}"
            while node.name in taken:
                node.name += "_"
        taken.add(node.name)
    return copy


def graph_layers(proto: onnx.ModelProto) -> tuple[GraphLayer, ...]:
    """The layers of a graph whose nodes are `named`, in the graph's order.

    What comes before the encoder's first convolution (one with a two-dimensional kernel) is the sinc layer, what comes
    after its last the graph layers, and what gives the logits the readout.
    """
    sizes = {tensor.name: (list(tensor.dims), _count(tensor.dims)) for tensor in proto.graph.initializer}
    # The sinc filters are multiplied from the left.
    holders = [
        (number, node, weight)
        for number, node in enumerate(proto.graph.node)
        if node.op_type in WITH_WEIGHTS
        for weight in [next((name for name in node.input[:2] if name in sizes), None)]
        if weight is not None
    ]
    convolutions = [number for number, node, weight in holders if node.op_type == "Conv" and len(sizes[weight][0]) == 4]
    if not convolutions:
        return ()
    last = _last(proto, [node for _, node, _ in holders])
    found: dict[str, tuple[Kind, list[str], int]] = {}
    for number, node, weight in holders:
        kind: Kind = "graph"
        name = _name_of(weight)
        if number in convolutions:
            kind = "narrow" if sizes[weight][0][1] < NARROW_CHANNELS else "convolution"
        elif number < convolutions[0]:
            kind = name = "sinc"
        elif node.name == last:
            kind = name = "readout"
        else:
            name = "graph"
        _, nodes, weights = found.get(name, (kind, [], 0))
        found[name] = (kind, [*nodes, node.name], weights + sizes[weight][1])
    return tuple(GraphLayer(name, kind, tuple(nodes), weights) for name, (kind, nodes, weights) in found.items())


def of_kind(layers: Iterable[GraphLayer], kind: Kind) -> tuple[GraphLayer, ...]:
    """Those of one kind, in their order."""
    return tuple(layer for layer in layers if layer.kind == kind)


def _name_of(weight: str) -> str:
    """``encoder.blocks.0.conv1.weight`` -> ``blocks.0.conv1``; a weight without such a name lends its own."""
    return weight.removesuffix(".weight").removeprefix("encoder.")


def _last(proto: onnx.ModelProto, holders: list[onnx.NodeProto]) -> str | None:
    """The node with weights that the logits come from last; a bias or a reshaping may follow it."""
    makers = {output: node for node in proto.graph.node for output in node.output}
    names = {node.name for node in holders}
    node = makers.get(proto.graph.output[0].name)
    while node is not None and node.name not in names:
        node = next((makers[name] for name in node.input if name in makers), None)
    return None if node is None else node.name


def _count(dims: Iterable[int]) -> int:
    product = 1
    for dim in dims:
        product *= dim
    return product
