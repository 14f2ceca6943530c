"""Int8 by ranges: what runs in integers, how far it is from float, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from aasist.errors import ModelError
from aasist.export.layers import of_kind
from aasist.export.quantize import Rounding, _folded, in_words, require_float
from aasist.recipe import Architecture
from aasist.runtime.modelfile import ModelNotes
from aasist.runtime.onnx import OnnxSession
from aasist.session import Float32
from aasist.wire import has_external_data

from .test_onnx import noise, strings_that_would_tell

WINDOWS = np.concatenate([level * noise(2, 8_000, seed=seed) for seed, level in enumerate((0.3, 1.0, 5.0))])


@pytest.fixture(scope="module")
def rounding(small_onnx: Path) -> Rounding:
    done: list[int] = []
    found = Rounding(small_onnx.read_bytes(), WINDOWS, bits=7, progress=done.append)
    assert done[-1] == len(WINDOWS)
    return found


@pytest.fixture(scope="module")
def rounded(rounding: Rounding) -> bytes:
    """All convolutions in int8."""
    return rounding.rounded(of_kind(rounding.layers, "convolution"))


def logits(content: bytes, windows: Float32) -> Float32:
    return OnnxSession(content, precision="int8", threads=1).run(windows)


def as_it_runs(content: bytes, folder: Path) -> onnx.ModelProto:
    """The graph as ONNX Runtime changes it."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "runs.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return onnx.load(folder / "runs.onnx")


def test_no_layer_in_int8_is_the_float_model(rounding: Rounding, small_onnx: Path) -> None:
    windows = noise(2, 8_000, seed=9)
    np.testing.assert_array_equal(logits(rounding.rounded(()), windows), logits(small_onnx.read_bytes(), windows))


def test_every_chosen_convolution_runs_in_integers_and_no_pool_between_them_in_the_slow_kernel(
    rounding: Rounding, rounded: bytes, tmp_path: Path
) -> None:
    ran = as_it_runs(rounded, tmp_path).graph
    count = len(of_kind(rounding.layers, "convolution"))
    assert len([node for node in ran.node if node.op_type == "QLinearConv"]) == count
    types = {value.name: value.type.tensor_type.elem_type for value in ran.value_info}
    integers = {o for node in ran.node if node.op_type.startswith(("QLinear", "Quantize")) for o in node.output}
    pools = [node for node in ran.node if node.op_type == "MaxPool"]
    assert not [
        node.name for node in pools if node.input[0] in integers or types.get(node.input[0]) == TensorProto.UINT8
    ]


@pytest.mark.parametrize(("batch", "samples"), [(1, 8_000), (3, 8_000), (2, 4_001), (1, 13_000)])
def test_int8_stays_near_float_for_any_batch_and_length(
    batch: int, samples: int, rounded: bytes, small_onnx: Path
) -> None:
    windows = noise(batch, samples, seed=5)
    found, expected = logits(rounded, windows), logits(small_onnx.read_bytes(), windows)
    assert 0 < np.abs(found - expected).max() < 0.5
    alone = np.concatenate([logits(rounded, row[None]) for row in windows])
    np.testing.assert_allclose(alone, found, rtol=0, atol=1e-4)


def test_weights_are_symmetric_within_their_bits_with_a_scale_for_each_output_channel(
    rounding: Rounding, rounded: bytes, small_onnx: Path
) -> None:
    proto = onnx.load_from_string(rounded)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    weights = [
        node
        for node in proto.graph.node
        if node.op_type == "DequantizeLinear" and node.input[0] in tensors and tensors[node.input[0]].ndim == 4
    ]
    assert len(weights) == len(of_kind(rounding.layers, "convolution"))
    floats = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(str(small_onnx)).graph.initializer}
    for node in weights:
        values, scales, zeros = (tensors[name] for name in node.input)
        assert values.dtype == np.int8
        assert np.abs(values.astype(int)).max() <= 64
        assert scales.shape == (len(values),)
        assert not zeros.any()
        back = values * scales[:, None, None, None]
        nearest = min(
            np.abs(weight - back).max() / np.abs(weight).max()
            for weight in floats.values()
            if weight.shape == back.shape
        )
        assert nearest < 0.51 / 63


