"""What is said of a stream while it runs: one event a time, each a JSON object with its ``type`` first."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from aasist.runtime.verdict import Label, Verdict


@dataclass(frozen=True)
class Event:
    """Times are seconds from the start of the stream, gaps counted; scores are 1 = real, 0 = fake, llrs positive = real."""

    type: ClassVar[str]

    def as_dict(self) -> dict[str, Any]:
        """The event as a JSON object."""
        return {"type": self.type, **asdict(self)}

    def to_json(self) -> str:
        """One line of JSON, never with NaN or Infinity."""
        return json.dumps(self.as_dict(), ensure_ascii=False, allow_nan=False)


@dataclass(frozen=True)
class Provisional(Event):
    """Before the first whole window, from 1 s of speech on: what there is, repeated to fill one. Worth less than any later."""

    type: ClassVar[str] = "provisional"
    time: float
    score: float
    llr: float
    label: Label
    speech_seconds: float


@dataclass(frozen=True)
class WindowScored(Event):
    """A window of the model."""

    type: ClassVar[str] = "window"
    start: float
    end: float
    score: float
    llr: float


@dataclass(frozen=True)
class RunningScore(Event):
    """Where the stream stands: the mean of the windows, of which the last weigh most."""

    type: ClassVar[str] = "score"
    time: float
    score: float
    llr: float
    label: Label
    """With hysteresis; ``undecided`` while the recording is unfit."""
    speech_seconds: float
    warnings: tuple[str, ...]
    """Codes of what makes the label less certain, or keeps it undecided, as a verdict's."""


@dataclass(frozen=True)
class Change(Event):
    """The windows score otherwise than before, by more than they vary among themselves."""

    type: ClassVar[str] = "change"
    time: float
    """When it was sure."""
    since: float
    """When it began, to about a second."""
    toward: Literal["bonafide", "spoof"]
    llr_before: float
    """Mean of the windows before, and of those since."""
    llr_after: float


@dataclass(frozen=True)
class Final(Event):
    """The end of a stream, and the verdict on all of it: its llr is the mean of all windows."""

    type: ClassVar[str] = "final"
    verdict: Verdict
    changes: tuple[Change, ...]
    """The last 64."""
    closing: tuple[Event, ...] = field(default=(), repr=False)
    """What the end of the stream completed, before this event; it is not part of its JSON."""

    def as_dict(self) -> dict[str, Any]:
        """The verdict's object of the contract, between ``type`` and ``changes``."""
        return {"type": self.type, **self.verdict.to_dict(), "changes": [asdict(change) for change in self.changes]}
