"""Tells recorded human speech from synthetic, converted or cloned speech.

from aasist import Detector
verdict = Detector().detect("call.m4a")
verdict.label, verdict.score, verdict.segments
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from aasist.errors import AasistError, AudioError, MissingExtra, ModelError

if TYPE_CHECKING:
    from aasist.audio.read import ReadLimits
    from aasist.runtime.detector import Detector
    from aasist.runtime.pipeline import Pipeline
    from aasist.runtime.stream import StreamDetector
    from aasist.runtime.verdict import Verdict

__all__ = [
    "AasistError",
    "AudioError",
    "Detector",
    "MissingExtra",
    "ModelError",
    "Pipeline",
    "ReadLimits",
    "StreamDetector",
    "Verdict",
]

_ROOMS = {
    "Detector": "aasist.runtime.detector",
    "Pipeline": "aasist.runtime.pipeline",
    "ReadLimits": "aasist.audio.read",
    "StreamDetector": "aasist.runtime.stream",
    "Verdict": "aasist.runtime.verdict",
}


# From 1.29 on ONNX Runtime reports to its makers what models are loaded and how they run, unless it is told not to before it
# is imported. What somebody judges, and that they do, is nobody's business.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
if "onnxruntime" in sys.modules:
    sys.modules["onnxruntime"].disable_telemetry_events()


def __getattr__(name: str) -> Any:
    # Lazily: `aasist --help` and an import of the errors load neither the runtime, nor the decoders, nor metadata.
    if name in _ROOMS:
        from importlib import import_module

        return getattr(import_module(_ROOMS[name]), name)
    if name == "__version__":
        from importlib.metadata import version

        return version("aasist")
    raise AttributeError(f"module 'aasist' has no attribute {name!r}")
