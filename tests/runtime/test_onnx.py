"""The session on ONNX Runtime, and graphs that are none of ours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from aasist.errors import ModelError
from aasist.runtime.onnx import OnnxSession


def graph(input_name: str, output_name: str, columns: int = 2) -> bytes:
    """Gives its input back where it has as many columns as the output claims."""
    node = helper.make_node("Identity", [input_name], [output_name])
    made = helper.make_graph(
        [node],
        "identity",
        [helper.make_tensor_value_info(input_name, TensorProto.FLOAT, ["batch", "samples"])],
        [helper.make_tensor_value_info(output_name, TensorProto.FLOAT, ["batch", "columns"])],
    )
    return helper.make_model(made, ir_version=10, opset_imports=[helper.make_opsetid("", 20)]).SerializeToString()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_session_runs_any_batch_and_any_layout_of_memory(threads: int, loudness_onnx: Path) -> None:
    session = OnnxSession(loudness_onnx.read_bytes(), precision="fp32", threads=threads)
    windows = np.random.default_rng(0).standard_normal((3, 400))
    expected = np.stack([np.zeros(3), 10 * np.abs(windows).mean(axis=1)], axis=1)
    for given in (windows.astype(np.float32), np.asfortranarray(windows, dtype=np.float32), windows):
        logits = session.run(given)
        assert logits.dtype == np.float32
        np.testing.assert_allclose(logits, expected, rtol=1e-5)


def test_a_session_uses_the_threads_it_was_given(loudness_onnx: Path) -> None:
    session = OnnxSession(loudness_onnx.read_bytes(), precision="int8", threads=3)
    options = session._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (3, 1)
    assert session.precision == "int8"


@pytest.mark.parametrize("content", [b"", b"no onnx", b"\x08\x0a", b"\x00" * 100], ids=repr)
def test_bytes_that_are_no_graph_are_an_error_of_one_line(content: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        OnnxSession(content, precision="fp32", threads=1)
    assert caught.value.code == "model"
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(("input_name", "output_name"), [("input", "logits"), ("waveform", "output")])
def test_a_graph_with_other_names_is_refused(input_name: str, output_name: str) -> None:
    with pytest.raises(ModelError, match="expected input 'waveform' and output 'logits'"):
        OnnxSession(graph(input_name, output_name), precision="fp32", threads=1)


def test_a_graph_that_fails_or_gives_other_shapes_while_it_runs_is_an_error() -> None:
    session = OnnxSession(graph("waveform", "logits"), precision="fp32", threads=1)
    assert session.run(np.ones((4, 2), np.float32)).shape == (4, 2)
    with pytest.raises(ModelError, match=r"expected logits of shape \(4, 2\), got \(4, 9\)"):
        session.run(np.ones((4, 9), np.float32))
    with pytest.raises(ModelError, match="cannot run the model"):
        session.run(np.ones((4, 9, 2), np.float32))


def test_the_graph_of_this_file_is_valid_onnx() -> None:
    proto = onnx.load_from_string(graph("waveform", "logits"))
    onnx.checker.check_model(proto)
    assert proto.graph.input[0].name == "waveform"
