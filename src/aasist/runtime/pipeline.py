"""The cascade: a small model judges every recording, a larger one those that it is not sure of."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np

from aasist.audio.listen import Listen
from aasist.audio.read import ReadLimits, Source
from aasist.audio.source import is_seekable, spool
from aasist.audio.windows import Window
from aasist.runtime.detector import Detector, judged, name_of
from aasist.runtime.hysteresis import MARGIN_LLR, merged
from aasist.runtime.models import CASCADE, DEFAULT_MODEL
from aasist.runtime.runtimes import AUTO
from aasist.runtime.threads import Division
from aasist.runtime.verdict import Note, Span, Verdict
from aasist.session import Session

STAGES = ("small", DEFAULT_MODEL)
Item = TypeVar("Item")
Band = tuple[float, float]
"""llrs above the threshold, lowest and highest, at which a stage is not sure."""

DOUBT: dict[tuple[str, ...], tuple[Band, ...]] = {STAGES: ((-0.75, 1.0),)}
"""Stages -> the band of each but the last, measured: docs/cascade-table.md, by benchmarks/cascade.py."""

EVERY = 1
"""The first model hears every window. Of every second one (and the last) it takes half as long, and a stretch of up to 2 s of speech
at a time goes unheard."""

KEPT_BYTES = 64 << 20
"""Windows kept for the next stage (259 of 4 s, 13 minutes of speech); a longer recording is read again instead."""


class Pipeline:
    """Detectors in a row, called as one `Detector`; ``Verdict.model`` says which of them decided.

    The recording is decoded and searched for speech once. Its windows, or one in ``every`` and the last, are scored by the first
    model; where its llr less the threshold lies within the stage's band of ``doubt``, all windows by the next. What cannot
    be decided whatever the score (silence, clipping, noise, too little speech) goes no further. Segments change sides with
    hysteresis.

    ``stages`` are models as `Detector` takes them, ``doubt`` a band for each but the last; None is what was measured for shipped
    stages. The other options are `Detector`'s, for all stages; ``threshold`` as a name is each model's own point of that name.
    Raises ``ModelError`` as `Detector` does, ValueError for bands that do not fit.
    """

    def __init__(
        self,
        stages: Sequence[str | Path] = STAGES,
        *,
        doubt: Sequence[Band] | None = None,
        every: int = EVERY,
        threshold: float | str | None = None,
        threads: int | None = None,
        channel: int | None = None,
        limits: ReadLimits | None = None,
        runtime: str = AUTO,
        precision: str | None = None,
    ) -> None:
        if isinstance(stages, str | Path):
            raise ValueError(f"stages are two models or more, got one: {str(stages)!r}; that is a Detector's")
        if doubt is None:
            doubt = DOUBT.get(tuple(map(str, stages)))
            if doubt is None:
                raise ValueError(
                    f"no band of doubt was measured for the stages {', '.join(map(str, stages))}: give doubt, a band (low, "
                    "high) on llr for each stage but the last"
                )
        if len(stages) < 2 or len(doubt) != len(stages) - 1:
            raise ValueError(
                f"wanted two stages or more and a band for each but the last, got {len(stages)} and {len(doubt)}"
            )
        if not all(np.isfinite(band).all() and band[0] <= band[1] for band in doubt):
            raise ValueError(f"a band of doubt is two finite numbers, the lower first, got {list(doubt)}")
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every must be a whole number, 1 or more, got {every!r}")
        self.doubt, self.every = tuple(doubt), every
        self.detectors = tuple(
            Detector(
                stage,
                threshold=threshold,
                threads=threads,
                channel=channel,
                limits=limits,
                runtime=runtime,
                precision=precision,
            )
            for stage in stages
        )
        last = self.detectors[-1]
        self.threshold, self.model, self.channel, self.limits = last.threshold, last.model, last.channel, last.limits

    def detect(self, source: Source, *, progress: Callable[[float], None] | None = None) -> Verdict:
        """As `Detector.detect`."""
        name = name_of(source)
        with ExitStack() as stack:
            source = self._readable_again(source, stack)
            return self.judge(partial(self.detectors[0].listening_to, source), name, progress=progress)

    def judge(self, listen: Listen, name: str, *, progress: Callable[[float], None] | None = None) -> Verdict:
        """As `Detector.judge`; it is listened to once more where the windows of a stage were too many to be kept."""
        kept = _Kept()
        spans: list[Span] = []
        for number, detector in enumerate(self.detectors):
            if number == 0:
                heard, spans = detector.scored_of(
                    listen, lambda windows: some(kept.all_of(windows), self.every), progress=progress
                )
            elif kept.whole_for(self.detectors[0], detector):
                spans = [span for part in detector.scored(kept.windows) for span in part]
            else:
                heard, spans = detector.scored_of(listen)
            llr = float(np.mean([span.llr for span in spans])) if spans else None
            if llr is None or heard.undecided_reasons or not self._in_doubt(number, llr - detector.threshold):
                break
        segments = merged(spans, detector.threshold, margin=MARGIN_LLR)
        verdict = detector.verdict(name, heard, llr, segments=segments, windows=spans)
        unheard = kept.count - len(spans) if detector is self.detectors[0] else 0
        if not unheard:
            return verdict
        note = Note("sparse", f"{unheard} of {kept.count} windows were not scored: {len(spans)} of them left no doubt")
        return replace(verdict, warnings=(*verdict.warnings, note))

    def detect_all(self, sources: Iterable[Source]) -> Iterator[Verdict]:
        """As `Detector.detect_all`."""
        return judged(self.detect, sources, threshold=self.threshold, model=self.model)

    @property
    def division(self) -> Division:
        """As `Detector.division`: the stages take turns, with the same threads."""
        return self.detectors[-1].division

    def sharing(self, shared: Callable[[Session], Session]) -> Self:
        """As `Detector.sharing`, of every stage."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, detectors=tuple(one.sharing(shared) for one in self.detectors))
        return other

    def _in_doubt(self, stage: int, above: float) -> bool:
        return stage < len(self.doubt) and self.doubt[stage][0] <= above <= self.doubt[stage][1]

    def _readable_again(self, source: Source, stack: ExitStack) -> Source:
        """A pipe is copied to where a second stage can read it again."""
        if isinstance(source, str | bytes | tuple | os.PathLike) or not hasattr(source, "read") or is_seekable(source):
            return source
        return stack.enter_context(spool(source, self.limits))


