"""``aasist quantize``: a model as int8, or with its weights in float16, and what that saves and costs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click
from click.core import ParameterSource

from aasist.cli.options import CorpusOptions, corpus_options, threads_option
from aasist.errors import MissingExtra

OF_INT8 = {
    "--recordings": "elsewhere",
    "--tolerance": "tolerance",
    "--most-eer": "most_eer",
    "--every-layer": "every_layer",
    "--weight-bits": "weight_bits",
    "--rest": "rest",
}
"""Options that say how layers are rounded, and their parameters."""


@click.command()
@click.argument("model", metavar="MODEL")
@corpus_options("dev or what stands for it, where there are subsets; never that for evaluation")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The ONNX file to write; one that is there is replaced.",
)
@click.option(
    "--precision",
    type=click.Choice(["int8", "fp16"]),
    default="int8",
    show_default=True,
    help="int8: convolutions in integers. fp16: weights stored at half their size, the arithmetic as it was.",
)
@click.option(
    "--rest",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="With int8: how the weights of layers that stay float are stored.",
)
@click.option(
    "--recordings",
    "elsewhere",
    multiple=True,
    metavar="PATH",
    help="Measure ranges on these files or folders, such as training data; may be repeated.  [default: on the corpus, as "
    "many of each class]",
)
@click.option(
    "--windows",
    type=click.IntRange(min=8),
    default=64,
    show_default=True,
    help="Windows that ranges are measured on, and as many others that layers are tried on.",
)
@click.option(
    "--tolerance",
    type=float,
    default=0.1,
    show_default=True,
    help="Mean difference of llr from fp32 on those others: layers go back to float until it holds.",
)
@click.option(
    "--most-eer",
    type=float,
    metavar="FRACTION",
    help="Layers go back to float until the EER is above that of fp32 by this at the most, such as 0.01.",
)
@click.option(
    "--every-layer",
    is_flag=True,
    help="Offer int8 to graph layers, readout, sinc filters and convolutions of few channels too: smaller, not faster.",
)
@click.option(
    "--weight-bits",
    type=click.Choice(["7", "8"]),
    default="7",
    show_default=True,
    help="7 for files that run anywhere; 8 are a little nearer to fp32, and run on processors with VNNI or ARM's dot products "
    "alone, which this has to be one of.",
)
@click.option("--carry-over", metavar="COLUMN", help="Of the calibration, as in aasist calibrate.")
@click.option("--test", metavar="SUBSET", help="Compare both models on this subset too.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draw of windows.")
@threads_option
@click.option("--json", "as_json", is_flag=True, help="The report as one JSON object instead of tables.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the report (JSON) to this file.")
def quantize(
    model: str,
    recordings: CorpusOptions,
    output: Path,
    precision: str,
    rest: str,
    elsewhere: tuple[str, ...],
    windows: int,
    tolerance: float,
    most_eer: float | None,
    every_layer: bool,
    weight_bits: str,
    carry_over: str | None,
    test: str | None,
    seed: int,
    threads: int | None,
    as_json: bool,
    out: Path | None,
) -> None:
    """Write MODEL (a shipped name, an ONNX file of ours or a checkpoint) as int8, or with weights in float16.

    Each layer is rounded alone and scored on windows held out; then all convolutions together, and while the difference is
    above --tolerance the worst goes back to float. The scores move, so the file carries a calibration and thresholds of its
    own, fitted on the corpus as aasist calibrate does it: for development, never for evaluation. Printed are the sweep, and
    size, time and EER against fp32: time as a ratio in turns on this machine with one thread, EER with a paired 95 %
    interval.

    int8 pays where processors multiply int8 faster than float (VNNI, ARM's dot products); elsewhere it saves size alone,
    and --precision fp16 does that at less cost. Exit code 1: some recordings could not be read.
    """
    from aasist.cli.calibrate import for_development
    from aasist.cli.output import require_files, require_onnx

    if not (math.isfinite(tolerance) and tolerance > 0):
        raise click.UsageError(f"--tolerance must be a number above 0, got {tolerance}")
    if most_eer is not None and not 0 <= most_eer < 1:
        raise click.UsageError(f"--most-eer must be a fraction from 0 to below 1, got {most_eer}")
    if precision == "fp16":
        source = click.get_current_context().get_parameter_source
        given = [option for option in OF_INT8 if source(OF_INT8[option]) is not ParameterSource.DEFAULT]
        if given:
            raise click.UsageError(f"{', '.join(given)}: with --precision int8 alone; fp16 tries no layers")
    require_files((output, "-o"), (out, "--out"), inputs=(Path(model),))
    require_onnx(output)
    try:
        from aasist.cli.rounding import Choices, write_rounded
        from aasist.evaluation.tables import Table
    except ModuleNotFoundError as error:
        raise MissingExtra("quantize", "export") from error

    chosen = Choices(
        precision=precision,
        rest=rest,
        elsewhere=elsewhere,
        windows=windows,
        tolerance=tolerance,
        most_eer=most_eer,
        every_layer=every_layer,
        weight_bits=int(weight_bits),
        carry_over=carry_over,
        test=test,
        seed=seed,
        threads=threads,
    )
    done = write_rounded(model, output, for_development(recordings), chosen)
    text = json.dumps(done.report, allow_nan=False)
    if out is not None:
        from aasist import files

        files.write(out, f"{text}\n".encode())
    if as_json:
        click.echo(text)
    else:
        tables: list[Table] = [table for table in (done.sweep, done.price) if table is not None]
        click.echo("\n\n".join([*(table.text() for table in tables), done.lines]))
        if done.slower:
            click.echo("Slower than fp32 on this processor; --precision fp16 saves size at the speed of fp32.")
    click.get_current_context().exit(1 if done.unreadable else 0)
