"""Graphs written field by field are ONNX, as the onnx package reads it."""

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from aasist.audio.graph import IR_VERSION, OPSET, Graph


def drawn() -> onnx.ModelProto:
    """(N, 200) -> its columns 50 to 180 times a matrix, joined with themselves."""
    graph = Graph()
    cut = graph.columns("x", 50, 180)
    matrix = graph.constant(np.arange(130 * 3, dtype=np.float32).reshape(130, 3))
    product = graph.add("MatMul", cut, matrix)
    graph.add_named("Concat", [product, product], ["y"], axis=1)
    return onnx.load_from_string(graph.to_onnx({"x": (np.float32, 2)}, {"y": (np.float32, 2)}))


def test_what_is_written_is_checked_and_run_by_the_onnx_package() -> None:
    proto = drawn()
    onnx.checker.check_model(proto)
    assert (proto.ir_version, proto.opset_import[0].version) == (IR_VERSION, OPSET)
    x = np.random.default_rng(0).standard_normal((4, 200)).astype(np.float32)
    (found,) = ReferenceEvaluator(proto).run(None, {"x": x})
    product = x[:, 50:180] @ np.arange(130 * 3, dtype=np.float32).reshape(130, 3)
    assert np.allclose(found, np.concatenate((product, product), axis=1), rtol=1e-5)


def test_a_constant_is_held_once_and_as_it_was() -> None:
    graph = Graph()
    arrays = [np.array([1.5, -2.0], np.float32), np.array([300], np.int64), np.zeros((2, 0, 3), np.float32)]
    names = [graph.constant(array) for array in arrays]
    assert graph.constant(arrays[0].copy()) == names[0] and len(set(names)) == 3
    graph.add_named("Identity", [names[0]], ["y"])
    held = onnx.load_from_string(graph.to_onnx({}, {"y": (np.float32, 1)})).graph.initializer
    for array, tensor in zip(arrays, held, strict=True):
        assert np.array_equal(numpy_helper.to_array(tensor), array)
        assert numpy_helper.to_array(tensor).dtype == array.dtype
