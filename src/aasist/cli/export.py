"""``aasist export``: a checkpoint to ONNX."""

from __future__ import annotations

import math
import os
from pathlib import Path

import click

from aasist.errors import MissingExtra


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="The ONNX file to write.")
@click.option("--name", help="Name in the file.  [default: the architecture's]")
@click.option("--model-version", default="0", show_default=True, help="Version in the file.")
@click.option("--slope", type=float, help="Calibration: llr = slope x (bona fide - spoof logit) + offset.")
@click.option("--offset", type=float, help="Calibration: see --slope; both or neither.")
@click.option("--threshold", type=float, default=0.0, show_default=True, help="On llr: below it is a spoof.")
@click.option("--hop-seconds", type=float, help="Between windows.  [default: half a window]")
@click.option("--training", default="", help="Summary of the training data.")
@click.option("--licence", default="", help="Licence of the weights.")
def export(
    checkpoint: Path,
    output: Path,
    name: str | None,
    model_version: str,
    slope: float | None,
    offset: float | None,
    threshold: float,
    hop_seconds: float | None,
    training: str,
    licence: str,
) -> None:
    """Write CHECKPOINT (.safetensors of ours, or a published .pth) as ONNX, and check it against torch.

    The file takes waveforms of any batch and any length, and runs without torch: aasist detect --model FILE.
    """
    if (slope is None) != (offset is None):
        raise click.UsageError("--slope and --offset go together")
    if not all(math.isfinite(value) for value in (slope or 0.0, offset or 0.0, threshold, hop_seconds or 0.0)):
        raise click.UsageError("--slope, --offset, --threshold and --hop-seconds must be finite numbers")
    if slope is not None and slope <= 0:
        raise click.UsageError(f"--slope must be above 0, got {slope}")
    if hop_seconds is not None and hop_seconds <= 0:
        raise click.UsageError(f"--hop-seconds must be above 0, got {hop_seconds}")
    # Before the minute that the export takes.
    if output.exists() and not output.is_file():
        raise click.UsageError(f"cannot write {output}: it is a folder or a device, a file was wanted")
    if not output.parent.is_dir() or not os.access(output.parent, os.W_OK):
        raise click.UsageError(f"cannot write {output}: no such folder, or no permission")
    if output.exists() and checkpoint.exists() and output.samefile(checkpoint):
        raise click.UsageError(f"{output} is the checkpoint: it would be replaced")
    try:
        from aasist.export.onnx import export as write
        from aasist.model import checkpoint as checkpoints
    except ModuleNotFoundError as error:
        raise MissingExtra("export", "export") from error
    from aasist.runtime.modelfile import Calibration, ModelNotes
    from aasist.session import SAMPLE_RATE

    model = checkpoints.load(checkpoint)
    architecture = model.architecture
    hop = architecture.window_samples // 2 if hop_seconds is None else round(hop_seconds * SAMPLE_RATE)
    notes = ModelNotes(
        name=name or architecture.name,
        version=model_version,
        variant=architecture.to_json(),
        window_samples=architecture.window_samples,
        hop_samples=hop,
        calibration=None if slope is None or offset is None else Calibration(slope, offset),
        threshold=threshold,
        training=training,
        licence=licence,
    )
    click.echo(f"exporting {architecture.name}; this takes a minute", err=True)
    difference = write(model, output, notes)
    click.echo(f"{output}: {output.stat().st_size / 1e6:.2f} MB, within {difference:.1g} of torch")
