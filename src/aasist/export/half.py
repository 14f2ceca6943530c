"""Weights in float16, for half the file: they are turned to float32 as the model is loaded, and the arithmetic is the same."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from aasist.errors import ModelError

FEWEST_WEIGHTS = 64
"""Of a tensor that is worth the node that turns it back."""

MARK = "_float16"


def halved(content: bytes) -> bytes:
    """ONNX bytes in which each large float32 constant is stored as float16, with a ``Cast`` to float32 behind it.

    ONNX Runtime folds the casts as it loads the file, so a run costs what it did before; the weights have 11 bits instead
    of 24. Raises ``ModelError`` ``precision`` where a weight is too large for float16 (above 65,504).
    """
    proto = onnx.load_from_string(content)
    # A step of int8 may be below what float16 can tell from 0.
    scales = {node.input[1] for node in proto.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")}
    casts = []
    for tensor in proto.graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or tensor.name in scales:
            continue
        values = numpy_helper.to_array(tensor)
        if values.size < FEWEST_WEIGHTS:
            continue
        with np.errstate(over="ignore"):
            rounded = values.astype(np.float16)
        if not np.isfinite(rounded).all():
            raise ModelError(
                "precision",
                f"the weight {tensor.name} holds {np.abs(values).max():.3g}, and float16 ends at 65,504: leave the model in fp32",
            )
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(rounded, name + MARK))
        casts.append(helper.make_node("Cast", [name + MARK], [name], name=f"{name}_cast", to=TensorProto.FLOAT))
    nodes = [*casts, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    onnx.checker.check_model(proto)
    halved_content: bytes = proto.SerializeToString()
    return halved_content
