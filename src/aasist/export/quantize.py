"""A float model to int8: QDQ by ONNX Runtime's quantiser, with ranges measured on windows.

Weights are symmetric int8 with a scale for each output channel, activations asymmetric uint8 with one scale a tensor, sums
int32 (Jacob et al., "Quantization and training of neural networks for efficient integer-arithmetic-only inference", CVPR
2018). Between ``QuantizeLinear`` and ``DequantizeLinear`` ONNX Runtime runs its integer kernels, residual sums and
max-pools between two rounded convolutions among them; SELU has none and stays float.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QDQQuantizer,
    QuantType,
    create_calibrator,
)

from aasist.errors import ModelError
from aasist.export.layers import WITH_WEIGHTS, GraphLayer, graph_layers, named, of_kind
from aasist.recipe import SINC, Architecture
from aasist.runtime.modelfile import ModelNotes
from aasist.runtime.notes import FULL_BITS, REDUCED_BITS
from aasist.session import Float32

SUM, POOL = "Add", "MaxPool"

QUANTISED = (
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearConv",
    "ConvInteger",
    "MatMulInteger",
    "DynamicQuantizeLinear",
)


def require_float(content: bytes, notes: ModelNotes, what: str) -> None:
    """Raise ``ModelError`` for a model (ONNX bytes) that is not of full precision, or begins with a speech encoder."""
    rounded = sorted({node.op_type for node in onnx.load_from_string(content).graph.node} & set(QUANTISED))
    if notes.precision != "fp32" or rounded:
        raise ModelError(
            "precision",
            f"{what} is {notes.precision if notes.precision != 'fp32' else f'int8 already ({rounded[0]})'}: give the fp32 file "
            "that it was made from",
        )
    if notes.variant != "{}" and Architecture.from_json(notes.variant).front != SINC:
        raise ModelError(
            "precision",
            f"{what} begins with a speech encoder, whose layers are not rounded here: distil it into a model without one first "
            "(aasist train efficient-distilled --teacher)",
        )


def in_words(bits: int, windows: int, layers: Iterable[GraphLayer], of: Iterable[GraphLayer], rest: str) -> str:
    """What a model's notes say of how it was rounded: to ``bits``, by ``windows``, which ``layers`` ``of`` all."""
    chosen, every = tuple(layers), tuple(of)
    runs_on = "for any processor" if bits == REDUCED_BITS else "for processors with VNNI or ARM's dot products only"
    kept = ", ".join(layer.name for layer in every if layer not in chosen) or "none"
    return (
        f"weights int8 of {bits} bits ({runs_on}), symmetric, a scale for each output channel; activations uint8, asymmetric, "
        f"ranges of {windows} windows; {len(chosen)} of {len(every)} layers in int8, in {rest}: {kept}"
    )


