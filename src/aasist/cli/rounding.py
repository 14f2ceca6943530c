"""A rounding from model to file: windows drawn, layers tried, both models scored, the calibration fitted anew."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from aasist.cli.calibrate import said as calibration_said
from aasist.cli.drawing import Windows, any_window, windows_for
from aasist.cli.figures import warn
from aasist.cli.fitting import KeyedScores, fitted, points_of, recalibrated
from aasist.cli.options import CorpusOptions
from aasist.cli.progress import counting
from aasist.cli.scoring import ScoredTrials, scored_trials, trials_of
from aasist.errors import ModelError, ProtocolError
from aasist.evaluation.calibration import cllr, min_cllr
from aasist.evaluation.cautions import few_to_fit
from aasist.evaluation.dcf import DetectionCosts
from aasist.evaluation.operating import by_cost
from aasist.evaluation.summary import known_speakers
from aasist.evaluation.tables import Table
from aasist.evaluation.tally import Float64, Tally
from aasist.export.half import halved
from aasist.export.price import Accuracy, Price, accuracy, time_ratio
from aasist.export.quantize import Rounding, in_words, require_float
from aasist.export.source import float_file
from aasist.export.sweep import Difference, Sweep, steps, swept
from aasist.runtime import modelfile
from aasist.runtime.detector import Detector
from aasist.runtime.modelfile import Calibration, ModelNotes
from aasist.runtime.notes import REDUCED_BITS
from aasist.runtime.onnx import OnnxSession
from aasist.runtime.saturation import saturates
from aasist.runtime.threads import available_threads
from aasist.session import BONAFIDE, SPOOF, Float32
from aasist.trials.points import drawn_together

EVEN = DetectionCosts(0.5, 1.0, 1.0)
"""What the threshold is for, as in ``aasist calibrate`` without options: both classes as likely, both errors as dear."""

TIMED_THREADS = 1
BATCH_WINDOWS = 2


@dataclass(frozen=True)
class Choices:
    """The options of ``aasist quantize``, by their names there."""

    precision: str = "int8"
    rest: str = "fp32"
    elsewhere: tuple[str, ...] = ()
    windows: int = 64
    tolerance: float = 0.1
    most_eer: float | None = None
    every_layer: bool = False
    weight_bits: int = REDUCED_BITS
    carry_over: str | None = None
    test: str | None = None
    seed: int = 0
    threads: int | None = None


@dataclass(frozen=True)
class Done:
    """What to show of a rounding; ``unreadable`` recordings of the corpus; whether int8 is ``slower`` than fp32 here, beyond what
    the turns vary by."""

    report: dict[str, Any]
    sweep: Table | None
    price: Table
    lines: str
    unreadable: int
    slower: bool


@dataclass(frozen=True)
class Attempt:
    """A rounded graph, what its notes say, and the sweep that chose its layers; None for float16."""

    content: bytes
    said: str
    sweep: Sweep | None = None
    weight_bits: int = 0


def write_rounded(model: str, output: Path, recordings: CorpusOptions, choices: Choices) -> Done:
    """Round ``model`` and write it to ``output``; on ``recordings`` its scores are compared and calibrated.

    Raises `AasistError` where the model or the recordings cannot be used; nothing is written then.
    """
    threads = choices.threads or available_threads()
    if choices.weight_bits > REDUCED_BITS and saturates():
        raise ModelError(
            "precision",
            f"sums of {choices.weight_bits}-bit weights are cut off on this processor (no VNNI), so that layers would be chosen and "
            f"scores calibrated by what comes out wrong: take --weight-bits {REDUCED_BITS}, or quantize where the file will run",
        )
    with tempfile.TemporaryDirectory() as name:
        source, draft = float_file(model, Path(name)), Path(name, "rounded.onnx")
        content, notes = modelfile.read(source)
        require_float(content, notes, model)
        trials, root = trials_of(recordings)
        tested = None if choices.test is None else trials_of(replace(recordings, subset=choices.test))[0]
        windows = _windows(trials, root, notes, choices)
        timed = any_window(trials, root, notes, choices.seed).windows
        before = Detector(source, threads=threads)
        scored = scored_trials(before, trials, root)

        for attempt in attempts(content, notes, windows, choices, threads):
            rounded = replace(
                notes, precision=choices.precision, quantised=attempt.said, weight_bits=attempt.weight_bits, stated=()
            )
            modelfile.write(draft, attempt.content, rounded)
            after = Detector(draft, threads=threads)
            again = scored_trials(after, scored.trials, root)
            figures = [_accuracy(recordings.subset or "corpus", scored, again, threads)]
            if choices.most_eer is None or figures[0].eer.difference <= choices.most_eer:
                break
        else:
            raise ModelError(
                "precision",
                f"with one layer left in int8 the EER is above that of fp32 by more than --most-eer {choices.most_eer:g}: allow "
                "more, or take --precision fp16",
            )
        if tested is not None:
            first = scored_trials(before, tested, root)
            figures.append(_accuracy(str(choices.test), first, scored_trials(after, first.trials, root), threads))
        ratio = time_ratio(
            OnnxSession(content, precision="fp32", threads=TIMED_THREADS),
            OnnxSession(attempt.content, precision=choices.precision, threads=TIMED_THREADS),
            timed,
            threads=TIMED_THREADS,
        )
        final, fit, lines = _calibrated(rounded, again, choices, recordings, output)
        sha256 = modelfile.write(output, attempt.content, final)
        price = Price(len(content), output.stat().st_size, ratio, figures)
    sweep = attempt.sweep
    report = {
        "model": model,
        "model_sha256": hashlib.sha256(content).hexdigest(),
        "output": str(output),
        "sha256": sha256,
        "precision": choices.precision,
        "quantised": attempt.said,
        "windows": None if windows is None else windows.to_dict(),
        "sweep": None if sweep is None else sweep.to_dict(),
        **price.to_dict(),
        "calibration": fit,
    }
    slower = choices.precision == "int8" and ratio.quartiles[1] < 1
    table = None if sweep is None else sweep.table()
    return Done(report, table, price.table(choices.precision), lines, scored.unreadable, slower)


def attempts(
    content: bytes, notes: ModelNotes, windows: Windows | None, choices: Choices, threads: int
) -> Iterator[Attempt]:
    """The graph rounded as chosen, then, each time one more is asked for, with a layer less in int8; in float16 (without
    ``windows``) once."""
    if windows is None:
        yield Attempt(halved(content), "weights stored as float16, turned to float32 when the model is loaded")
        return
    bits = choices.weight_bits
    with counting("measuring ranges", len(windows.ranges.paths)) as progress:
        rounding = Rounding(content, windows.ranges.windows, bits=bits, progress=progress)

    def llrs_of(model: bytes) -> Float64:
        return _llrs(model, windows.held_out.windows, notes.calibration or Calibration(), threads)

    with counting("trying layers", steps(rounding)) as progress:
        sweep = swept(
            rounding, llrs_of, tolerance=choices.tolerance, every_layer=choices.every_layer, progress=progress
        )
    if not sweep.chosen:
        raise ModelError(
            "precision",
            f"no convolution bears int8: the least that one does alone is {min(one.alone.mean for one in sweep.layers):.3g} llr, "
            f"--tolerance is {choices.tolerance:g}: allow more, or take --precision fp16",
        )
    while True:
        graph = rounding.rounded(sweep.chosen)
        if choices.rest == "fp16":
            graph = halved(graph)
        said = in_words(bits, len(windows.ranges.paths), sweep.chosen, rounding.layers, choices.rest)
        yield Attempt(graph, said, sweep, bits)
        fewer = sweep.without_worst()
        if not fewer:
            return
        reference = llrs_of(rounding.rounded(()))
        sweep = sweep.rounding(fewer, Difference.of(llrs_of(rounding.rounded(fewer)), reference))


def _windows(trials: Any, root: Path, notes: ModelNotes, choices: Choices) -> Windows | None:
    if choices.precision != "int8":
        return None
    return windows_for(trials, root, notes, elsewhere=choices.elsewhere, count=choices.windows, seed=choices.seed)


def _llrs(model: bytes, windows: Float32, calibration: Calibration, threads: int) -> Float64:
    """llr (N,) of windows (N, T) by the float model's calibration."""
    session = OnnxSession(model, precision="int8", threads=threads)
    starts = range(0, len(windows), BATCH_WINDOWS)
    logits = np.concatenate([session.run(windows[start : start + BATCH_WINDOWS]) for start in starts])
    margins = logits[:, BONAFIDE].astype(np.float64) - logits[:, SPOOF]
    return np.asarray(calibration.slope * margins + calibration.offset)


