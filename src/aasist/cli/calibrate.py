"""``aasist calibrate``: scores, or a model on labelled recordings, to calibrated llr."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aasist.cli.options import corpus_options, key_options

if TYPE_CHECKING:
    from aasist.evaluation.operating import OperatingPoint
    from aasist.evaluation.tally import Float64, Tally
    from aasist.trial import Booleans, Trials


@click.command()
@click.argument("scores", type=click.Path(path_type=Path), required=False)
@key_options
@corpus_options
@click.option("--model", metavar="NAME|PATH", help="Calibrate this model: a shipped name or an ONNX file of ours.")
@click.option(
    "--point",
    type=click.Choice(["cost", "eer", "miss"]),
    default="cost",
    show_default=True,
    help="How the threshold is chosen: by priors and costs, at equal error rates, or by a rate of rejected bona fide.",
)
@click.option("--most-missed", type=float, default=0.01, show_default=True, help="That rate, for --point miss.")
@click.option("--spoof-prior", type=float, default=0.5, show_default=True, help="For --point cost.")
@click.option("--miss-cost", type=float, default=1.0, show_default=True, help="For --point cost.")
@click.option("--acceptance-cost", type=float, default=1.0, show_default=True, help="For --point cost.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The calibrated scores (TSV); with --model the calibrated model (ONNX).",
)
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Draw the reliability before and after (PNG; extra: plots)."
)
@click.option("--threads", type=click.IntRange(min=1), help="[default: all that the process may use]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def calibrate(
    scores: Path | None,
    protocol: Path | None,
    layout: str | None,
    conditions: tuple[str, ...],
    corpus: str | None,
    root: Path | None,
    subset: str | None,
    model: str | None,
    point: str,
    most_missed: float,
    spoof_prior: float,
    miss_cost: float,
    acceptance_cost: float,
    output: Path | None,
    plot: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Fit the map from scores to calibrated log-likelihood ratios, and choose the threshold.

    Either a score file: aasist calibrate SCORES --protocol KEY -o calibrated.tsv. Or a model on your own labelled
    recordings: aasist calibrate --model efficient --corpus folders --root MINE -o mine.onnx, which detect then takes as
    --model mine.onnx.

    The map is affine and strictly increasing (logistic regression, both classes weighing one half): it changes no EER.
    Cllr is given before, after, and at the best that any increasing map could reach (PAV). They are measured on the trials
    that the map was fitted to: evaluate on others.
    """
    import numpy as np

    from aasist.errors import ProtocolError
    from aasist.evaluation.calibration import cllr, fit_affine, min_cllr
    from aasist.evaluation.dcf import DetectionCosts
    from aasist.evaluation.operating import by_cost, by_eer, by_miss
    from aasist.evaluation.tally import Tally

    if (scores is None) == (model is None):
        raise click.UsageError("give a score file, or --model with --corpus and --root")
    try:
        costs = DetectionCosts(spoof_prior, miss_cost, acceptance_cost)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if not 0 <= most_missed < 1:
        raise click.UsageError(f"--most-missed must be from 0 to below 1, got {most_missed}")
    if plot is not None:
        from aasist.cli.plot import require_matplotlib

        require_matplotlib()
    trials, values = _scored(scores, protocol, layout, conditions, corpus, root, subset, model, threads)
    labels = trials.bonafide
    assert labels is not None
    try:
        slope, offset = fit_affine(values[labels], values[~labels])
        before, after = Tally.of(values[labels], values[~labels]), _mapped(values, labels, slope, offset)
    except ValueError as error:
        raise ProtocolError(str(error), path=trials.source) from error
    chosen: OperatingPoint
    if point == "cost":
        chosen = by_cost.of(after, costs)
    else:
        chosen = by_eer.of(after) if point == "eer" else by_miss.of(after, most_missed)
    found = {
        "bonafide": int(labels.sum()),
        "spoof": int((~labels).sum()),
        "slope": slope,
        "offset": offset,
        "cllr_before": cllr.of(before),
        "cllr_after": cllr.of(after),
        "min_cllr": min_cllr.of(after),
        "operating_point": vars(chosen),
    }
    if plot is not None:
        from aasist.evaluation.charts import calibration_chart

        calibration_chart(before, after, plot)
    if output is not None and model is not None:
        _write_model(model, output, slope, offset, chosen)
    elif output is not None:
        from aasist.protocol.scores import write_scores

        write_scores(output, trials, np.asarray(slope * values + offset), "tsv")
    if as_json:
        click.echo(json.dumps(found, allow_nan=False))
        return
    click.echo(
        f"llr = {slope:.4f} x score {offset:+.4f}, from {found['bonafide']:,} bona fide and {found['spoof']:,} spoofs"
    )
    click.echo(
        f"Cllr {found['cllr_before']:.3f} bits before, {found['cllr_after']:.3f} after, {found['min_cllr']:.3f} at best"
    )
    click.echo(f"threshold {chosen.threshold:.4f} on llr; {chosen}")


def _mapped(values: Float64, labels: Booleans, slope: float, offset: float) -> Tally:
    from aasist.evaluation.tally import Tally

    llrs = slope * values + offset
    return Tally.of(llrs[labels], llrs[~labels])


def _scored(
    scores: Path | None,
    protocol: Path | None,
    layout: str | None,
    conditions: tuple[str, ...],
    corpus: str | None,
    root: Path | None,
    subset: str | None,
    model: str | None,
    threads: int | None,
) -> tuple[Trials, Float64]:
    """Trials with a key, and their scores: of the score file, or by the model on the recordings."""
    if scores is not None:
        from aasist.cli.metrics import keyed_scores

        if corpus is not None or root is not None:
            raise click.UsageError("--corpus and --root go with --model; a score file takes --protocol")
        return keyed_scores(scores, protocol, layout, conditions)
    from aasist.cli.evaluate import scored_trials, trials_of

    if protocol is not None:
        raise click.UsageError("--protocol goes with a score file; a model takes --corpus and --root")
    assert model is not None
    from aasist.runtime.detector import Detector

    trials, folder = trials_of(corpus, root, subset)
    result = scored_trials(Detector(model, threads=threads), trials, folder, first_window=False)
    return result.trials, result.values


def _write_model(model: str, output: Path, slope: float, offset: float, chosen: OperatingPoint) -> None:
    """The model's file again, with its old map followed by the new one, and the threshold."""
    from aasist.errors import ModelError
    from aasist.runtime import modelfile
    from aasist.runtime.models import CHECKPOINT_SUFFIXES, shipped, shipped_folder

    path = shipped_folder() / shipped()[model]["file"] if model in shipped() else Path(model)
    if path.suffix in CHECKPOINT_SUFFIXES:
        raise ModelError(
            "model", f"{path}: a checkpoint holds no calibration; export it first, then calibrate the ONNX file"
        )
    content, notes = modelfile.read(path)
    old = notes.calibration or modelfile.Calibration()
    calibration = modelfile.Calibration(slope * old.slope, slope * old.offset + offset)
    name = notes.name if notes.name.endswith("-calibrated") else f"{notes.name}-calibrated"
    changed = replace(
        notes, name=name, calibration=calibration, threshold=chosen.threshold, operating_point=str(chosen)
    )
    modelfile.write(output, content, changed)
