"""Weights in float16: half the file, and the arithmetic of float32 on rounded weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aasist.errors import ModelError
from aasist.export.half import FEWEST_WEIGHTS, halved
from aasist.runtime.onnx import OnnxSession

from .test_onnx import noise


def test_every_large_weight_is_float16_and_the_logits_are_those_of_the_rounded_weights(small_onnx: Path) -> None:
    content = small_onnx.read_bytes()
    half = halved(content)
    proto = onnx.load_from_string(half)
    large = [t for t in proto.graph.initializer if np.prod(t.dims) >= FEWEST_WEIGHTS]
    assert large
    assert TensorProto.FLOAT not in {tensor.data_type for tensor in large}
    # The slow twin rounds in place and stores float32.
    twin = onnx.load_from_string(content)
    for tensor in twin.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= FEWEST_WEIGHTS:
            values = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    windows = noise(2, 8_000)
    of_half, of_twin, of_float = (
        OnnxSession(one, precision="fp16", threads=1).run(windows) for one in (half, twin.SerializeToString(), content)
    )
    np.testing.assert_array_equal(of_half, of_twin)
    assert 0 < np.abs(of_half - of_float).max() < 0.05
    stored = sum(len(tensor.raw_data) for tensor in large)
    assert stored == sum(2 * int(np.prod(tensor.dims)) for tensor in large)
    assert len(half) < len(content)


def test_a_weight_that_float16_cannot_hold_is_named(small_onnx: Path) -> None:
    proto = onnx.load(str(small_onnx))
    tensor = next(t for t in proto.graph.initializer if t.name == "encoder.blocks.1.conv2.weight")
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] = 1e5
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    with pytest.raises(ModelError, match=r"encoder\.blocks\.1\.conv2\.weight holds 1e\+05.*leave the model in fp32"):
        halved(proto.SerializeToString())


def test_steps_of_int8_stay_float32() -> None:
    """Of 1e-9 float16 would make 0."""
    scale = numpy_helper.from_array(np.full(FEWEST_WEIGHTS, 1e-9, np.float32), "scale")
    weight = numpy_helper.from_array(np.ones((FEWEST_WEIGHTS, 2), np.int8), "weight")
    graph = helper.make_graph(
        [helper.make_node("DequantizeLinear", ["weight", "scale"], ["y"], axis=0)],
        "g",
        [],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [FEWEST_WEIGHTS, 2])],
        [scale, weight],
    )
    proto = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    again = onnx.load_from_string(halved(proto.SerializeToString()))
    assert [tensor.data_type for tensor in again.graph.initializer] == [TensorProto.FLOAT, TensorProto.INT8]