def test_a_file_holds_no_more_than_its_layers_need_and_no_path(
    rounding: Rounding, rounded: bytes, small_onnx: Path
) -> None:
    assert not has_external_data(rounded)
    assert not has_external_data(rounding.rounded(()))
    assert not [text for text in strings_that_would_tell() if text in rounded]
    stored = {t.name for t in onnx.load_from_string(rounded).graph.initializer}
    floats = {t.name for t in onnx.load(str(small_onnx)).graph.initializer if len(t.dims) == 4}
    assert floats & stored == {"encoder.blocks.0.conv1.weight", "encoder.blocks.0.shortcut.weight"}


def test_seven_bits_add_up_in_integers_to_what_they_do_in_float(rounding: Rounding, rounded: bytes) -> None:
    """With graph optimisation off, convolutions are float between rounded numbers: the slow twin, which cannot saturate."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    twin = onnxruntime.InferenceSession(rounded, options, providers=["CPUExecutionProvider"])
    windows = 10 * WINDOWS[-1:]
    (expected,) = twin.run(None, {"waveform": windows})
    # A tie that is rounded the other way moves an activation by one step of 255.
    np.testing.assert_allclose(logits(rounded, windows), expected, rtol=0, atol=0.1)


def test_batch_norms_that_an_exporter_left_apart_are_folded_first(small_onnx: Path) -> None:
    proto = onnx.load(str(small_onnx))
    assert _folded(proto) is proto
    number, convolution = next(
        (n, one) for n, one in enumerate(proto.graph.node) if "blocks.1.conv1" in "".join(one.input)
    )
    channels = 8
    after = convolution.output[0]
    convolution.output[0] = "apart"
    for name, value in (("bn.gain", 2.0), ("bn.shift", 0.5), ("bn.mean", 0.1), ("bn.variance", 4.0)):
        proto.graph.initializer.append(numpy_helper.from_array(np.full(channels, value, np.float32), name))
    norm = helper.make_node(
        "BatchNormalization", ["apart", "bn.gain", "bn.shift", "bn.mean", "bn.variance"], [after], epsilon=0.0
    )
    proto.graph.node.insert(number + 1, norm)
    windows = noise(2, 8_000)
    folded = _folded(proto)
    convolved = {output for node in folded.graph.node if node.op_type == "Conv" for output in node.output}
    assert not [n for n in folded.graph.node if n.op_type == "BatchNormalization" and n.input[0] in convolved]
    np.testing.assert_allclose(
        logits(folded.SerializeToString(), windows), logits(proto.SerializeToString(), windows), rtol=0, atol=1e-4
    )
    layers = Rounding(proto.SerializeToString(), WINDOWS[:1], bits=8).layers
    assert len(of_kind(layers, "convolution")) == 4


def test_what_is_no_float_model_of_ours_is_refused_with_the_remedy(rounded: bytes, small_notes: ModelNotes) -> None:
    with pytest.raises(ModelError, match=r"x is int8 already \(DequantizeLinear\): give the fp32 file"):
        require_float(rounded, small_notes, "x")
    for precision in ("int8", "fp16"):
        with pytest.raises(ModelError, match=f"x is {precision}: give the fp32 file that it was made from"):
            require_float(b"", replace(small_notes, precision=precision), "x")
    front = Architecture.from_json(small_notes.variant)
    encoder = replace(front, front="speech-encoder", encoder_layers=(1,), window_samples=16_000).to_json()
    with pytest.raises(ModelError, match="begins with a speech encoder"):
        require_float(b"", replace(small_notes, variant=encoder), "x")


def test_a_graph_without_convolutions_is_refused(loudness_onnx: Path) -> None:
    with pytest.raises(ModelError, match="no encoder of convolutions") as caught:
        Rounding(loudness_onnx.read_bytes(), WINDOWS, bits=7)
    assert caught.value.code == "precision"


def test_bits_that_no_weight_has_are_a_fault_of_the_caller(small_onnx: Path) -> None:
    with pytest.raises(ValueError, match="7 or 8 bits, got 4"):
        Rounding(small_onnx.read_bytes(), WINDOWS, bits=4)


def test_the_notes_say_bits_ranges_and_what_stayed_float(rounding: Rounding) -> None:
    chosen = of_kind(rounding.layers, "convolution")
    said = in_words(7, 64, chosen, rounding.layers, "fp16")
    assert "int8 of 7 bits (for any processor)" in said
    assert "ranges of 64 windows" in said
    assert f"{len(chosen)} of {len(rounding.layers)} layers in int8, in fp16: sinc, blocks.0." in said
    assert "VNNI" in in_words(8, 64, chosen, rounding.layers, "fp32")
