"""What the detector says of one recording, and all that is needed to check it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from aasist.errors import AasistError

Label = Literal["bonafide", "spoof", "undecided"]


@dataclass(frozen=True)
class Span:
    """A stretch of the recording, in seconds, with its llr and score."""

    start: float
    end: float
    score: float
    llr: float


@dataclass(frozen=True)
class Note:
    """A warning, or the error that kept a recording from being judged: a code for programs, a line for people."""

    code: str
    message: str


@dataclass(frozen=True)
class ModelIdentity:
    """Which model judged: its name, the hash of its file, and the precision it ran in (None: it could not be opened)."""

    name: str
    sha256: str | None
    precision: str | None


@dataclass(frozen=True)
class Verdict:
    """The judgement of one recording. 1 = real, 0 = fake; a positive llr speaks for bona fide."""

    path: str
    label: Label | None
    """None only where ``error`` says why."""
    score: float | None
    """Calibrated probability of bona fide at a prior of 0.5; None when nothing could be scored."""
    llr: float | None
    """Natural logarithm of the likelihood ratio, bona fide over spoof."""
    threshold: float
    """On llr."""
    duration_seconds: float | None
    speech_seconds: float | None
    sample_rate: int | None
    """Of the source, in Hz."""
    channels: int | None
    segments: tuple[Span, ...]
    warnings: tuple[Note, ...]
    model: ModelIdentity
    error: Note | None = None
    windows: tuple[Span, ...] = ()
    """The raw windows behind ``segments``; they overlap."""

    def to_dict(self, *, timeline: bool = False) -> dict[str, Any]:
        """The JSON object of the contract; with ``timeline`` also ``windows``."""
        # By hand: `asdict` copies every leaf, at a hundred times the cost.
        values = {**vars(self), "model": asdict(self.model), "error": asdict(self.error) if self.error else None}
        windows = values.pop("windows")
        for name, several in (("segments", self.segments), ("warnings", self.warnings)):
            values[name] = tuple({**vars(one)} for one in several)
        return {**values, "windows": tuple({**vars(one)} for one in windows)} if timeline else values

    def to_json(self, *, timeline: bool = False) -> str:
        """One line of JSON, never with NaN or Infinity."""
        values = self.to_dict(timeline=timeline)
        text = json.dumps(values, ensure_ascii=False, allow_nan=False)
        try:
            text.encode()
        except UnicodeEncodeError:  # a file name that is not UTF-8: escaped, it can be written and comes back
            text = json.dumps(values, allow_nan=False)
        return text


def unjudged(path: str, error: AasistError, *, threshold: float, model: ModelIdentity) -> Verdict:
    """The verdict on a recording that could not be judged: no label, and the error."""
    return Verdict(
        path=path,
        label=None,
        score=None,
        llr=None,
        threshold=threshold,
        duration_seconds=None,
        speech_seconds=None,
        sample_rate=None,
        channels=None,
        segments=(),
        warnings=(),
        model=model,
        error=Note(error.code, error.message),
    )


def score_of(llr: float) -> float:
    """llr -> probability of bona fide at a prior of 0.5, in [0, 1]."""
    return 1.0 / (1.0 + math.exp(-llr)) if llr >= 0 else math.exp(llr) / (1.0 + math.exp(llr))
