"""Layers of a model file, and what its nodes compute: against the architecture's cost, counted by PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aasist.bench.layers import FRONT, GRAPHS, convolution_gflop, layers_of, name_of, product_gflop
from aasist.bench.nodes import Node, onnxruntime_events, onnxruntime_nodes, openvino_nodes
from aasist.bench.opening import noise
from aasist.errors import ModelError
from aasist.model.cost import cost
from aasist.runtime import modelfile
from aasist.runtime.models import shipped, shipped_folder
from aasist.session import WINDOW_SAMPLES

from ..conftest import SMALL


def nodes_of(path: Path, runtime: str) -> list[Node]:
    content, notes = modelfile.read(path)
    layers, window = layers_of(content), noise(1, notes.window_samples)
    if runtime == "onnxruntime":
        return onnxruntime_nodes(content, layers, window, 1)
    return openvino_nodes(content, layers, window, "fp32", 1)


def test_products_are_counted_as_by_numpy() -> None:
    # 2 x M x N x K, whichever way round the left one lies, alone or in a batch.
    for left, right in (((3, 4), (4, 5)), ((2, 3, 4), (4, 5)), ((2, 7, 3, 4), (2, 7, 4, 5))):
        output = np.matmul(np.ones(left), np.ones(right))
        expected = 2 * output.size * left[-1] / 1e9
        assert product_gflop(list(left), list(output.shape)) == pytest.approx(expected)
        turned = [*left[:-2], left[-1], left[-2]]
        assert product_gflop(turned, list(output.shape)) == pytest.approx(expected)


def test_a_convolution_is_counted_whatever_its_layout() -> None:
    expected = 2 * 10 * 20 * 8 * (16 * 2 * 3) / 1e9
    assert convolution_gflop((8, 16, 2, 3), (1, 8, 10, 20)) == pytest.approx(expected)
    assert convolution_gflop((8, 16, 2, 3), (1, 10, 20, 8)) == pytest.approx(expected)
    assert convolution_gflop((6, 16, 2, 3), (1, 8, 10, 20)) == pytest.approx(expected * 6 / 8)  # filled up


def test_names_of_places() -> None:
    assert [name_of(place) for place in (FRONT, 1, 6, GRAPHS)] == ["front", "block 1", "block 6", "graphs"]


def test_a_runtimes_names_lead_back_to_the_file(small_onnx: Path) -> None:
    layers = layers_of(small_onnx.read_bytes())
    name = next(iter(layers.kernels))
    for said in (name, f"{name}_nchwc", f"{name}/WithoutBiases", f"{name}/WithoutBiases_acdb_abcd_n0"):
        assert layers.known(said) == name
    assert layers.known("ReorderOutput_token_83") is None
    with pytest.raises(ModelError):
        layers_of(b"\xff" * 20)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_every_layer_of_a_model_takes_time_in_both_runtimes(small_onnx: Path, runtime: str) -> None:
    pytest.importorskip(runtime)
    nodes = nodes_of(small_onnx, runtime)
    assert {node.place for node in nodes} == {FRONT, 1, 2, GRAPHS}
    assert all(node.milliseconds >= 0 for node in nodes)
    for place in (FRONT, 1, 2, GRAPHS):
        assert sum(node.milliseconds for node in nodes if node.place == place) > 0


def test_the_work_of_every_layer_is_what_is_counted_by_hand(small_onnx: Path) -> None:
    nodes = nodes_of(small_onnx, "onnxruntime")
    a = SMALL
    steps = (a.window_samples - a.kernel_samples) // a.sinc_stride + 1
    expected = {FRONT: 2 * steps * a.bands * a.kernel_samples}
    steps, bands, before = steps // a.front_pool[1], a.bands // a.front_pool[0], 1
    for block, (channels, pool) in enumerate(zip(a.channels, a.time_pools, strict=True), start=1):
        one, two, shortcut = (bands + 1) * before * 6, bands * channels * 6, bands * before * 3
        expected[block] = 2 * steps * channels * (one + two + shortcut)
        steps, before = steps // pool, channels
    for place, flop in expected.items():
        assert sum(node.gflop for node in nodes if node.place == place) == pytest.approx(flop / 1e9, rel=1e-6)


@pytest.mark.parametrize("name", shipped())
def test_the_shipped_models_fold_their_sinc_layer_and_compute_less_than_their_cost(name: str) -> None:
    from aasist.recipe import ARCHITECTURES

    a = ARCHITECTURES[name]
    nodes = nodes_of(shipped_folder() / shipped()[name]["file"], "onnxruntime")
    assert {node.place for node in nodes} == {FRONT, *range(1, 1 + len(a.channels)), GRAPHS}
    sinc = 2 * ((WINDOW_SAMPLES - a.kernel_samples) // a.sinc_stride + 1) * a.bands * a.kernel_samples / 1e9
    front = sum(node.gflop for node in nodes if node.place == FRONT)
    assert 0.5 * sinc < front < 0.75 * sinc
    assert sum(node.gflop for node in nodes) - front == pytest.approx(cost(a).gflop - sinc, rel=0.03)


def event(name: str, kind: str, milliseconds: float, **facts: object) -> dict[str, object]:
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "dur": 1000 * milliseconds,
        "args": {"op_name": kind, **facts},
    }


def test_events_of_several_runs_become_one_node_and_what_the_runtime_adds_follows_its_neighbour(
    small_onnx: Path,
) -> None:
    layers = layers_of(small_onnx.read_bytes())
    convolution = next(name for name, place in layers.places.items() if place == 2 and name in layers.kernels)
    kernel = layers.kernels[convolution]
    facts = {
        "input_type_shape": [{"float": [1, kernel[1], 5, 9]}],
        "output_type_shape": [{"float": [1, kernel[0], 4, 7]}],
        "activation_size": "100",
        "output_size": "20",
        "parameter_size": "0",
    }
    events: list[dict[str, object]] = [{"cat": "Session", "name": "model_run", "dur": 9, "args": {}}]
    for turn in range(6):  # three to warm up
        events += [
            event(f"{convolution}_nchwc", "Conv", 100.0 if turn < 3 else turn, **facts),
            event("ReorderOutput_token_1", "ReorderOutput", 1.0, activation_size="8", output_size="8"),
            event("Reshape_token_2", "Reshape", 0.5, activation_size="800", output_size="800"),
        ]
    convolved, reordered, reshaped = onnxruntime_events(events, layers)
    assert [node.place for node in (convolved, reordered, reshaped)] == [2, 2, 2]
    assert convolved.milliseconds == 4.0
    assert convolved.gflop == pytest.approx(convolution_gflop(kernel, (1, kernel[0], 4, 7)))
    assert convolved.megabytes == pytest.approx((120 + 4 * np.prod(kernel)) / 1e6)
    assert (reordered.megabytes, reshaped.megabytes) == (16e-6, 0.0)
