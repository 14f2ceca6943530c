"""``aasist calibrate``: scores, or a model on labelled recordings, to calibrated llr."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from aasist.cli.options import (
    CorpusOptions,
    KeyOptions,
    RuntimeOptions,
    corpus_options,
    key_options,
    runtime_options,
    threads_option,
)
from aasist.cli.output import require_files

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aasist.evaluation.dcf import DetectionCosts
    from aasist.evaluation.operating import OperatingPoint
    from aasist.runtime.points import NamedPoint

DEVELOPMENT = ("dev", "validation", "en_dev", "progress")
"""What challenges call the part that is for choosing: the first that a corpus has is what a model is fitted to. On the part
for evaluation, the map and the threshold would bend the measure."""


@click.command()
@click.argument("scores", type=click.Path(path_type=Path), required=False)
@key_options
@corpus_options("dev or what stands for it, where there are subsets; evaluate takes another")
@click.option("--model", metavar="NAME|PATH", help="Calibrate this model: a shipped name or an ONNX file of ours.")
@runtime_options
@click.option(
    "--condition",
    "degraded",
    multiple=True,
    metavar="NAME",
    help="With --model: fit to the recordings as they are and to copies of them under this condition too, such as mp3-64; may "
    "be repeated (aasist evaluate --list names them).",
)
@click.option(
    "--carry-over",
    metavar="COLUMN",
    help="Column of the trials, such as source: the map that holds for values of it that it was not fitted to, rather than the "
    "best for these.",
)
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
@threads_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def calibrate(
    scores: Path | None,
    key: KeyOptions,
    recordings: CorpusOptions,
    model: str | None,
    running: RuntimeOptions,
    degraded: tuple[str, ...],
    carry_over: str | None,
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
    that the map was fitted to: evaluate on others. --carry-over source leaves out each source in turn, and takes back as much
    of the map's certainty as the sources left out show to be too much. Beside the threshold that --point chooses, the model carries those at
    equal error rates and at 5 and 1 % of bona fide rejected (0.1 % from 3,000 bona fide trials), which detect --threshold
    takes by name, with 95 % intervals of their error rates by a bootstrap over speakers; copies under --condition count as
    the recordings they are of. Of a challenge's corpus, and of a manifest with subsets, the part for development is taken,
    which evaluate does not take. Exit code 1: some recordings could not be read.
    """
    from aasist.cli.figures import warn
    from aasist.cli.fitting import fitted, points_of, scored_with_key
    from aasist.errors import ProtocolError
    from aasist.evaluation.calibration import cllr, min_cllr
    from aasist.evaluation.cautions import few_to_fit
    from aasist.evaluation.operating import by_cost, by_eer, by_miss
    from aasist.evaluation.tally import Tally

    if (scores is None) == (model is None):
        raise click.UsageError("give a score file, or --model with --corpus and --root")
    costs = _costs(spoof_prior, miss_cost, acceptance_cost)
    if not 0 <= most_missed < 1:
        raise click.UsageError(f"--most-missed must be from 0 to below 1, got {most_missed}")
    given = (scores, key.protocol, None if model is None else Path(model))
    require_files((output, "-o"), (plot, "--plot"), inputs=given)
    if plot is not None:
        from aasist.cli.plot import require_matplotlib

        require_matplotlib()
    _require_model_file(model, output)
    recordings = for_development(recordings)
    found_scores = scored_with_key(scores, key, recordings, model, degraded, threads, running)
    trials, values, labels = found_scores.trials, found_scores.values, found_scores.labels
    try:
        slope, offset, carried = fitted(found_scores, carry_over)
        llrs = np.asarray(slope * values + offset)
        before, after = (Tally.of(some[labels], some[~labels]) for some in (values, llrs))
    except ValueError as error:
        raise ProtocolError(str(error), path=scores or trials.source) from error
    bonafide, spoofs = found_scores.counts
    warn(few_to_fit(bonafide, spoofs))
    named = points_of(found_scores, llrs, threads)
    points: dict[str, Callable[[], OperatingPoint]] = {
        "cost": lambda: by_cost.of(after, costs),
        "eer": lambda: by_eer.of(after),
        "miss": lambda: by_miss.of(after, most_missed),
    }
    chosen = points[point]()
    found = {
        "bonafide": bonafide,
        "spoof": spoofs,
        "subset": recordings.subset,
        "slope": slope,
        "offset": offset,
        "cllr_before": cllr.of(before),
        "cllr_after": cllr.of(after),
        "min_cllr": min_cllr.of(after),
        "carry_over": None if carried is None else {"column": carry_over} | asdict(carried),
        "operating_point": vars(chosen),
        "conditions": list(found_scores.conditions),
        "points": [asdict(one) for one in named],
        "output": None if output is None else str(output),
    }
    if plot is not None:
        from aasist.evaluation.charts import calibration_chart

        calibration_chart(before, after, plot)
    if output is not None and model is not None:
        _write_model(model, output, slope, offset, chosen, named, running.precision)
    elif output is not None:
        from aasist.protocol.scores import write_scores

        write_scores(output, trials, llrs, "tsv")
    click.echo(
        json.dumps(found, allow_nan=False)
        if as_json
        else said(found, chosen, named, "scores" if model is None else "model")
    )
    click.get_current_context().exit(1 if found_scores.unreadable else 0)


