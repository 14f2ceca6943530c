"""An ONNX file of ours to OpenVINO's own format, which its runtime reads without a conversion (extra ``openvino``)."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from aasist import wire
from aasist.errors import ModelError, one_line
from aasist.export.comparison import compare, proof
from aasist.recipe import Architecture
from aasist.runtime import irfile, modelfile
from aasist.runtime.modelfile import ModelNotes
from aasist.runtime.openvino import OpenVinoSession, core, imported
from aasist.runtime.parity import Parity
from aasist.runtime.runtimes import require_installed
from aasist.session import Float32


def export_ir(
    onnx: bytes, path: Path, notes: ModelNotes, reference: Callable[[Float32], Float32], *, named: str, threads: int
) -> Parity:
    """Write ONNX bytes as ``path`` (``.xml``) and its weights beside it (``.bin``), with notes, proof and digest.

    ``reference`` gives the logits that the files must give, ``named`` is what runs it. `ModelError` where they differ by more
    than `aasist.export.comparison.TOLERANCE`, and then nothing is written; `MissingExtra` without OpenVINO.
    """
    require_installed("openvino")
    if path.suffix != irfile.SUFFIX:
        raise ModelError("output", f"{path}: the name of OpenVINO's graph must end in {irfile.SUFFIX}")
    if notes.precision == "int8":
        raise ModelError(
            "export",
            "an int8 file does not give the same logits in OpenVINO's format: run the ONNX file itself with --runtime openvino",
        )
    try:
        # Without metadata: the reader would copy it, and an old digest with it, into what it writes.
        model = core().read_model(b"".join(raw for key, raw in modelfile.entries(onnx) if key is None))
    except RuntimeError as error:
        reason = one_line(error)
        raise ModelError("export", f"OpenVINO cannot read the graph: {reason}{modelfile.remedy(onnx)}") from error
    model.set_rt_info(notes.to_json(), irfile.NOTES_PATH)
    model.set_rt_info(irfile.NO_DIGEST, irfile.DIGEST_PATH)
    graph, weights = _serialised(model)
    session = OpenVinoSession(
        graph, weights, precision=notes.precision, threads=threads, window_samples=notes.window_samples
    )
    cases = compare(reference, session, window_samples=notes.window_samples, shortest=_shortest(notes))
    opset = wire.opset(onnx) or modelfile.OPSET
    parity = proof(cases, reference=named, runtime="openvino", opset=opset, packages=(named, "openvino"))
    model.set_rt_info(parity.to_json(), irfile.PARITY_PATH)
    irfile.write(path, *_serialised(model))
    return parity


def _serialised(model: object) -> tuple[bytes, bytes]:
    """Graph and weights of OpenVINO's model."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model{irfile.SUFFIX}"
        weights_path = path.with_suffix(irfile.WEIGHTS_SUFFIX)
        imported().serialize(model, str(path), str(weights_path))
        return path.read_bytes(), weights_path.read_bytes()


def _shortest(notes: ModelNotes) -> int:
    """Fewest samples that the model takes, as far as the notes tell."""
    return notes.window_samples if notes.variant == "{}" else Architecture.from_json(notes.variant).shortest_samples
