"""White-box attacks on the trials of a corpus: each is pushed towards the wrong class, and errors are counted again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aasist.audio.listen import Listener
from aasist.audio.read import open_audio, read
from aasist.audio.windows import Window
from aasist.errors import AudioError, ModelError, ProtocolError
from aasist.evaluation.figures import Choices
from aasist.evaluation.summary import known_speakers
from aasist.evaluation.tables import StressRow
from aasist.evaluation.tally import Float64
from aasist.model.whitebox import Attack, WhiteBox
from aasist.runtime import modelfile
from aasist.runtime.models import CHECKPOINT_SUFFIXES, shipped, shipped_checkpoint, shipped_folder, unknown
from aasist.session import Float32
from aasist.trial import Booleans, Trials
from aasist.trials.robustness import CLEAN, row_of
from aasist.trials.scoring import NO_SPEECH

GROUP = "white-box"


@dataclass(frozen=True, eq=False)
class Target:
    """A model to attack, by the name it was given, and how its detector places windows."""

    name: str
    box: WhiteBox
    hop_samples: int


@dataclass(frozen=True, eq=False)
class Heard:
    """A recording as far as windows reach: ``samples`` (N,) float32, and where in it the samples of each window stand,
    ``places`` (W, T)."""

    samples: Float32
    places: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Attacked:
    """What came of an attack on (N,) trials: margins as they are and by each ratio, NaN where a trial could not be scored;
    why not, by row; how many of those could not be read; and how many trials gave no gradient to go by."""

    clean: Float64
    by_snr: dict[float, Float64]
    reasons: dict[int, str]
    unreadable: int
    without_gradient: int

    @property
    def scored(self) -> Booleans:
        """Which trials (N,) have scores."""
        return np.isfinite(self.clean)


def target_of(model: str) -> Target:
    """The model of a checkpoint, or the checkpoint behind a shipped name.

    Raises `ModelError`: ``unknown_model`` where there is none, ``no_gradient`` for a file that has none to show.
    """
    if model in shipped():
        box = WhiteBox(shipped_checkpoint(model))
        return Target(model, box, modelfile.read(shipped_folder() / shipped()[model]["file"])[1].hop_samples)
    path = Path(model)
    if not os.path.isfile(path):  # noqa: PTH113 (Path.is_file raises on a name that is too long)
        raise unknown(model)
    if path.suffix not in CHECKPOINT_SUFFIXES:
        raise ModelError(
            "no_gradient",
            f"{model}: a white-box attack follows the score back to the waveform, and this file shows no gradient: give "
            f"the checkpoint that it was exported from ({' or '.join(CHECKPOINT_SUFFIXES)}), or a shipped name",
        )
    box = WhiteBox(path)
    return Target(model, box, box.architecture.window_samples // 2)


def drawn(trials: Trials, most: int | None, seed: int) -> Trials:
    """At most ``most`` trials of each class (None: all), in their order.

    Which, depends on the seed and on each trial's id alone: with other trials beside them, or more of them, mostly the
    same ones are drawn.
    """
    assert trials.bonafide is not None
    if most is None:
        return trials
    lots = np.array([hashlib.sha256(f"{seed} {id_}".encode()).hexdigest() for id_ in trials.ids.tolist()])
    kept = [rows[np.argsort(lots[rows])[:most]] for rows in map(np.flatnonzero, (trials.bonafide, ~trials.bonafide))]
    return trials.take(np.sort(np.concatenate(kept)))


def attack_trials(
    target: Target,
    trials: Trials,
    root: Path | str,
    snrs_db: Sequence[float],
    attack: Attack,
    *,
    first_window: bool = False,
    threads: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Attacked:
    """Push every trial towards the class that it is not, by each ratio in dB; ``progress`` gets the number done.

    Windows are those that the detector places on the recording as it is, or where ``first_window`` the first alone as
    `by_first_window` scores it. A trial that cannot be read or holds no speech costs its own score and no other's.
    """
    assert trials.bonafide is not None
    if "path" not in trials.columns:
        raise ProtocolError("no column 'path': where the recordings lie is not known", path=trials.source)
    clean, by_snr = np.full(len(trials), np.nan), {snr_db: np.full(len(trials), np.nan) for snr_db in snrs_db}
    reasons: dict[int, str] = {}
    unreadable = without_gradient = 0
    for row, (path, bonafide) in enumerate(zip(trials.columns["path"].tolist(), trials.bonafide.tolist(), strict=True)):
        try:
            heard = heard_in(Path(root, path), target, first_window=first_window, threads=threads)
        except AudioError as error:
            reasons[row] = error.message
            unreadable += error.code != NO_SPEECH
        else:
            draw = int(hashlib.sha256(str(trials.ids[row]).encode()).hexdigest()[:12], 16)
            pushed = target.box.pushed(heard.samples, heard.places, list(by_snr), attack, up=not bonafide, draw=draw)
            clean[row] = pushed.clean
            for scores, margin in zip(by_snr.values(), pushed.attacked, strict=True):
                scores[row] = margin
            without_gradient += not pushed.has_gradient
        if progress is not None:
            progress(row + 1)
    return Attacked(clean, by_snr, reasons, unreadable, without_gradient)


def heard_in(path: Path, target: Target, *, first_window: bool = False, threads: int = 1) -> Heard:
    """What the detector would score of a recording; `AudioError` where it cannot be read, ``no_speech`` where that is
    nothing."""
    window_samples = target.box.architecture.window_samples
    if first_window:
        samples = read(os.fspath(path))
        return Heard(samples[:window_samples], np.arange(window_samples)[None] % min(len(samples), window_samples))
    with open_audio(os.fspath(path)) as reader:
        listener = Listener(reader, window_samples=window_samples, hop_samples=target.hop_samples, threads=threads)
        windows = list(listener)
    if not windows:
        raise AudioError(NO_SPEECH, "nothing to score: no speech was found")
    return _joined(windows)


def _joined(windows: Sequence[Window]) -> Heard:
    """Windows that may overlap -> the recording from the first to the end of the last; zeros where none looks."""
    first = min(window.start for window in windows)
    samples = np.zeros(max(window.start + window.length for window in windows) - first, np.float32)
    places = np.empty((len(windows), len(windows[0].samples)), np.int64)
    for window, place in zip(windows, places, strict=True):
        start = window.start - first
        samples[start : start + window.length] = window.samples[: window.length]
        place[:] = start + np.arange(len(place)) % window.length
    return Heard(samples, places)


def rows_of(attacked: Attacked, trials: Trials, attack: Attack, choices: Choices) -> Iterator[StressRow]:
    """EER of the trials as they are, then under each strength with its change against that, with intervals."""
    assert trials.bonafide is not None
    speakers = known_speakers(trials.columns)[0]
    yield row_of(*(CLEAN, CLEAN, "as recorded"), attacked.clean, attacked.clean, trials.bonafide, speakers, choices)
    for snr_db, scores in attacked.by_snr.items():
        name = f"{attack.kind}-{snr_db:g}db"
        said = f"no sample changed by more than a level {snr_db:g} dB below the recording's"
        yield row_of(name, GROUP, said, scores, attacked.clean, trials.bonafide, speakers, choices)
