"""Windows to round a model by: drawn from recordings by a seed, a window a recording, as many of each class."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aasist.audio.listen import Listener
from aasist.audio.read import open_audio
from aasist.errors import AasistError, AudioError
from aasist.session import Float32

FEWEST = 4
"""Windows of a class, or of recordings without a class, below which ranges say nothing."""

WINDOWS_HEARD = 8
"""Of a recording, of which one is drawn: a recording of hours is not read to its end for one window."""


@dataclass(frozen=True, eq=False)
class Drawn:
    """``windows`` (N, T) float32 and the recording (N,) of each; how many recordings held no speech or could not be read."""

    windows: Float32
    paths: tuple[str, ...]
    silent: int = 0
    unreadable: int = 0

    def split(self, first: int) -> tuple[Drawn, Drawn]:
        """The first ``first`` windows, and the rest."""
        counts = self.silent, self.unreadable
        return (
            Drawn(self.windows[:first], self.paths[:first], *counts),
            Drawn(self.windows[first:], self.paths[first:]),
        )


def windows_of_speech(
    paths: Sequence[Path | str],
    wanted: int,
    *,
    window_samples: int,
    hop_samples: int,
    seed: int,
    what: str = "recordings",
    progress: Callable[[int], None] | None = None,
) -> Drawn:
    """``wanted`` windows of speech, each of another recording, as ``aasist detect`` would place them; fewer where no more
    recordings hold speech.

    ``paths`` are gone through in an order that ``seed`` draws. Raises `AasistError` ``calibration`` where fewer than
    `FEWEST` windows are found; ``what`` names the recordings in it.
    """
    random = np.random.default_rng(seed)
    windows: list[Float32] = []
    names: list[str] = []
    silent = unreadable = 0
    first = ""
    for number in random.permutation(len(paths)).tolist():
        if len(windows) == wanted:
            break
        path = os.fspath(paths[number])
        try:
            found = _windows_of(path, window_samples, hop_samples)
        except AudioError as error:
            unreadable += 1
            first = first or f", the first {path}: {error.message}"
            continue
        if not found:
            silent += 1
            continue
        windows.append(found[int(random.integers(len(found)))])
        names.append(path)
        if progress is not None:
            progress(len(windows))
    if len(windows) < min(FEWEST, wanted):
        raise AasistError(
            "calibration",
            f"{len(paths)} {what} gave {len(windows)} windows of speech, and {min(FEWEST, wanted)} is the least that a range is "
            f"measured by ({silent} without speech, {unreadable} unreadable{first}): give more, or other recordings",
        )
    return Drawn(np.stack(windows), tuple(names), silent, unreadable)


def interleaved(first: Drawn, second: Drawn) -> Drawn:
    """The windows of both in turn, so that every beginning holds as many of each class; the rest of the longer one last."""
    both = min(len(first.paths), len(second.paths))
    order: NDArray[np.intp] = np.concatenate(
        [
            np.stack([np.arange(both), len(first.paths) + np.arange(both)], axis=1).ravel(),
            np.arange(both, len(first.paths)),
            len(first.paths) + np.arange(both, len(second.paths)),
        ]
    )
    paths = (*first.paths, *second.paths)
    return Drawn(
        np.concatenate([first.windows, second.windows])[order],
        tuple(paths[row] for row in order.tolist()),
        first.silent + second.silent,
        first.unreadable + second.unreadable,
    )


def _windows_of(path: str, window_samples: int, hop_samples: int) -> list[Float32]:
    with open_audio(path) as reader:
        listener = Listener(reader, window_samples=window_samples, hop_samples=hop_samples)
        return [window.samples for window in islice(listener, WINDOWS_HEARD)]
