"""The most confidently wrong trials, and what decided in them, as pictures for a report."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from aasist.evaluation.tally import Float64
    from aasist.runtime.detector import Detector
    from aasist.trial import Trials


def worst_rows(trials: Trials, values: Float64, count: int, threshold: float) -> list[int]:
    """Rows of at most ``count`` bona fide trials below the threshold and as many spoofs above it, worst first."""
    labels = trials.bonafide
    assert labels is not None
    order = np.argsort(values, kind="stable")
    rejected = [int(row) for row in order if labels[row] and values[row] < threshold][:count]
    accepted = [int(row) for row in order[::-1] if not labels[row] and values[row] >= threshold][:count]
    return rejected + accepted


def explained(
    detector: Detector, trials: Trials, values: Float64, folder: Path, count: int, threshold: float
) -> list[tuple[str, bytes]]:
    """Captions and PNGs of the ``count`` worst trials of each class, with the spans and bands that decided."""
    from aasist.cli.plot import draw
    from aasist.cli.progress import counting
    from aasist.trials.explanation import explain

    pictures = []
    rows = worst_rows(trials, values, count, threshold)
    assert trials.bonafide is not None
    with tempfile.TemporaryDirectory() as drawn, counting("explaining", len(rows)) as progress:
        for number, row in enumerate(rows):
            source = str(Path(folder, str(trials.columns["path"][row])))
            verdict = detector.detect(source)
            picture = draw(
                verdict,
                source,
                Path(drawn),
                number,
                channel=detector.channel,
                limits=detector.limits,
                explanation=explain(detector, source),
            )
            truth = "bona fide, called spoof" if trials.bonafide[row] else "spoof, called bona fide"
            pictures.append((f"{trials.ids[row]}: {truth} with llr {values[row]:.2f}", picture.read_bytes()))
            progress(number + 1)
    return pictures
