"""The detector: any recording to a verdict."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aasist.audio.listen import Heard, Listen, Listener, Listening
from aasist.audio.read import ReadLimits, Source, open_audio
from aasist.audio.windows import Window
from aasist.errors import AasistError, ModelError
from aasist.parallel import in_order
from aasist.runtime.hysteresis import merged
from aasist.runtime.models import DEFAULT_MODEL, open_model
from aasist.runtime.notes import PRECISIONS
from aasist.runtime.runtimes import AUTO, RUNTIMES
from aasist.runtime.threads import Division, available_threads
from aasist.runtime.verdict import Label, ModelIdentity, Note, Span, Verdict, score_of, unjudged
from aasist.session import BONAFIDE, SAMPLE_RATE, SPOOF, Float32, Session

Float64 = NDArray[np.float64]

WAITING_BYTES = 16 << 20
"""Windows that may wait to be scored (64 of 4 s): enough to keep the scoring threads busy while the next stretch of the
recording is read and searched for speech."""


class Detector:
    """Holds a model that is ready to run; one detector judges any number of recordings.

    ``model`` is a shipped name, the path of a model file of ours, or of a checkpoint (needs torch). ``threshold`` is on
    llr, or the name of an operating point that the model carries; None takes the model's own. ``threads`` None takes what the
    process may use. ``channel`` (from 0) picks one channel instead of the mean of all. ``runtime`` is ``onnxruntime``,
    ``openvino`` or ``torch``; ``auto`` is what the model's file is made for. ``precision`` None is the model's own; ``bf16``
    needs openvino and a processor with it. Raises ``ModelError`` where the model cannot be used so.
    """

    def __init__(
        self,
        model: str | Path = DEFAULT_MODEL,
        *,
        threshold: float | str | None = None,
        threads: int | None = None,
        channel: int | None = None,
        limits: ReadLimits | None = None,
        runtime: str = AUTO,
        precision: str | None = None,
    ) -> None:
        if isinstance(threshold, int | float) and not math.isfinite(threshold):
            raise ValueError(f"threshold must be a finite number, got {threshold}")
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise ValueError(f"threads must be a whole number, 1 or more, got {threads!r}")
        if channel is not None and (isinstance(channel, bool) or not isinstance(channel, int) or channel < 0):
            raise ValueError(f"channel must be a whole number from 0, got {channel!r}")
        if runtime not in (AUTO, *RUNTIMES):
            raise ValueError(f"runtime must be one of {', '.join((AUTO, *RUNTIMES))}, got {runtime!r}")
        if precision not in (None, *PRECISIONS):
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)} or None, got {precision!r}")
        self.threads = threads or available_threads()
        opened = open_model(model, threads=self.threads, runtime=runtime, precision=precision)
        self._division = opened.division
        self._opened_as = (model, threshold, threads, channel, limits, runtime, precision)
        self.session, self.notes, self.model = opened.session, opened.notes, opened.identity
        if isinstance(threshold, str):
            threshold = self.notes.threshold_of(threshold)
        self.threshold = self.notes.threshold if threshold is None else threshold
        self.channel = channel
        self.limits = limits or ReadLimits()

    def detect(self, source: Source, *, progress: Callable[[float], None] | None = None) -> Verdict:
        """Judge a path, bytes, a binary file object, or ``(samples (N,) or (N, C), sample_rate)``.

        ``progress`` is called with the seconds of audio judged so far. Raises ``AudioError`` where the recording cannot
        be judged at all, ``ModelError`` where the model fails on it.
        """
        return self.judge(partial(self.listening_to, source), name_of(source), progress=progress)

    @contextmanager
    def listening_to(self, source: Source, window_samples: int, hop_samples: int) -> Iterator[Listening]:
        """A source while it is open, with the detector's channel, limits and threads."""
        with open_audio(source, channel=self.channel, limits=self.limits) as reader:
            yield Listener(reader, window_samples=window_samples, hop_samples=hop_samples, threads=self.threads)

    def judge(self, listen: Listen, name: str, *, progress: Callable[[float], None] | None = None) -> Verdict:
        """Judge what ``listen`` listens to, wherever that is done; raises as `detect`."""
        heard, windows = self.scored_of(listen, progress=progress)
        llr = float(np.mean([window.llr for window in windows])) if windows else None
        return self.verdict(name, heard, llr, segments=merged(windows, self.threshold), windows=windows)

    def scored_of(
        self,
        listen: Listen,
        chosen: Callable[[Iterable[Window]], Iterable[Window]] = iter,
        *,
        progress: Callable[[float], None] | None = None,
    ) -> tuple[Heard, list[Span]]:
        """What is heard in a recording, and the windows of it that are ``chosen`` of those that come by, scored."""
        spans: list[Span] = []
        with listen(self.notes.window_samples, self.notes.hop_samples) as recording:
            for part in self.scored(chosen(recording)):
                spans += part
                if progress is not None:
                    progress(spans[-1].end)
            return recording.summary, spans

    def verdict(
        self, path: str, heard: Heard, llr: float | None, *, segments: Sequence[Span], windows: Sequence[Span] = ()
    ) -> Verdict:
        """What this model says of a recording of which ``heard`` was heard and whose windows came to ``llr`` (None: there are
        none)."""
        notes = [Note(warning.code, warning.message) for warning in (*heard.undecided_reasons, *heard.warnings)]
        if self.notes.calibration is None:
            notes.append(Note("uncalibrated", "the model has no calibration: its llr is a raw difference of logits"))
        elif self.session.precision != self.notes.precision:
            notes.append(
                Note(
                    "precision",
                    f"calibration and threshold were chosen in {self.notes.precision} and not in {self.session.precision}, "
                    "in which scores differ a little",
                )
            )
        return Verdict(
            path=path,
            label=self._label(llr, undecided=bool(heard.undecided_reasons)),
            score=None if llr is None else score_of(llr),
            llr=llr,
            threshold=self.threshold,
            duration_seconds=round(heard.duration_seconds, 3),
            speech_seconds=round(heard.speech_seconds, 3),
            sample_rate=heard.sample_rate,
            channels=heard.channels,
            segments=tuple(segments),
            warnings=tuple(notes),
            model=self.model,
            windows=tuple(windows),
        )

    def detect_all(self, sources: Iterable[Source]) -> Iterator[Verdict]:
        """Judge many, one after the other, in order; a recording that cannot be judged gives a verdict with an error."""
        return judged(self.detect, sources, threshold=self.threshold, model=self.model)

    @property
    def division(self) -> Division:
        """How the threads are used: runs of the model side by side."""
        return self._division

    def sharing(self, shared: Callable[[Session], Session]) -> Self:
        """This detector with its windows scored by what ``shared`` makes of its session: its own model behind a queue, say."""
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, session=shared(self.session))
        return other

    def __reduce__(self) -> tuple[Any, ...]:
        """A detector that is pickled or copied opens its model anew where it arrives."""
        return _reopened, self._opened_as

    def _label(self, llr: float | None, *, undecided: bool) -> Label:
        if llr is None or undecided:
            return "undecided"
        return "bonafide" if llr >= self.threshold else "spoof"

    def scored(self, windows: Iterable[Window]) -> Iterator[list[Span]]:
        """The spans of all windows, in order, scored by the threads while the windows to come are sought.

        Raises ``ModelError`` where the model fails on them.
        """
        runs, batch = self._division.runs, self._division.batch_windows
        remaining = iter(windows)
        batches = iter(lambda: list(islice(remaining, batch)), [])
        ahead = max(2 * runs, WAITING_BYTES // (4 * batch * self.notes.window_samples))
        return in_order(self._score, batches, threads=runs, ahead=ahead)

    def llrs_of(self, windows: Float32) -> Float64:
        """llr (N,) of windows (N, T) as the model hears them: 16 kHz, whole, not looked at for speech.

        Raises ``ModelError`` where the model fails on them.
        """
        size = self._division.batch_windows
        batches = (windows[first : first + size] for first in range(0, len(windows), size))
        parts = in_order(self._llrs, batches, threads=self._division.runs)
        return np.concatenate([np.zeros(0), *parts])

    def _llrs(self, batch: Float32) -> Float64:
        logits = self.session.run(batch)
        margins = logits[:, BONAFIDE].astype(np.float64) - logits[:, SPOOF]
        calibration = self.notes.calibration
        llrs = margins if calibration is None else calibration.slope * margins + calibration.offset
        if not np.isfinite(llrs).all():
            raise ModelError("model", f"the model {self.model.name!r} gave a score that is not a finite number")
        return np.asarray(llrs, np.float64)

    def _score(self, batch: list[Window]) -> list[Span]:
        llrs = self._llrs(np.stack([window.samples for window in batch]))
        return [
            Span(
                start=round(window.start / SAMPLE_RATE, 3),
                end=round((window.start + window.length) / SAMPLE_RATE, 3),
                score=score_of(llr),
                llr=llr,
            )
            for window, llr in zip(batch, llrs.tolist(), strict=True)
        ]


def _reopened(
    model: str | Path,
    threshold: float | str | None,
    threads: int | None,
    channel: int | None,
    limits: ReadLimits | None,
    runtime: str,
    precision: str | None,
) -> Detector:
    return Detector(
        model,
        threshold=threshold,
        threads=threads,
        channel=channel,
        limits=limits,
        runtime=runtime,
        precision=precision,
    )


def judged(
    detect: Callable[[Source], Verdict], sources: Iterable[Source], *, threshold: float, model: ModelIdentity
) -> Iterator[Verdict]:
    """A verdict for each, in order; of what cannot be judged one with an error, by ``threshold`` and ``model``."""
    for source in sources:
        try:
            yield detect(source)
        except AasistError as error:
            yield unjudged(name_of(source), error, threshold=threshold, model=model)


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
