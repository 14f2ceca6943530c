"""Runtimes that a model can run in, what of them this machine has, and a session on one.

Without a word of the user's a model runs in what its file is made for: ONNX in ONNX Runtime (in OpenVINO where that is all
there is), OpenVINO's format in OpenVINO, a checkpoint in PyTorch. Which is fastest is the processor's affair, so nothing
faster is picked by itself, and never another precision: scores move with it.
"""

from __future__ import annotations

from importlib.util import find_spec

from aasist.errors import MissingExtra, ModelError
from aasist.runtime.irfile import is_ir
from aasist.runtime.modelfile import ModelNotes
from aasist.session import Session

RUNTIMES = ("onnxruntime", "openvino", "torch")
AUTO = "auto"

LLR_TOLERANCE = {"fp32": 1e-3, "fp16": 1e-3, "bf16": 0.05, "int8": 0.25}
"""Precision -> how far the llr of one recording may differ between two runtimes, and from fp32 in bf16. Of int8 each runtime
rounds at other places: of 60 windows of speech the farthest was 0.17."""

_PACKAGES = {"onnxruntime": ("onnxruntime",), "openvino": ("openvino",), "torch": ("torch", "safetensors")}
_EXTRAS = {"openvino": "openvino", "torch": "train"}


def installed() -> tuple[str, ...]:
    """Those of `RUNTIMES` whose packages are here; none is imported."""
    return tuple(name for name in RUNTIMES if is_installed(name))


def is_installed(runtime: str) -> bool:
    """Whether the packages of one of `RUNTIMES` are here."""
    return all(find_spec(package) is not None for package in _PACKAGES[runtime])


def precisions(runtime: str) -> tuple[str, ...]:
    """What this processor can run an fp32 file in, fp32 first. An int8 or fp16 file runs in its own precision alone.

    Raises ``MissingExtra`` where the runtime is not installed.
    """
    require_installed(runtime)
    if runtime != "openvino":
        return ("fp32",)
    from aasist.runtime.openvino import has_bf16

    return ("fp32", "bf16") if has_bf16() else ("fp32",)


def runtime_for(content: bytes, runtime: str = AUTO) -> str:
    """The runtime that a model file's bytes run in; ``ModelError`` where they cannot in the one that is wanted."""
    if runtime not in (AUTO, *RUNTIMES):
        raise ValueError(f"runtime must be one of {', '.join((AUTO, *RUNTIMES))}, got {runtime!r}")
    if is_ir(content):
        if runtime not in (AUTO, "openvino"):
            raise ModelError(
                "runtime",
                f"a model in OpenVINO's format (.xml) runs in openvino alone, not in {runtime}: take its ONNX file, or "
                "--runtime openvino",
            )
        chosen = "openvino"
    elif runtime == "torch":
        raise ModelError(
            "runtime",
            "an ONNX file runs in onnxruntime or openvino, not in torch, which takes a shipped name or a checkpoint "
            "(.safetensors, .pth)",
        )
    elif runtime == AUTO:
        chosen = next(filter(is_installed, RUNTIMES[:2]), "onnxruntime")
    else:
        chosen = runtime
    require_installed(chosen)
    return chosen


def require_installed(runtime: str) -> None:
    """`MissingExtra` that names the extra where a runtime's packages are not here."""
    if is_installed(runtime):
        return
    if runtime not in _EXTRAS:
        raise ModelError("runtime", f"{runtime} is not installed: pip install {runtime}")
    raise MissingExtra(f"the runtime {runtime}", _EXTRAS[runtime])


def precision_in(runtime: str, of_file: str, wanted: str | None) -> str:
    """The precision to run in: the file's own, or the one wanted where the file and this processor allow it.

    Raises ``ModelError`` that says what is possible instead.
    """
    if wanted in (None, of_file):
        return of_file
    if of_file != "fp32":
        raise ModelError(
            "precision",
            f"the model is {of_file}, which was decided when its file was made: take its fp32 file to run it in {wanted}",
        )
    if wanted in ("int8", "fp16"):
        raise ModelError("precision", f"the model is fp32: make a file in {wanted} with 'aasist quantize'")
    possible = precisions(runtime)
    if wanted not in possible:
        reason = (
            "this processor has no arithmetic for it (AMX, or AVX-512 BF16)"
            if runtime == "openvino"
            else f"{runtime} runs a model in its own precision, openvino in bf16 too where the processor can"
        )
        raise ModelError(
            "precision", f"{runtime} cannot run in {wanted} here: {reason}; the next best is {possible[-1]}"
        )
    return str(wanted)


def open_session(
    content: bytes,
    *,
    notes: ModelNotes,
    runtime: str = AUTO,
    precision: str | None = None,
    threads: int = 1,
    runs: int = 1,
    weights: bytes = b"",
) -> Session:
    """A session on a model file's bytes: ONNX, or OpenVINO's XML with its ``weights``.

    ``precision`` None is the file's own. ``runs`` calls may compute at a time, each on ``threads`` threads. Raises
    ``ModelError``, or ``MissingExtra`` where the runtime is not installed.
    """
    chosen = runtime_for(content, runtime)
    precision = precision_in(chosen, notes.precision, precision)
    # Imported here: each costs a part of a second, and only one is wanted.
    if chosen == "openvino":
        from aasist.runtime.openvino import OpenVinoSession

        return OpenVinoSession(
            content,
            weights,
            precision=precision,
            threads=threads,
            runs=runs,
            window_samples=notes.window_samples,
        )
    from aasist.runtime.onnx import OnnxSession

    return OnnxSession(content, precision=precision, threads=threads)
