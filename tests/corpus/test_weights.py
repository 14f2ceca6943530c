"""Weights of an ONNX file, against the library's own reading of it."""

from __future__ import annotations

import numpy as np
import pytest

from aasist.corpus.engine import EngineError
from aasist.corpus.weights import weights

onnx = pytest.importorskip("onnx")


def model_of(arrays: list[np.ndarray]) -> bytes:
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(array, f"w{place}") for place, array in enumerate(arrays)],
    )
    made: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()
    return made


def test_weights_are_read_in_order_and_changed_where_they_lie() -> None:
    from onnx import numpy_helper

    random = np.random.default_rng(0)
    arrays = [random.standard_normal(size).astype(np.float32) for size in ((300, 2, 7), (5,), ())]
    model = bytearray(model_of([arrays[0], np.arange(9), arrays[1], arrays[2]]))
    found = list(weights(model))
    assert [array.shape for array in found] == [(300, 2, 7), (5,), ()]
    assert all(np.array_equal(one, other) for one, other in zip(found, arrays, strict=True))
    found[0][:] *= 2
    changed = [numpy_helper.to_array(one) for one in onnx.load_model_from_string(bytes(model)).graph.initializer]
    assert np.array_equal(changed[0], 2 * arrays[0])
    assert np.array_equal(changed[1], np.arange(9))
    assert np.array_equal(changed[2], arrays[1])


def test_a_file_that_is_cut_or_no_onnx_file_is_an_error() -> None:
    model = model_of([np.ones((4, 4, 4), np.float32)])
    for broken in (model[:-40], b"RIFF" + model, b"\xff" * 40):
        with pytest.raises(EngineError, match="not an ONNX file"):
            list(weights(bytearray(broken)))
