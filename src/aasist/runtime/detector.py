"""The detector: any recording to a verdict."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from aasist.audio.listen import Listener
from aasist.audio.read import ReadLimits, Source, open_audio
from aasist.audio.windows import Window
from aasist.errors import AasistError, ModelError
from aasist.runtime.models import DEFAULT_MODEL, open_model
from aasist.runtime.threads import available_threads
from aasist.runtime.verdict import Label, Note, Span, Verdict, merged, score_of, unjudged
from aasist.session import BONAFIDE, SAMPLE_RATE, SPOOF

BATCH_WINDOWS = 2
"""Windows that a thread scores at once: measured, 4 are no faster and cost twice the memory."""

WINDOWS_AHEAD = 64
"""Windows that may wait to be scored (17 MB): enough to keep the scoring threads busy while the next stretch of the
recording is read and searched for speech."""


class Detector:
    """Holds a model that is ready to run; one detector judges any number of recordings.

    ``model`` is a shipped name, the path of an ONNX file of ours, or of a checkpoint (needs torch). ``threshold`` is on
    llr; None takes the model's own. ``threads`` None takes what the process may use. ``channel`` (from 0) picks one
    channel instead of the mean of all. Raises ``ModelError`` where the model cannot be used.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        *,
        threshold: float | None = None,
        threads: int | None = None,
        channel: int | None = None,
        limits: ReadLimits | None = None,
    ) -> None:
        if threshold is not None and not math.isfinite(threshold):
            raise ValueError(f"threshold must be a finite number, got {threshold}")
        self.threads = threads or available_threads()
        # A thread to each batch of windows, not all threads to one batch: measured on two cores 19 ms a window against 25,
        # and no result depends on their number.
        opened = open_model(model, threads=1)
        self._scoring = ThreadPoolExecutor(self.threads, "aasist-scoring")
        self.session, self.notes, self.model = opened.session, opened.notes, opened.identity
        self.threshold = self.notes.threshold if threshold is None else threshold
        self.channel = channel
        self.limits = limits or ReadLimits()

    def detect(self, source: Source, *, progress: Callable[[float], None] | None = None) -> Verdict:
        """Judge a path, bytes, a binary file object, or ``(samples (N,) or (N, C), sample_rate)``.

        ``progress`` is called with the seconds of audio judged so far. Raises ``AudioError`` where the recording cannot
        be judged at all, ``ModelError`` where the model fails on it.
        """
        windows: list[Span] = []
        with open_audio(source, channel=self.channel, limits=self.limits) as reader:
            listener = Listener(
                reader,
                window_samples=self.notes.window_samples,
                hop_samples=self.notes.hop_samples,
                threads=self.threads,
            )
            for spans in self._scored(listener):
                windows += spans
                if progress is not None:
                    progress(windows[-1].end)
        heard = listener.summary

        llr = float(np.mean([window.llr for window in windows])) if windows else None
        notes = [Note(warning.code, warning.message) for warning in (*heard.undecided_reasons, *heard.warnings)]
        if self.notes.calibration is None:
            notes.append(Note("uncalibrated", "the model has no calibration: its llr is a raw difference of logits"))
        return Verdict(
            path=name_of(source),
            label=self._label(llr, undecided=bool(heard.undecided_reasons)),
            score=None if llr is None else score_of(llr),
            llr=llr,
            threshold=self.threshold,
            duration_seconds=round(heard.duration_seconds, 3),
            speech_seconds=round(heard.speech_seconds, 3),
            sample_rate=heard.sample_rate,
            channels=heard.channels,
            segments=merged(windows, self.threshold),
            warnings=tuple(notes),
            model=self.model,
            windows=tuple(windows),
        )

    def detect_all(self, sources: Iterable[Source]) -> Iterator[Verdict]:
        """Judge many, one after the other, in order; a recording that cannot be judged gives a verdict with an error."""
        for source in sources:
            try:
                yield self.detect(source)
            except AasistError as error:
                yield unjudged(name_of(source), error, threshold=self.threshold, model=self.model)

    def _label(self, llr: float | None, *, undecided: bool) -> Label:
        if llr is None or undecided:
            return "undecided"
        return "bonafide" if llr >= self.threshold else "spoof"

    def _scored(self, windows: Iterable[Window]) -> Iterator[list[Span]]:
        """The spans of all windows, in order, scored by the threads while the windows to come are sought."""
        pending: deque[Future[list[Span]]] = deque()
        remaining = iter(windows)
        try:
            while batch := list(islice(remaining, BATCH_WINDOWS)):
                pending.append(self._scoring.submit(self._score, batch))
                while pending and (pending[0].done() or len(pending) * BATCH_WINDOWS >= WINDOWS_AHEAD):
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

    def _score(self, batch: list[Window]) -> list[Span]:
        logits = self.session.run(np.stack([window.samples for window in batch]))
        margins = logits[:, BONAFIDE].astype(np.float64) - logits[:, SPOOF]
        calibration = self.notes.calibration
        llrs = margins if calibration is None else calibration.slope * margins + calibration.offset
        if not np.isfinite(llrs).all():
            raise ModelError("model", f"the model {self.model.name!r} gave a score that is not a finite number")
        return [
            Span(
                start=round(window.start / SAMPLE_RATE, 3),
                end=round((window.start + window.length) / SAMPLE_RATE, 3),
                score=score_of(llr),
                llr=llr,
            )
            for window, llr in zip(batch, llrs.tolist(), strict=True)
        ]


def name_of(source: Source) -> str:
    """What a verdict calls its recording: the path as given, the file object's name, or what kind of thing it was."""
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    if isinstance(source, bytes):
        return "<bytes>"
    if isinstance(source, tuple):
        return "<samples>"
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "<file>"
