"""What a calibration is fitted to: a score file, or a model's scores of recordings and of degraded copies of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from aasist.errors import ProtocolError
from aasist.trials.points import drawn_together

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from aasist.cli.options import CorpusOptions, KeyOptions, RuntimeOptions
    from aasist.evaluation.calibration import Carried
    from aasist.evaluation.tally import Float64
    from aasist.runtime.detector import Detector
    from aasist.trial import Booleans, Trials
    from aasist.trials.conditions import Condition


@dataclass(frozen=True)
class KeyedScores:
    """What a map is fitted to: ``values`` (N,) and ``labels`` (N,), of the recordings under each of ``conditions``;
    ``speakers`` (N,) tells which are drawn together, ``recordings`` (N,) which are one recording under several conditions.
    ``trials`` are the recordings themselves."""

    trials: Trials
    values: Float64
    labels: Booleans
    speakers: NDArray[Any]
    recordings: NDArray[Any]
    conditions: tuple[str, ...] = ()
    unreadable: int = 0

    @property
    def counts(self) -> tuple[int, int]:
        """Bona fide recordings and spoofs, however often each was scored."""
        assert self.trials.bonafide is not None
        bonafide = int(self.trials.bonafide.sum())
        return bonafide, len(self.trials) - bonafide


def fitted(scored: KeyedScores, carry_over: str | None) -> tuple[float, float, Carried | None]:
    """Slope and offset of the map to llr, and where it is to carry over from values of a column to others, how it does.

    Raises ``ValueError`` for scores that no map calibrates, `ProtocolError` for trials without that column.
    """
    from aasist.evaluation.calibration import fit_affine, fit_carried

    values, labels, trials = scored.values, scored.labels, scored.trials
    if carry_over is None:
        return *fit_affine(values[labels], values[~labels]), None
    if carry_over not in trials.columns:
        there_are = ", ".join(trials.columns) or "none"
        raise ProtocolError(f"no column {carry_over!r} to carry over; there are: {there_are}", path=trials.source)
    of_recording = dict(zip(trials.ids.tolist(), trials.columns[carry_over].tolist(), strict=True))
    carried = fit_carried(values, labels, [of_recording[recording] for recording in scored.recordings.tolist()])
    return carried.slope, carried.offset, carried


def scored_with_key(
    scores: Path | None,
    key: KeyOptions,
    recordings: CorpusOptions,
    model: str | None,
    conditions: tuple[str, ...],
    threads: int | None,
    running: RuntimeOptions,
) -> KeyedScores:
    """Scores with a key: of the score file, or by the model on the recordings."""
    if scores is not None:
        from aasist.cli.keyed import keyed_scores

        if recordings or conditions or running:
            raise click.UsageError(
                "--corpus, --root, --subset, --runtime, --precision and --condition go with --model; a score file takes "
                "--protocol"
            )
        trials, values = keyed_scores(scores, key)
        assert trials.bonafide is not None
        return KeyedScores(trials, values, trials.bonafide, drawn_together(trials), trials.ids)
    from aasist.cli.scoring import scored_trials, trials_of

    if key:
        raise click.UsageError(
            "--protocol, --layout and --where go with a score file; a model takes --corpus and --root"
        )
    assert model is not None
    from aasist.audio.encode import EncoderMissing
    from aasist.cli.stress import conditions_named
    from aasist.runtime.detector import Detector

    degraded = [condition for condition in conditions_named(conditions) if condition.name != "clean"]
    for condition in degraded:
        if condition.unavailable is not None:
            raise EncoderMissing(f"{condition.name}: {condition.unavailable}")
    trials, folder = trials_of(recordings)
    detector = Detector(model, threads=threads, **running.given())
    clean = scored_trials(detector, trials, folder)
    assert clean.trials.bonafide is not None
    parts = [(clean.trials.bonafide, clean.values, drawn_together(clean.trials), clean.trials.ids)]
    if degraded:
        parts += _degraded(detector, clean.trials, folder, degraded)
    labels, values, speakers, recorded = (np.concatenate(column) for column in zip(*parts, strict=True))
    names = tuple(condition.name for condition in degraded)
    return KeyedScores(clean.trials, values, labels, speakers, recorded, names, clean.unreadable)


def _degraded(
    detector: Detector, trials: Trials, folder: Path, conditions: list[Condition]
) -> list[tuple[Booleans, Float64, NDArray[Any], NDArray[Any]]]:
    """Labels, llr, who is drawn together and ids of the trials under each condition, but for those that have no llr under it."""
    from aasist.cli.progress import counting
    from aasist.trials.robustness import scores_under

    assert trials.bonafide is not None
    parts, together = [], drawn_together(trials)
    order = {condition.name: number for number, condition in enumerate(conditions)}
    with counting("degraded copies", len(conditions) * len(trials)) as progress:

        def report(condition: str, done: int, total: int) -> None:
            progress(order[condition] * total + done)

        for values in scores_under(detector, trials, folder, conditions, seed=0, progress=report):
            scored = np.isfinite(values)
            parts.append((trials.bonafide[scored], values[scored], together[scored], trials.ids[scored]))
    return parts
