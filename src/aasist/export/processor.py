"""Whether int8 products saturate on this processor: asked of ONNX Runtime itself, by a convolution that would show it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FULL_BITS, REDUCED_BITS = 8, 7
"""Of a weight. AVX2 adds two products of a uint8 and an int8 in 16 bits: 2 x 255 x 127 is above 32,767, 2 x 255 x 64 is
not. Processors with VNNI (and ARM's) add in 32 bits."""

CHANNELS, WIDTH, EXPECTED = 16, 32, 200


@cache
def saturates(bits: int = FULL_BITS) -> bool:
    """Whether a convolution with the largest weights of ``bits`` on the largest activations comes out too small here."""
    return int(_largest_sum(bits).min()) < EXPECTED


def weight_bits() -> int:
    """The most bits a weight may have here without saturation."""
    return REDUCED_BITS if saturates() else FULL_BITS


def _largest_sum(bits: int) -> NDArray[np.uint8]:
    """What should be `EXPECTED` everywhere: a convolution of 255 with weights of 127 or 64, scaled to it."""
    top = 127 if bits == FULL_BITS else 64
    whole = CHANNELS * 3 * 255 * top
    constants: dict[str, NDArray[Any]] = {
        "one": np.array(1, np.float32),
        "zero": np.array(0, np.uint8),
        "weight": np.full((CHANNELS, CHANNELS, 1, 3), top, np.int8),
        "weight_zero": np.array(0, np.int8),
        "scale": np.array(whole / EXPECTED, np.float32),
    }
    convolution = helper.make_node(
        "QLinearConv", ["x", "one", "zero", "weight", "one", "weight_zero", "scale", "zero"], ["y"], kernel_shape=[1, 3]
    )
    shape = [1, CHANNELS, 1, WIDTH]
    graph = helper.make_graph(
        [convolution],
        "largest",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, [1, CHANNELS, 1, WIDTH - 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(proto)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.full(shape, 255, np.uint8)})
    return np.asarray(found)