def some(items: Iterable[Item], every: int) -> Iterator[Item]:
    """The first of each ``every`` items in a row, and the last."""
    left_out: Item | None = None
    for number, item in enumerate(items):
        if number % every == 0:
            left_out = None
            yield item
        else:
            left_out = item
    if left_out is not None:
        yield left_out


def stages_of(model: str | Path) -> tuple[str | Path, ...]:
    """The models that `judge_of` opens, in the order of their turn."""
    return STAGES if model == CASCADE else (model,)


def judge_of(model: str | Path, **options: Any) -> Detector | Pipeline:
    """The cascade of the shipped models where ``model`` is called so, else a `Detector`; both take the same ``options``."""
    return Pipeline(**options) if model == CASCADE else Detector(model, **options)


class _Kept:
    """The windows of a recording, while they fit into `KEPT_BYTES`."""

    def __init__(self) -> None:
        self.windows: list[Window] = []
        self.count = 0
        self._bytes = 0

    def all_of(self, windows: Iterable[Window]) -> Iterator[Window]:
        """The windows, kept as they pass."""
        for window in windows:
            self.count += 1
            self._bytes += window.samples.nbytes
            if self._bytes <= KEPT_BYTES:
                self.windows.append(window)
            else:
                self.windows.clear()
            yield window

    def whole_for(self, first: Detector, other: Detector) -> bool:
        """Whether ``other`` would place the windows that were kept of ``first``, and all are there."""
        placed = [(detector.notes.window_samples, detector.notes.hop_samples) for detector in (first, other)]
        return placed[0] == placed[1] and len(self.windows) == self.count