class Rounding:
    """A float graph with the ranges of its tensors: writes it with any choice of its layers in int8."""

    def __init__(
        self, content: bytes, windows: Float32, *, bits: int, progress: Callable[[int], None] | None = None
    ) -> None:
        """Measure the ranges on ``windows`` (N, T). ``bits`` of a weight: 8, or 7 for processors on which 8 saturate
        (`aasist.runtime.saturation`). ``progress`` is called with the windows done. ``ModelError`` ``precision`` for a graph without
        convolutions, or whose activations are not finite on the windows."""
        if bits not in (REDUCED_BITS, FULL_BITS):
            raise ValueError(f"weights have {REDUCED_BITS} or {FULL_BITS} bits, got {bits}")
        self.bits = bits
        self._proto = onnx.shape_inference.infer_shapes(named(_folded(onnx.load_from_string(content))))
        self.layers = graph_layers(self._proto)
        if not of_kind(self.layers, "convolution"):
            raise ModelError(
                "precision", "the graph has no encoder of convolutions: int8 is for models of aasist export"
            )
        self._ranges = _ranges(self._proto, windows, progress)

    def rounded(self, layers: Iterable[GraphLayer]) -> bytes:
        """ONNX bytes with these layers in int8 and the others as they were."""
        nodes = [name for layer in layers for name in layer.nodes]
        copy = onnx.ModelProto()
        copy.CopyFrom(self._proto)
        if nodes:
            nodes += _sums_before(self._proto, nodes)
            with _quiet():
                quantiser = QDQQuantizer(
                    copy,
                    True,  # a scale for each output channel
                    self.bits == REDUCED_BITS,
                    QuantType.QInt8,
                    QuantType.QUInt8,
                    self._ranges,
                    nodes,
                    [],
                    [*WITH_WEIGHTS, SUM],
                    {"ActivationSymmetric": False, "WeightSymmetric": True},
                )
                quantiser.quantize_model()
            quantiser.model.topological_sort()
            copy = quantiser.model.model
        for tensor in copy.graph.initializer:
            # ONNX's own writer states that data lie in this file, by a field that readers take for the opposite.
            tensor.ClearField("data_location")
        # Shapes were for the quantiser; dynamic ones bear the exporter's names.
        del copy.graph.value_info[:]
        onnx.checker.check_model(copy)
        content: bytes = copy.SerializeToString()
        return content


def _folded(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with batch norms in the convolutions before them, where an exporter left them apart; else as it is."""
    convolved = {output for node in proto.graph.node if node.op_type == "Conv" for output in node.output}
    if not any(n.op_type == "BatchNormalization" and n.input[0] in convolved for n in proto.graph.node):
        return proto
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "folded.onnx")
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.log_severity_level = 4
        onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return onnx.load(path)


def _sums_before(proto: onnx.ModelProto, nodes: list[str]) -> list[str]:
    """The residual sums that convolutions among ``nodes`` hear, behind a max-pool or not.

    They are rounded too, whatever they add. ONNX Runtime moves a ``QuantizeLinear`` up through a max-pool, and a max-pool
    of int8 that stands between float neighbours has a kernel fifty times slower than theirs (docs/log.md).
    """
    makers = {output: node for node in proto.graph.node for output in node.output}
    found: dict[str, None] = {}
    for node in proto.graph.node:
        if node.op_type != "Conv" or node.name not in nodes:
            continue
        before = makers.get(node.input[0])
        while before is not None and before.op_type == POOL:
            before = makers.get(before.input[0])
        if before is not None and before.op_type == SUM:
            found[before.name] = None
    return list(found)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """One window after the other."""

    def __init__(self, windows: Float32, progress: Callable[[int], None] | None) -> None:
        self._windows, self._progress, self._next = windows, progress, 0

    def get_next(self) -> dict[str, Float32] | None:
        if self._progress is not None:
            self._progress(self._next)
        if self._next == len(self._windows):
            return None
        self._next += 1
        return {"waveform": self._windows[self._next - 1 : self._next]}


def _ranges(proto: onnx.ModelProto, windows: Float32, progress: Callable[[int], None] | None) -> Any:
    """Smallest and largest value of what goes into and comes out of each node with weights (ONNX Runtime's TensorsData)."""
    with tempfile.TemporaryDirectory() as folder, _quiet():
        path = Path(folder, "float.onnx")
        onnx.save(proto, path)
        calibrator = create_calibrator(
            path,
            [*WITH_WEIGHTS, SUM],
            augmented_model_path=str(Path(folder, "augmented.onnx")),
            calibrate_method=CalibrationMethod.MinMax,
        )
        calibrator.collect_data(_Reader(windows, progress))
        ranges = calibrator.compute_data()
    for name, data in ranges.items():
        if not np.isfinite(np.concatenate([np.ravel(limit) for limit in data.range_value])).all():
            raise ModelError("precision", f"the activation {name} is not finite on the windows: no range can hold it")
    return ranges


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice that ONNX Runtime's quantiser logs at the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
