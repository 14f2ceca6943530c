"""The answers, as OpenAPI describes them, with examples."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_VERDICT: dict[str, Any] = {
    "path": "call.m4a",
    "label": "spoof",
    "score": 0.12,
    "llr": -1.99,
    "threshold": 0.0,
    "duration_seconds": 7.31,
    "speech_seconds": 6.4,
    "sample_rate": 48_000,
    "channels": 1,
    "segments": [{"start": 0.2, "end": 6.9, "score": 0.12, "llr": -1.99}],
    "warnings": [{"code": "narrow_band", "message": "nothing above 4,000 Hz: a telephone band"}],
    "model": {"name": "efficient", "sha256": "0" * 64, "precision": "fp32"},
    "error": None,
}


class Closed(BaseModel):
    """Nothing is answered that is not described."""

    model_config = ConfigDict(extra="forbid")


class Span(Closed):
    """A stretch of the recording, in seconds."""

    start: float
    end: float
    score: float | None = Field(description="Probability of bona fide; null where the key sees labels only.")
    llr: float | None


class Note(Closed):
    """A code for programs, a line for people."""

    code: str
    message: str


class ModelIdentity(Closed):
    """Which model judged."""

    name: str
    sha256: str | None
    precision: str | None


class Verdict(Closed):
    """The judgement of one recording: 1 = real, 0 = fake; the same object as of ``aasist detect --json``."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_VERDICT]})

    path: str | None = Field(description="The upload's base name; null where it has none.")
    label: Literal["bonafide", "spoof", "undecided"]
    score: float | None = Field(description="Calibrated probability of bona fide at a prior of 0.5.")
    llr: float | None = Field(description="Natural logarithm of the likelihood ratio, bona fide over spoof.")
    threshold: float = Field(description="On llr.")
    duration_seconds: float
    speech_seconds: float
    sample_rate: int
    channels: int
    segments: list[Span]
    warnings: list[Note]
    model: ModelIdentity
    error: Note | None
    windows: list[Span] | None = Field(None, description="The raw windows, which overlap; with ``timeline=1`` only.")


class Job(Closed):
    """A recording that is judged in its turn."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": "5f0c" + "0" * 28,
                    "status": "running",
                    "created_at": "2026-01-31T09:30:00Z",
                    "started_at": "2026-01-31T09:30:02Z",
                    "finished_at": None,
                    "progress_seconds": 312.5,
                    "verdict": None,
                    "error": None,
                    "webhook": None,
                }
            ]
        },
    )

    id: str
    status: Literal["queued", "running", "done", "failed", "cancelled"]
    created_at: str
    started_at: str | None
    finished_at: str | None
    progress_seconds: float = Field(description="Of the recording, judged so far.")
    verdict: Verdict | None = Field(description="Once the status is done.")
    error: Note | None = Field(description="Once it is failed.")
    webhook: Literal["pending", "delivered", "given_up"] | None = Field(description="Null where none was asked for.")


Interval = Annotated[list[float], Field(min_length=2, max_length=2, description="95 % interval.")]


class Point(Closed):
    """A threshold on llr, the rule that chose it, and its error rates, from 0 to 1, on the recordings it was chosen on."""

    name: str
    threshold: float
    rule: str
    miss: float = Field(description="Of bona fide rejected.")
    miss_interval: Interval
    false_acceptance: float = Field(description="Of spoofs accepted.")
    false_acceptance_interval: Interval


class TestedOn(Closed):
    """How the model did on recordings of sources that it was not trained on; error rates from 0 to 1."""

    eer: float
    eer_95: Interval
    within_source: float = Field(description="The mean over sources of the EER within each.")
    bonafide: int
    spoof: int
    systems: int


class Model(Closed):
    """A model that is shipped, or the one that this service judges with."""

    name: str
    serving: bool
    version: str | None
    sha256: str | None
    precision: str | None
    summary: str | None
    licence: str | None
    threshold: float | None = Field(description="On llr, of this service; null where the model is not serving.")
    operating_point: str | None = Field(description="What the threshold stands for, where it is the model's own.")
    points: list[Point]
    test: TestedOn | None


class Models(Closed):
    """What there is."""

    models: list[Model]


class Health(Closed):
    """Whether the service lives, or is ready."""

    status: Literal["ok", "ready", "stopping", "unavailable"]


class Problem(BaseModel):
    """Why something was refused (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:aasist:unreadable",
                    "title": "The recording cannot be judged",
                    "status": 422,
                    "detail": "the file is damaged: only 0.10 s of audio could be decoded",
                    "code": "unreadable",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
