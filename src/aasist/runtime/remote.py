"""A service elsewhere in a detector's place: recordings are sent to it, and its verdicts are taken."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO, TypeAlias

from aasist.audio.decode import ReadLimits
from aasist.audio.playlist import SNIFF_BYTES, refuse_playlist
from aasist.audio.source import open_source
from aasist.errors import AasistError, AudioError, one_line
from aasist.runtime.asking import Asking, Body
from aasist.runtime.detector import name_of
from aasist.runtime.verdict import ModelIdentity, Note, Span, Verdict

Remote: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO"

LONG = ("too_large", "too_long")
"""Codes of what is no matter for an answer at once; it is sent as a job then."""

POLL_SECONDS = 2.0

_MALFORMED = (KeyError, TypeError, ValueError, AttributeError)


class RemoteDetector:
    """Judges as `aasist.runtime.detector.Detector` does, at ``url``: ``http(s)://HOST[:PORT][/PREFIX]``, a service of ``aasist serve``.

    ``key`` is an API key. What is busy is asked again when it says so, for ``patience_seconds`` in all; ``say`` is
    told of that, in a line. Recordings are sent as they
    are, without their names; those that are too long to be answered at once, as jobs. Raises `AasistError` ``server`` for a URL that
    is none or leads elsewhere, ``unreachable``, ``key``, and what the service says of the key.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        limits: ReadLimits | None = None,
        patience_seconds: float = 120.0,
        sleep: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._service = Asking(url, key=key, patience_seconds=patience_seconds, sleep=sleep, say=say)
        self._limits = limits or ReadLimits()
        self.threshold = 0.0
        """On llr: that of the last verdict; the service has it."""
        self.model = self._serving()

    def detect(self, source: Remote, *, progress: Callable[[float], None] | None = None) -> Verdict:
        """Send a path, bytes or a binary file object; its verdict, with all windows.

        ``progress`` is called with the seconds judged so far of what is judged as a job. Raises `AudioError` for what cannot be read
        here or judged there, and `AasistError` with the code that the service refused it with.
        """
        with _opened(source, self._limits) as body:
            try:
                values = self._service.ask("POST", "/v1/detect?timeline=1", body)
            except AudioError as error:
                if error.code not in LONG:
                    raise
                values = self._judged_as_job(body, error, progress)
        try:
            verdict = verdict_of(values, name_of(source))
        except _MALFORMED:
            raise self._service.not_ours() from None
        self.threshold = verdict.threshold
        return verdict

    def _judged_as_job(
        self, body: Body, refusal: AudioError, progress: Callable[[float], None] | None
    ) -> dict[str, Any]:
        """The verdict's values, however long it takes; the job is cancelled where we are stopped, and goes on where the service
        cannot be reached any more."""
        try:
            # The answer may be lost where the job is not: sent again, it is the same one.
            same = {"Idempotency-Key": secrets.token_hex(16)}
            job = self._service.ask("POST", "/v1/jobs?timeline=1", body, headers=same)
        except AasistError as error:
            if error.code != "scope":
                raise
            # It was too long, which is what the recording is at fault for; and the key lets it be sent in no other way.
            said = f"{refusal.message}; as a job it was refused: {error.message}"
            raise AudioError(refusal.code, one_line(said, 400)) from None
        try:
            where = f"/v1/jobs/{job['id']}"
            try:
                while job["status"] in ("queued", "running"):
                    if progress is not None:
                        progress(float(job["progress_seconds"]))
                    self._service.sleep(POLL_SECONDS)
                    job = self._service.ask("GET", where, broken_tries=None)
            except AasistError as error:
                if error.code != "unreachable":
                    raise
                message = f"{error.message}; the job goes on there: {self._service.url}{where}"
                raise AasistError(error.code, message) from None
            except BaseException:
                with suppress(AasistError):
                    self._service.ask("DELETE", where, broken_tries=1)
                raise
            if job["status"] != "done":
                failure = job["error"] or {"code": "cancelled", "message": "the job was cancelled there"}
                raise AudioError(one_line(failure["code"], 40), one_line(failure["message"]))
            verdict: dict[str, Any] = job["verdict"]
            return verdict
        except _MALFORMED:
            raise self._service.not_ours() from None

    def _serving(self) -> ModelIdentity:
        """The model that judges there, of a cascade the last one: also a look whether the service is there and lets us in."""
        values = self._service.ask("GET", "/v1/models", broken_tries=1)
        try:
            *_, model = (one for one in values["models"] if one["serving"])
            return ModelIdentity(str(model["name"]), model["sha256"], model["precision"])
        except _MALFORMED:
            raise self._service.not_ours() from None


def verdict_of(values: dict[str, Any], path: str) -> Verdict:
    """The JSON object of a verdict -> the verdict, under the name ``path``; KeyError, TypeError or ValueError where it is none.

    Where the key sees labels only, scores and llrs are None, those of segments too.
    """
    label = values["label"]
    if label not in ("bonafide", "spoof", "undecided"):
        raise ValueError(label)
    return Verdict(
        path=path,
        label=label,
        score=_number(values["score"]),
        llr=_number(values["llr"]),
        threshold=float(values["threshold"]),
        duration_seconds=float(values["duration_seconds"]),
        speech_seconds=float(values["speech_seconds"]),
        sample_rate=int(values["sample_rate"]),
        channels=int(values["channels"]),
        segments=_spans(values["segments"]),
        warnings=tuple(Note(str(one["code"]), one_line(one["message"])) for one in values["warnings"]),
        model=ModelIdentity(str(values["model"]["name"]), values["model"]["sha256"], values["model"]["precision"]),
        windows=_spans(values.get("windows") or ()),
    )


def _spans(values: Any) -> tuple[Span, ...]:
    rows: list[Any] = [
        (float(one["start"]), float(one["end"]), _number(one["score"]), _number(one["llr"])) for one in values
    ]
    return tuple(Span(*row) for row in rows)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


@contextmanager
def _opened(source: Remote, limits: ReadLimits) -> Iterator[Body]:
    """The file and its size; what is no recording for sure is not sent."""
    file, size_bytes, ours = open_source(source, limits)
    try:
        name = os.fspath(source) if isinstance(source, str | os.PathLike) else None
        refuse_playlist(file.read(SNIFF_BYTES), name)
        yield file, size_bytes
    finally:
        if ours:
            file.close()
