"""Layers of a graph: which nodes are rounded together, and what kind each is."""

from __future__ import annotations

from pathlib import Path

import onnx

from aasist.export.layers import GraphLayer, graph_layers, named, of_kind
from aasist.model.aasist import Aasist


def of(path: Path) -> tuple[GraphLayer, ...]:
    return graph_layers(named(onnx.load(str(path))))


def test_each_convolution_of_the_encoder_is_a_layer_of_its_own(small_onnx: Path, small_model: Aasist) -> None:
    """Of the first block two have one input channel; the names are the checkpoint's."""
    found = {layer.name: layer for layer in of(small_onnx)}
    weights = {
        name.removeprefix("encoder.").removesuffix(".weight"): weight.numel()
        for name, weight in small_model.named_parameters()
        if weight.ndim == 4
    }
    assert {name: layer.weights for name, layer in found.items() if name in weights} == weights
    narrow = {"blocks.0.conv1", "blocks.0.shortcut"}
    assert {layer.name for layer in of_kind(found.values(), "narrow")} == narrow
    assert {layer.name for layer in of_kind(found.values(), "convolution")} == set(weights) - narrow
    assert all(len(found[name].nodes) == 1 for name in weights)


def test_sinc_graph_layers_and_readout_are_a_layer_each_and_no_node_is_in_two(small_onnx: Path) -> None:
    layers = of(small_onnx)
    for kind in ("sinc", "graph", "readout"):
        (layer,) = of_kind(layers, kind)
        assert layer.name == kind
        assert layer.weights > 0
    nodes = [node for layer in layers for node in layer.nodes]
    assert len(nodes) == len(set(nodes))
    proto = onnx.load(str(small_onnx))
    constants = {tensor.name for tensor in proto.graph.initializer}
    weighted = [n for n in proto.graph.node if n.op_type in ("Conv", "MatMul", "Gemm") and set(n.input[:2]) & constants]
    assert len(nodes) == len(weighted)


def test_nodes_without_a_name_or_with_that_of_another_get_their_own(small_onnx: Path) -> None:
    proto = onnx.load(str(small_onnx))
    expected = [(layer.name, len(layer.nodes)) for layer in graph_layers(named(proto))]
    for number, node in enumerate(proto.graph.node):
        node.name = "" if number % 2 else "same"
    copy = named(proto)
    assert len({node.name for node in copy.graph.node}) == len(copy.graph.node)
    assert [(layer.name, len(layer.nodes)) for layer in graph_layers(copy)] == expected
    assert proto.graph.node[1].name == ""


def test_a_graph_without_convolutions_has_no_layers(loudness_onnx: Path) -> None:
    assert of(loudness_onnx) == ()