def said(found: Mapping[str, Any], chosen: OperatingPoint, named: tuple[NamedPoint, ...], what: str) -> str:
    """The figures for people, a line each, and ``what`` was written where."""
    from aasist.cli.operating import in_words

    subset = f" of {found['subset']}" if found["subset"] else ""
    carried = found["carry_over"]
    copies = f", as they are and under {', '.join(found['conditions'])}" if found["conditions"] else ""
    counts = f"{found['bonafide']:,} bona fide and {found['spoof']:,} spoofs{subset}{copies}"
    return "\n".join(
        [
            f"llr = {found['slope']:.4g} x score {found['offset']:+.4g}, from {counts}",
            f"Cllr {found['cllr_before']:.3f} bits before, {found['cllr_after']:.3f} after, {found['min_cllr']:.3f} at best",
            *([] if carried is None else [_left_out(carried)]),
            f"threshold {chosen.threshold:.4f} on llr; {chosen}",
            *(f"  {point.name:8} {point.threshold:+8.3f}  {in_words(point)}" for point in named),
            *([] if found["output"] is None else [f"{found['output']}: the calibrated {what}"]),
        ]
    )


def _left_out(carried: Mapping[str, Any]) -> str:
    return (
        f"Cllr {carried['left_out_cllr']:.3f} bits on each of {carried['groups']:,} values of {carried['column']} by the map of the"
        f" others, {carried['carried_cllr']:.3f} as it was changed to carry over"
    )


def _costs(spoof_prior: float, miss: float, acceptance: float) -> DetectionCosts:
    """The options of ``--point cost`` in one."""
    from aasist.evaluation.dcf import DetectionCosts

    if not (miss > 0 and acceptance > 0):
        raise click.UsageError(f"--miss-cost and --acceptance-cost must be above 0, got {miss:g} and {acceptance:g}")
    try:
        return DetectionCosts(spoof_prior, miss, acceptance)
    except ValueError as error:
        raise click.UsageError(f"--point cost: {error}") from error


def for_development(recordings: CorpusOptions) -> CorpusOptions:
    """The same with a subset: without ``--subset``, of a challenge's corpus the first of `DEVELOPMENT` that it has, and of a
    manifest with subsets the one for that. ``click.UsageError`` where such a manifest has none."""
    from aasist.protocol.corpora import ALL, CORPORA, read_corpus
    from aasist.protocol.subsets import DEV, EVALUATION, OWN_NAMES

    if recordings.subset is not None or recordings.corpus not in CORPORA or recordings.root is None:
        return recordings
    if recordings.corpus != "manifest":
        has = CORPORA[recordings.corpus].subsets
        return replace(recordings, subset=next((name for name in DEVELOPMENT if name in has), None))
    column = read_corpus("manifest", recordings.root, ALL).columns.get("subset")
    named = [] if column is None else [name for name in dict.fromkeys(column.tolist()) if name]
    if not named:
        return recordings
    own = next((name for name in OWN_NAMES[DEV] if name in named), None)
    if own is None:
        rest = [name for name in named if not EVALUATION.search(name)]
        raise click.UsageError(
            f"{recordings.root}: which subset is for choosing? There is no 'dev', but {', '.join(named)}: name one by --subset"
            + (f" ({', '.join(rest)})" if rest else "; those for evaluation would bend the measure")
        )
    return replace(recordings, subset=own)


def _require_model_file(model: str | None, output: Path | None) -> None:
    """`ModelError` for a model that holds no calibration, where it is to be written."""
    if model is None or output is None:
        return
    from aasist.errors import ModelError
    from aasist.runtime.irfile import SUFFIX
    from aasist.runtime.models import CHECKPOINT_SUFFIXES, shipped

    if model not in shipped() and Path(model).suffix == SUFFIX:
        raise ModelError(
            "model",
            f"{model}: calibrate the ONNX file that it was made of, then write it anew: aasist export --openvino",
        )
    if model not in shipped() and Path(model).suffix in CHECKPOINT_SUFFIXES:
        raise ModelError(
            "model", f"{model}: a checkpoint holds no calibration; export it first, then calibrate the ONNX file"
        )


def _write_model(
    model: str,
    output: Path,
    slope: float,
    offset: float,
    chosen: OperatingPoint,
    named: tuple[NamedPoint, ...],
    precision: str | None,
) -> None:
    """The model's file again, with its old map followed by the new one, and the thresholds; scored in another precision than
    the file's own, what was stated for that stays, and this is stated beside it."""
    from aasist.cli.fitting import recalibrated
    from aasist.runtime import modelfile
    from aasist.runtime.models import shipped, shipped_folder

    path = shipped_folder() / shipped()[model]["file"] if model in shipped() else Path(model)
    content, notes = modelfile.read(path)
    name = notes.name if notes.name.endswith("-calibrated") else f"{notes.name}-calibrated"
    again = recalibrated(notes, slope, offset, chosen, named, precision=precision)
    modelfile.write(output, content, replace(again, name=name))
