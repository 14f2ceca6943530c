"""A session on OpenVINO (extra ``openvino``)."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from collections import OrderedDict
from functools import cache
from queue import LifoQueue
from types import ModuleType
from typing import Any

import numpy as np

from aasist.errors import MissingExtra, ModelError, one_line
from aasist.runtime.modelfile import remedy
from aasist.session import Float32


def imported() -> ModuleType:
    """The package ``openvino``, kept from telling its makers that it was imported, as it does by ``openvino_telemetry``."""
    if "openvino" not in sys.modules and "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
        try:
            import openvino
        except ModuleNotFoundError as error:
            raise MissingExtra("the runtime openvino", "openvino") from error
        finally:
            del sys.modules["openvino_telemetry"]
    else:
        import openvino
    module: ModuleType = openvino
    return module


@cache
def core() -> Any:
    """OpenVINO's ``Core``, one a process: it holds the plugin of the processor."""
    openvino = imported()
    # What its binding knows of NumPy is made at the first array that it meets, behind a lock that is waited for with the
    # interpreter's held: two threads that ran a model for the first time together waited for each other without end.
    _ = openvino.Tensor(np.zeros(1, np.float32)).data
    return openvino.Core()


def has_bf16() -> bool:
    """Whether OpenVINO runs in bf16 by the processor's own instructions (AMX, AVX-512 BF16)."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


OTHER_LENGTHS = 4
"""Of windows, beside the model's own, that stay compiled; one takes half a second of processor time to compile."""


def settings(precision: str, threads: int, runs: int = 1) -> dict[str, Any]:
    """What OpenVINO is told: ``runs`` at a time, each on so many threads, in this precision and no other."""
    kinds = imported().Type
    return {
        "INFERENCE_PRECISION_HINT": kinds.bf16 if precision == "bf16" else kinds.f32,
        "NUM_STREAMS": runs,
        "INFERENCE_NUM_THREADS": runs * threads,
        # Threads pinned to cores that the process may not use, or shares, are worse than threads that wander.
        "ENABLE_CPU_PINNING": False,
    }


class OpenVinoSession:
    """Windows (B, T) -> logits (B, 2) on the processor, in the precision that was asked for and no other.

    Compiled for single windows of each length that comes, the model's own and the last few others: a fixed shape is the
    faster form, and a batch none. Nor could one form take all lengths: with a free one, OpenVINO counts the nodes of graph
    pooling in float32, whatever the graph says, and 0.7 of 90 nodes are 63 and not 62 (docs/log.md).

    In a forked process the model is compiled anew at the first run: the threads of what was compiled before were left behind,
    and a run would wait for them without end.
    """

    def __init__(
        self, model: bytes, weights: bytes = b"", *, precision: str, threads: int, runs: int = 1, window_samples: int
    ) -> None:
        """``runs`` calls compute at a time, each on ``threads`` threads; further ones wait."""
        self.precision = precision
        self._window_samples, self._runs = window_samples, runs
        self._properties = settings(precision, threads, runs)
        self._content = (model, weights)
        self._lock = threading.Lock()
        self._others: OrderedDict[int, _Requests] = OrderedDict()
        self._windows: _Requests | None = self._compiled(window_samples)
        _sessions.add(self)

    def run(self, windows: Float32) -> Float32:
        """Windows (B, T) float32 -> logits (B, 2) float32; ``ModelError`` where the graph gives anything else."""
        windows = np.ascontiguousarray(windows, dtype=np.float32)
        if windows.ndim != 2:  # OpenVINO would take the first numbers of them
            raise ModelError("model", f"OpenVINO cannot run the model: expected windows (B, T), got {windows.shape}")
        requests = self._for(windows.shape[1])
        try:
            rows = [requests.infer(windows[row : row + 1]) for row in range(len(windows))]
        except RuntimeError as error:
            raise ModelError("model", f"OpenVINO cannot run the model: {one_line(error)}") from error
        logits = np.concatenate(rows) if rows else np.zeros((0, 2), np.float32)
        if logits.shape != (len(windows), 2):
            raise ModelError("model", f"expected logits of shape ({len(windows)}, 2), got {logits.shape}")
        return np.asarray(logits, dtype=np.float32)

    def _for(self, samples: int) -> _Requests:
        """The model for windows of so many samples, compiled where it is not among those that are kept."""
        with self._lock:
            if samples == self._window_samples:
                self._windows = self._windows or self._compiled(samples)
                return self._windows
            found = self._others.pop(samples, None) or self._compiled(samples)
            self._others[samples] = found
            if len(self._others) > OTHER_LENGTHS:
                self._others.popitem(last=False)
            return found

    def _forked(self) -> None:
        """Forget what cannot run in this process, a lock that another thread may have held among it."""
        _left_behind.append((self._windows, self._others))
        self._lock = threading.Lock()
        self._windows, self._others = None, OrderedDict()

    def _compiled(self, samples: int) -> _Requests:
        """The model compiled for one window of so many samples."""
        try:
            model = core().read_model(*self._content) if self._content[1] else core().read_model(self._content[0])
            inputs = [port.get_any_name() for port in model.inputs]
            outputs = [port.get_any_name() for port in model.outputs]
            if inputs != ["waveform"] or outputs != ["logits"]:
                raise ModelError("model", f"expected input 'waveform' and output 'logits', got {inputs} and {outputs}")
            model.reshape({"waveform": [1, samples]})
            compiled = core().compile_model(model, "CPU", self._properties)
        except RuntimeError as error:
            raise ModelError(
                "model", f"OpenVINO cannot load the model: {one_line(error)}{remedy(self._content[0])}"
            ) from error
        wanted, got = self._properties["INFERENCE_PRECISION_HINT"], compiled.get_property("INFERENCE_PRECISION_HINT")
        if wanted != got:
            raise ModelError("precision", f"OpenVINO took {got} where {wanted} was wanted: run it in fp32")
        return _Requests(compiled, self._runs)


_sessions: weakref.WeakSet[OpenVinoSession] = weakref.WeakSet()
_left_behind: list[object] = []
"""What was compiled before a fork, in the child: kept, since to end it is to wait for its threads."""


def _after_fork() -> None:
    for session in list(_sessions):
        session._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class _Requests:
    """Up to ``most`` requests of a compiled model, each made when it is first wanted; a call waits for a free one."""

    def __init__(self, compiled: Any, most: int) -> None:
        self._compiled = compiled
        self._free: LifoQueue[Any] = LifoQueue()
        for _ in range(most):
            self._free.put(None)

    def infer(self, windows: Float32) -> Float32:
        """Windows as compiled -> a copy of what the graph gives."""
        request = self._free.get()
        try:
            if request is None:
                request = self._compiled.create_infer_request()
            logits: Float32 = request.infer({"waveform": windows})["logits"]
            return logits
        finally:
            self._free.put(request)