def _accuracy(subset: str, before: ScoredTrials, after: ScoredTrials, threads: int) -> Accuracy:
    assert before.trials.bonafide is not None
    speakers = known_speakers(before.trials.columns)[0]
    return accuracy(subset, before.values, after.values, before.trials.bonafide, speakers, threads=threads)


def _calibrated(
    notes: ModelNotes, scored: ScoredTrials, choices: Choices, recordings: CorpusOptions, output: Path
) -> tuple[ModelNotes, dict[str, Any], str]:
    """The notes with the map and thresholds that ``aasist calibrate`` would give them; the same for a report, and in
    words."""
    labels = scored.trials.bonafide
    assert labels is not None
    keyed = KeyedScores(scored.trials, scored.values, labels, drawn_together(scored.trials), scored.trials.ids)
    try:
        slope, offset, carried = fitted(keyed, choices.carry_over)
    except ValueError as error:
        raise ProtocolError(str(error), path=scored.trials.source) from error
    llrs = np.asarray(slope * scored.values + offset)
    before, tally = (Tally.of(some[labels], some[~labels]) for some in (scored.values, llrs))
    bonafide, spoof = keyed.counts
    warn(few_to_fit(bonafide, spoof))
    chosen, points = by_cost.of(tally, EVEN), points_of(keyed, llrs, choices.threads)
    found = {
        "bonafide": bonafide,
        "spoof": spoof,
        "subset": recordings.subset,
        "slope": slope,
        "offset": offset,
        "cllr_before": cllr.of(before),
        "cllr_after": cllr.of(tally),
        "min_cllr": min_cllr.of(tally),
        "carry_over": None if carried is None else {"column": choices.carry_over} | asdict(carried),
        "operating_point": vars(chosen),
        "conditions": [],
        "points": [asdict(point) for point in points],
        "output": str(output),
    }
    final = recalibrated(notes, slope, offset, chosen, points)
    return final, found, calibration_said(found, chosen, points, f"{choices.precision} model")
