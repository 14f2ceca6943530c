"""Times of the single nodes of a model, as its runtime's own profiler tells them.

A profiler slows what it watches: these are shares of a run, never times of a table.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aasist.bench.child import Say
from aasist.bench.layers import Layers, convolution_gflop, layers_of, product_gflop
from aasist.bench.opening import noise
from aasist.errors import AasistError, one_line
from aasist.runtime import modelfile

RUNS, WARM_UP = 12, 3
PROFILED = ("onnxruntime", "openvino")

_CONVOLUTIONS = {"Conv", "FusedConv", "NhwcFusedConv", "QLinearConv", "ConvInteger"}
_PRODUCTS = {"MatMul", "FusedMatMul", "Gemm", "FusedGemm", "QLinearMatMul", "MatMulInteger", "QGemm"}
_VIEWS = {"Reshape", "Squeeze", "Unsqueeze", "Shape", "Identity"}
"""Nodes that move nothing, whatever sizes the profiler tells of them."""


@dataclass(frozen=True)
class Node:
    """One node of the runtime's optimised graph."""

    place: int
    """The layer it belongs to (`aasist.bench.layers`)."""
    milliseconds: float
    """Median over the runs."""
    gflop: float = 0.0
    megabytes: float = 0.0
    """Read and written, weights included. OpenVINO tells neither: the work of a file is ONNX Runtime's count."""


def measure(say: Say, *, path: str, runtime: str, precision: str, threads: int) -> list[list[float]]:
    """The nodes of a model file run on one window, in the order they ran: place, milliseconds, GFLOP, megabytes of each."""
    content, notes = modelfile.read(Path(path))
    layers = layers_of(content)
    window = noise(1, notes.window_samples)
    say({"profiling": runtime})
    if runtime == "onnxruntime":
        nodes = onnxruntime_nodes(content, layers, window, threads)
    else:
        nodes = openvino_nodes(content, layers, window, precision, threads)
    return [[node.place, node.milliseconds, node.gflop, node.megabytes] for node in nodes]


def onnxruntime_nodes(content: bytes, layers: Layers, window: Any, threads: int) -> list[Node]:
    """By ONNX Runtime's profiler."""
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "nodes")
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        for _ in range(WARM_UP + RUNS):
            session.run(None, {"waveform": window})
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return onnxruntime_events(events, layers)


def onnxruntime_events(events: list[dict[str, Any]], layers: Layers) -> list[Node]:
    """The events of a profile, all runs of it, to one node each, in the order of the first run."""
    taken: dict[str, list[float]] = {}
    facts: dict[str, dict[str, Any]] = {}
    for event in events:
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            key = f"{name.removesuffix('_kernel_time')}\0{event['args'].get('node_index', '')}"
            taken.setdefault(key, []).append(event["dur"] / 1000)
            facts.setdefault(key, event["args"])
    nodes, place = [], 0
    for key, milliseconds in taken.items():
        known = layers.known(key.split("\0")[0])
        # What the runtime adds, such as a change of layout, belongs to what ran before it.
        place = place if known is None else layers.places[known]
        gflop, megabytes = _work(facts[key], layers.kernels.get(known or ""))
        nodes.append(Node(place, statistics.median(milliseconds[WARM_UP:] or milliseconds), gflop, megabytes))
    return nodes


def _work(facts: dict[str, Any], kernel: tuple[int, ...] | None) -> tuple[float, float]:
    """GFLOP and megabytes of a node, from the shapes and sizes that ONNX Runtime tells of it."""
    kind = facts.get("op_name", "")
    output, *_ = [*_shapes(facts.get("output_type_shape", [])), []]
    left, *_ = [*_shapes(facts.get("input_type_shape", [])), []]
    gflop = 0.0
    if kind in _CONVOLUTIONS and kernel is not None and len(output) > 2:
        gflop = convolution_gflop(kernel, output)
    elif kind in _PRODUCTS:
        gflop = product_gflop(left, output)
    sizes = ("activation_size", "parameter_size", "output_size")
    moved = 0 if kind in _VIEWS else sum(int(facts.get(size, 0)) for size in sizes)
    # Weights that were packed for the processor are no longer told of.
    if gflop and kernel is not None and not int(facts.get("parameter_size", 0)):
        moved += 4 * math.prod(kernel)
    return gflop, moved / 1e6


def _shapes(told: list[dict[str, list[int]]]) -> list[list[int]]:
    return [shape for one in told for shape in one.values()]


def openvino_nodes(content: bytes, layers: Layers, window: Any, precision: str, threads: int) -> list[Node]:
    """By OpenVINO's counters."""
    from aasist.runtime.openvino import core, settings

    try:
        model = core().read_model(content)
        model.reshape({"waveform": list(window.shape)})  # as the session does
        counted = {**settings(precision, threads), "PERF_COUNT": True}
        request = core().compile_model(model, "CPU", counted).create_infer_request()
        taken: dict[str, list[float]] = {}
        for turn in range(WARM_UP + RUNS):
            request.infer({"waveform": window})
            for told in request.profiling_info if turn >= WARM_UP else ():
                taken.setdefault(told.node_name, []).append(1000 * told.real_time.total_seconds())
    except RuntimeError as error:
        raise AasistError("bench", f"OpenVINO cannot profile the model: {one_line(error)}") from error
    nodes, place = [], 0
    for name, milliseconds in taken.items():
        known = layers.known(name)
        place = place if known is None else layers.places[known]
        nodes.append(Node(place, statistics.median(milliseconds)))
    return nodes
