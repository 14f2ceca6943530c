"""A session on ONNX Runtime."""

from __future__ import annotations

import numpy as np
import onnxruntime

from aasist.errors import ModelError, one_line
from aasist.runtime.modelfile import remedy
from aasist.session import Float32


class OnnxSession:
    """Windows (B, T) -> logits (B, 2) on the processor, with as many threads as given."""

    def __init__(self, model: bytes, *, precision: str, threads: int) -> None:
        self.precision = precision
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # The arena keeps what the largest batch needed; spinning threads would cost a server its other cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common class but Exception
            raise ModelError(
                "model", f"ONNX Runtime cannot load the model: {one_line(error)}{remedy(model)}"
            ) from error
        inputs = [node.name for node in self._session.get_inputs()]
        outputs = [node.name for node in self._session.get_outputs()]
        if inputs != ["waveform"] or outputs != ["logits"]:
            raise ModelError("model", f"expected input 'waveform' and output 'logits', got {inputs} and {outputs}")

    def run(self, windows: Float32) -> Float32:
        """Windows (B, T) float32 -> logits (B, 2) float32; ``ModelError`` where the graph gives anything else."""
        try:
            (logits,) = self._session.run(["logits"], {"waveform": np.ascontiguousarray(windows, dtype=np.float32)})
        except Exception as error:  # as above
            raise ModelError("model", f"ONNX Runtime cannot run the model: {one_line(error)}") from error
        if logits.shape != (len(windows), 2):
            raise ModelError("model", f"expected logits of shape ({len(windows)}, 2), got {logits.shape}")
        return np.asarray(logits, dtype=np.float32)
