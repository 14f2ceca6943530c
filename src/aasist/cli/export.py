"""``aasist export``: a model to ONNX, or to OpenVINO's format."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aasist.cli.output import require_files, require_onnx
from aasist.errors import MissingExtra, ModelError

if TYPE_CHECKING:
    from aasist.model.aasist import Aasist
    from aasist.runtime.modelfile import ModelNotes


@click.command()
@click.argument("model", metavar="MODEL")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="The ONNX file to write; one that is there is replaced."
)
@click.option(
    "--openvino",
    type=click.Path(path_type=Path),
    metavar="FILE.xml",
    help="Also, or instead, OpenVINO's graph with its weights beside it in FILE.bin (extra: openvino).",
)
@click.option("--name", help="Name in the file.  [default: the architecture's, or what MODEL says]")
@click.option("--model-version", help="Version in the file.  [default: 0, or what MODEL says]")
@click.option("--slope", type=float, help="Calibration: llr = slope x (bona fide - spoof logit) + offset.")
@click.option("--offset", type=float, help="Calibration: see --slope; both or neither.")
@click.option("--threshold", type=float, help="On llr: below it is a spoof.  [default: 0, or what MODEL says]")
@click.option("--hop-seconds", type=float, help="Between windows.  [default: half a window, or what MODEL says]")
@click.option("--training", help="Summary of the training data.")
@click.option("--licence", help="Licence of the weights.")
def export(
    model: str,
    output: Path | None,
    openvino: Path | None,
    name: str | None,
    model_version: str | None,
    slope: float | None,
    offset: float | None,
    threshold: float | None,
    hop_seconds: float | None,
    training: str | None,
    licence: str | None,
) -> None:
    """Write MODEL as ONNX (-o) or for OpenVINO (--openvino), and compare it with what it was made from.

    MODEL is a checkpoint (.safetensors of ours, or a published .pth) or a shipped name, whose calibration, threshold and
    operating points go with it. For --openvino alone it may be an ONNX file of ours too, which keeps what it says of itself.

    The file takes waveforms of any batch and any length, and runs without torch: aasist detect --model FILE. It holds the
    proof of parity: how far its logits are from torch's, at which lengths, batches and versions (aasist models FILE).
    """
    if (slope is None) != (offset is None):
        raise click.UsageError("--slope and --offset go together")
    if not all(math.isfinite(value) for value in (slope or 0.0, offset or 0.0, threshold or 0.0, hop_seconds or 0.0)):
        raise click.UsageError("--slope, --offset, --threshold and --hop-seconds must be finite numbers")
    if slope is not None and slope <= 0:
        raise click.UsageError(f"--slope must be above 0, got {slope}")
    if hop_seconds is not None and hop_seconds <= 0:
        raise click.UsageError(f"--hop-seconds must be above 0, got {hop_seconds}")
    require_outputs(model, output, openvino)
    from aasist.runtime.models import CHECKPOINT_SUFFIXES, shipped

    of_ours = model not in shipped() and Path(model).suffix not in CHECKPOINT_SUFFIXES and os.path.isfile(model)  # noqa: PTH113 (Path.is_file raises on a name that is too long)
    if of_ours and output is not None:
        raise ModelError(
            "model",
            f"{model}: not a checkpoint ({', '.join(CHECKPOINT_SUFFIXES)}), and an ONNX file of ours is written anew for --openvino alone",
        )
    try:
        from aasist.export import onnx as exporting
        from aasist.export.onnx import weights_of
    except ModuleNotFoundError as error:
        raise MissingExtra("export", "export") from error
    if openvino is not None:
        from aasist.runtime.runtimes import require_installed

        require_installed("openvino")
    from aasist.runtime import modelfile
    from aasist.runtime.modelfile import Calibration
    from aasist.session import SAMPLE_RATE

    given: dict[str, Any] = {
        "name": name,
        "version": model_version,
        "calibration": None if slope is None or offset is None else Calibration(slope, offset),
        "threshold": threshold,
        "hop_samples": None if hop_seconds is None else round(hop_seconds * SAMPLE_RATE),
        "training": training,
        "licence": licence,
    }
    weights: Aasist | None = None
    if of_ours:
        content, notes = modelfile.read(Path(model))
    else:
        weights, notes = weights_of(model)
    notes = replace(notes, **{key: value for key, value in given.items() if value is not None})
    if weights is not None:
        click.echo(f"exporting {notes.name}; this takes a minute", err=True)
        content, parity = exporting.to_file(weights)
        if output is not None:
            modelfile.write(output, content, notes)
            said(output, parity.largest_difference, "torch")
    if openvino is not None:
        write_openvino(openvino, content, notes, weights)


def require_outputs(model: str, output: Path | None, openvino: Path | None) -> None:
    """``click.UsageError`` for files that cannot be written, or would replace what is exported; before the minute it takes."""
    if output is None and openvino is None:
        raise click.UsageError("where to? Give -o FILE.onnx, or --openvino FILE.xml")
    if openvino is not None and openvino.suffix != ".xml":
        raise click.UsageError(f"--openvino must name a file that ends in .xml, got {openvino}")
    beside = None if openvino is None else openvino.with_suffix(".bin")
    require_files((output, "-o"), (openvino, "--openvino"), (beside, "--openvino (the weights)"), inputs=(Path(model),))
    if output is not None:
        openvinos = output.suffix in (".xml", ".bin")
        require_onnx(output, f"; OpenVINO's format is --openvino {output.with_suffix('.xml')}" if openvinos else "")


def write_openvino(path: Path, content: bytes, notes: ModelNotes, weights: Aasist | None) -> None:
    """OpenVINO's files, compared with torch where there are weights, and with ONNX Runtime where there is a file alone."""
    from aasist.export.onnx import by_torch
    from aasist.export.openvino import export_ir
    from aasist.runtime.onnx import OnnxSession
    from aasist.runtime.threads import available_threads

    threads = available_threads()
    session = OnnxSession(content, precision=notes.precision, threads=threads)
    reference, named = (session.run, "onnxruntime") if weights is None else (by_torch(weights), "torch")
    parity = export_ir(content, path, notes, reference, named=named, threads=threads)
    said(path, parity.largest_difference, named)


def said(path: Path, difference: float, reference: str) -> None:
    """A line for people."""
    size = sum(one.stat().st_size for one in {path, path.with_suffix(".bin") if path.suffix == ".xml" else path})
    click.echo(f"{path}: {size / 1e6:.2f} MB, within {difference:.1g} of {reference}")
