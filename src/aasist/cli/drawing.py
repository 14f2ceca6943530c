"""The windows that a rounding is made by: drawn from the corpus, or from recordings that are named."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aasist.cli.find import STANDARD_INPUT, find
from aasist.cli.progress import counting
from aasist.errors import AasistError
from aasist.export.windows import Drawn, interleaved, windows_of_speech
from aasist.runtime.modelfile import ModelNotes
from aasist.trial import Trials

FEWEST_WINDOWS = 16
"""In all, of both classes: half for ranges, half for trying layers."""


@dataclass(frozen=True)
class Windows:
    """What ``ranges`` are measured on and what layers are tried on (``held_out``), and the seed of the draw."""

    ranges: Drawn
    held_out: Drawn
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """For a report."""
        return {
            "seed": self.seed,
            "ranges": len(self.ranges.paths),
            "held_out": len(self.held_out.paths),
            "without_speech": self.ranges.silent + self.held_out.silent,
            "unreadable": self.ranges.unreadable + self.held_out.unreadable,
        }


def windows_for(
    trials: Trials, root: Path, notes: ModelNotes, *, elsewhere: tuple[str, ...], count: int, seed: int
) -> Windows:
    """``count`` windows for ranges and as many held out, each of another recording and as many of each class; those for
    ranges of the recordings ``elsewhere`` names, if any.

    Of fewer recordings half as many go to each. Raises `AasistError` ``calibration`` where they hold too little speech.
    """
    if elsewhere:
        paths = _named(elsewhere)
        ranges = _drawn(paths, count, notes, seed, "recordings named")
        return Windows(ranges, _of_classes(trials, root, notes, count, seed), seed)
    both = _of_classes(trials, root, notes, 2 * count, seed)
    if len(both.paths) < FEWEST_WINDOWS:
        raise AasistError(
            "calibration",
            f"{len(trials):,} trials gave {len(both.paths)} windows of speech, {FEWEST_WINDOWS} is the least: half to measure "
            "ranges, half to try layers on; take a larger corpus, or --recordings for the ranges",
        )
    ranges, held_out = both.split(len(both.paths) // 4 * 2)
    return Windows(ranges, held_out, seed)


def any_window(trials: Trials, root: Path, notes: ModelNotes, seed: int) -> Drawn:
    """One window, to time models on."""
    return _drawn(_paths(trials, root, True), 1, notes, seed, "bona fide trials")


def _of_classes(trials: Trials, root: Path, notes: ModelNotes, count: int, seed: int) -> Drawn:
    """``count`` windows in turn of each class."""
    bonafide, spoof = (
        _drawn(_paths(trials, root, which), count // 2, notes, seed, what)
        for which, what in ((True, "bona fide trials"), (False, "spoofed trials"))
    )
    return interleaved(bonafide, spoof)


def _drawn(paths: list[Path], count: int, notes: ModelNotes, seed: int, what: str) -> Drawn:
    with counting(f"drawing windows of {what}", min(count, len(paths))) as progress:
        return windows_of_speech(
            paths,
            count,
            window_samples=notes.window_samples,
            hop_samples=notes.hop_samples,
            seed=seed,
            what=what,
            progress=progress,
        )


def _paths(trials: Trials, root: Path, bonafide: bool) -> list[Path]:
    assert trials.bonafide is not None
    if "path" not in trials.columns:
        raise AasistError("calibration", f"{trials.source}: no column 'path': where the recordings lie is not known")
    return [root / path for path in trials.columns["path"][trials.bonafide == bonafide].tolist()]


def _named(elsewhere: tuple[str, ...]) -> list[Path]:
    if STANDARD_INPUT in elsewhere:
        raise AasistError("usage", "--recordings takes files and folders: one recording alone measures no range")
    found = []
    for name, source in find(elsewhere, 0):
        if isinstance(source, AasistError):
            raise AasistError(source.code, f"{name}: {source.message}")
        found.append(Path(str(source)))
    return found
