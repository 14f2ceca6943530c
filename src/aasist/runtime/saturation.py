"""Whether int8 products saturate on this processor: asked of ONNX Runtime itself, by a convolution that would show it.

AVX2 adds two products of a uint8 and an int8 in 16 bits: 2 x 255 x 127 is above 32,767, 2 x 255 x 64 is not. So weights of
7 bits are right anywhere, weights of 8 bits where the processor adds in 32 (VNNI, ARM).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from aasist import wire
from aasist.errors import ModelError
from aasist.runtime.notes import FULL_BITS, REDUCED_BITS, ModelNotes

CHANNELS, WIDTH, TAPS = 16, 32, 3
EXPECTED = 200
"""What every output of the convolution should be."""

_IR_VERSION, _OPSET = 10, 20
_FLOAT, _UINT8, _INT8 = 1, 2, 3
"""``TensorProto.DataType``."""


def require_whole_sums(notes: ModelNotes) -> None:
    """`ModelError` ``precision`` for a model whose int8 products saturate here: its scores would not be those it was
    calibrated by."""
    if notes.weight_bits > REDUCED_BITS and saturates():
        raise ModelError(
            "precision",
            f"its int8 weights have {notes.weight_bits} bits, whose sums this processor cuts off (no VNNI): take a file of "
            f"{REDUCED_BITS} bits, as 'aasist quantize' makes it without --weight-bits, or the fp32 file that it was made from",
        )


@cache
def saturates() -> bool:
    """Whether a convolution of the largest activations with the largest weights of 8 bits comes out too small here.

    OpenVINO multiplies by the same instructions. True where ONNX Runtime is missing: nobody can be asked.
    """
    if find_spec("onnxruntime") is None:
        return True
    return int(largest_sum(FULL_BITS).min()) < EXPECTED


def largest_sum(bits: int) -> NDArray[np.uint8]:
    """What should be `EXPECTED` everywhere: a convolution of 255 with the largest weights of ``bits``, scaled to it."""
    import onnxruntime  # a part of a second, for files of 8 bits alone

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(convolution(bits), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": np.full((1, CHANNELS, 1, WIDTH), 255, np.uint8)})
    return np.asarray(found)


def convolution(bits: int) -> bytes:
    """The ONNX file of that convolution, written by hand: the light install has no ``onnx``."""
    top = 127 if bits == FULL_BITS else 64
    whole = CHANNELS * TAPS * 255 * top
    inputs = ("x", "one", "zero", "weight", "one", "weight_zero", "scale", "zero")
    node = [*(_text(1, name) for name in inputs), _text(2, "y"), _text(4, "QLinearConv")]
    constants = [
        _tensor("one", _FLOAT, (), np.float32(1).tobytes()),
        _tensor("zero", _UINT8, (), b"\0"),
        _tensor("weight", _INT8, (CHANNELS, CHANNELS, 1, TAPS), bytes([top]) * (CHANNELS * CHANNELS * TAPS)),
        _tensor("weight_zero", _INT8, (), b"\0"),
        _tensor("scale", _FLOAT, (), np.float32(whole / EXPECTED).tobytes()),
    ]
    graph = [
        wire.message(1, b"".join(node)),
        _text(2, "largest"),
        *(wire.message(5, constant) for constant in constants),
        wire.message(11, _value("x", (1, CHANNELS, 1, WIDTH))),
        wire.message(12, _value("y", (1, CHANNELS, 1, WIDTH - TAPS + 1))),
    ]
    opset = wire.message(8, _text(1, "") + wire.number(2, _OPSET))
    return wire.number(1, _IR_VERSION) + wire.message(7, b"".join(graph)) + opset


def _tensor(name: str, kind: int, shape: Iterable[int], data: bytes) -> bytes:
    dims = b"".join(wire.number(1, size) for size in shape)
    return dims + wire.number(2, kind) + _text(8, name) + wire.message(9, data)


def _value(name: str, shape: Iterable[int]) -> bytes:
    dims = b"".join(wire.message(1, wire.number(1, size)) for size in shape)
    kind = wire.message(1, wire.number(1, _UINT8) + wire.message(2, dims))
    return _text(1, name) + wire.message(2, kind)


def _text(number: int, text: str) -> bytes:
    return wire.message(number, text.encode())
