"""A service elsewhere in a detector's place: recordings are sent to it, and its verdicts are taken."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeAlias
from urllib.parse import SplitResult, urlsplit

from aasist.audio.decode import ReadLimits
from aasist.audio.playlist import SNIFF_BYTES, refuse_playlist
from aasist.audio.source import open_source
from aasist.errors import AasistError, AudioError, one_line
from aasist.runtime.detector import name_of
from aasist.runtime.verdict import ModelIdentity, Note, Span, Verdict

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 300.0
"""For each step of the talk; a service that takes longer is stuck."""

BLOCK_BYTES = 1 << 16
MOST_ANSWER_BYTES = 64 << 20

BUSY = (429, 503)
"""Statuses that say: come again."""

BROKEN_TRIES = 3
"""Of a recording whose connection broke: a service that restarts is back by then, or not."""

AFTER_SECONDS = (1.0, 2.0, 4.0, 8.0)
"""Before the next try where the service does not say when; the last goes on."""

Remote: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO"


@dataclass(frozen=True)
class Answer:
    """What came back; ``retry_after`` in seconds, None where it was not told."""

    status: int
    values: Any
    retry_after: float | None


class RemoteDetector:
    """Judges as `aasist.runtime.detector.Detector` does, at ``url``: ``http(s)://HOST[:PORT][/PREFIX]``, a service of ``aasist serve``.

    ``key`` is an API key. What is busy is asked again when it says so, for ``patience_seconds`` in all. One connection a
    recording; recordings are sent as they are, without their names. Raises `AasistError` ``server`` for a URL that is none or leads
    elsewhere, ``unreachable``, and what the service says of the key.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        limits: ReadLimits | None = None,
        patience_seconds: float = 120.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._parts = _checked(url)
        if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
            raise AasistError("key", "the API key must be one line of ASCII, as 'aasist serve keys add' prints it")
        self.url, self._key = url.rstrip("/"), key
        self._limits, self._patience, self._sleep = limits or ReadLimits(), patience_seconds, sleep
        self.threshold = 0.0
        """On llr: that of the last verdict; the service has it."""
        self.model = self._serving()

    def detect(self, source: Remote, *, progress: Callable[[float], None] | None = None) -> Verdict:
        """Send a path, bytes or a binary file object; its verdict, with all windows.

        ``progress`` is never called: the service tells nothing before the end. Raises `AudioError` for what cannot be read here,
        and `AasistError` with the code that the service refused it with.
        """
        with _opened(source, self._limits) as (file, size_bytes):
            answer = self._asked("POST", "/v1/detect?timeline=1", (file, size_bytes))
        try:
            verdict = verdict_of(answer.values, name_of(source))
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._not_ours(answer.status) from None
        self.threshold = verdict.threshold
        return verdict

    def _serving(self) -> ModelIdentity:
        """The model that judges there: also a look whether the service is there and lets us in."""
        answer = self._asked("GET", "/v1/models", None, broken_tries=1)
        try:
            (model,) = (one for one in answer.values["models"] if one["serving"])
            return ModelIdentity(str(model["name"]), model["sha256"], model["precision"])
        except (KeyError, TypeError, ValueError):
            raise self._not_ours(answer.status) from None

    def _asked(
        self, method: str, path: str, body: tuple[BinaryIO, int] | None, *, broken_tries: int = BROKEN_TRIES
    ) -> Answer:
        """The answer with status 200, after as many tries as there is patience for; raises what any other says."""
        waited, tries = 0.0, 0
        while True:
            tries += 1
            pause = AFTER_SECONDS[min(tries, len(AFTER_SECONDS)) - 1]
            try:
                answer = self._once(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                failure = AasistError("unreachable", f"{self.url} cannot be reached: {_reason(error)}")
                again = tries < broken_tries
            else:
                if answer.status == 200:
                    return answer
                failure, again = self._refusal(answer), answer.status in BUSY
                pause = pause if answer.retry_after is None else answer.retry_after
            if not again or waited + pause > self._patience:
                raise failure
            self._sleep(pause)
            waited += pause

    def _once(self, method: str, path: str, body: tuple[BinaryIO, int] | None) -> Answer:
        connection = self._connection()
        try:
            connection.connect()
            assert connection.sock is not None
            connection.sock.settimeout(ANSWER_SECONDS)
            connection.putrequest(method, self._parts.path.rstrip("/") + path)
            connection.putheader("User-Agent", "aasist")
            if self._key is not None:
                connection.putheader("Authorization", f"Bearer {self._key}")
            if body is not None:
                connection.putheader("Content-Type", "application/octet-stream")
                connection.putheader("Content-Length", str(body[1]))
            connection.endheaders()
            broken = _sent(connection, body[0]) if body is not None else None
            try:
                with connection.getresponse() as response:
                    content = response.read(MOST_ANSWER_BYTES)
                    if response.length:  # what is left of the length that was told
                        raise http.client.IncompleteRead(content, response.length)
            except (OSError, http.client.HTTPException):
                if broken is not None:
                    raise broken from None
                raise
            return Answer(response.status, _json(content), _seconds(response.headers.get("Retry-After")))
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(
                host, port, timeout=CONNECT_SECONDS, context=ssl.create_default_context()
            )
        return http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)

    def _refusal(self, answer: Answer) -> AasistError:
        """A problem of the service in its own words; of what is none, that."""
        problem = answer.values
        if not isinstance(problem, dict) or not all(isinstance(problem.get(name), str) for name in ("code", "detail")):
            return self._not_ours(answer.status)
        if answer.status == 401:
            return AasistError(
                problem["code"], f"{self.url}: {one_line(problem['detail'])} (--key-file or AASIST_API_KEY)"
            )
        kind = AudioError if answer.status in (413, 422) else AasistError
        return kind(one_line(problem["code"], 40), one_line(problem["detail"]))

    def _not_ours(self, status: int) -> AasistError:
        return AasistError(
            "server", f"{self.url} answered with status {status}, and not as 'aasist serve' does; give its address"
        )


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


def _checked(url: str) -> SplitResult:
    parts = urlsplit(url)
    try:
        _ = parts.port
        good = (
            parts.scheme in ("http", "https")
            and parts.hostname
            and not (parts.username or parts.query or parts.fragment)
        )
    except ValueError:
        good = False
    if not good or " " in url or not url.isascii() or not url.isprintable():
        raise AasistError("server", f"a server is http://HOST:PORT or https://HOST, got {url!r}")
    return parts


@contextmanager
def _opened(source: Remote, limits: ReadLimits) -> Iterator[tuple[BinaryIO, int]]:
    """The file and its size; what is no recording for sure is not sent."""
    file, size_bytes, ours = open_source(source, limits)
    try:
        name = os.fspath(source) if isinstance(source, str | os.PathLike) else None
        refuse_playlist(file.read(SNIFF_BYTES), name)
        yield file, size_bytes
    finally:
        if ours:
            file.close()


def _sent(connection: http.client.HTTPConnection, file: BinaryIO) -> OSError | None:
    """Send all of it; what kept it from being sent, for a service may refuse, and say why, before it has everything."""
    file.seek(0)
    while block := file.read(BLOCK_BYTES):
        try:
            connection.send(block)
        except OSError as error:
            return error
    return None


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _seconds(header: str | None) -> float | None:
    """``Retry-After`` in seconds; a date is not understood."""
    try:
        return max(0.0, float(header)) if header is not None else None
    except ValueError:
        return None


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return one_line(getattr(error, "strerror", None) or error or type(error).__name__)
