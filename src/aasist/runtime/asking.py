"""A service of ``aasist serve``, asked over HTTP: again where it is busy, and quoted where it refuses."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import SplitResult, urlsplit

from aasist.errors import AasistError, AudioError, one_line

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 300.0
"""For each step of the talk; a service that takes longer is stuck."""

BLOCK_BYTES = 1 << 16
MOST_ANSWER_BYTES = 64 << 20

BUSY = (429, 503)
"""Statuses that say: come again."""

BROKEN_TRIES = 3
"""Of what is asked where the connection broke: a service that restarts is back by then, or not."""

AFTER_SECONDS = (1.0, 2.0, 4.0, 8.0)
"""Before the next try where the service does not say when; the last goes on."""

Body = tuple[BinaryIO, int]
"""A file, and its size in bytes."""


@dataclass(frozen=True)
class Answer:
    """What came back; ``retry_after`` in seconds, None where it was not told."""

    status: int
    values: Any
    retry_after: float | None


class Asking:
    """One service at ``url``. ``key`` is sent as it is; ``patience_seconds`` are slept in all for one question, of
    which ``say`` is told when it begins."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None,
        patience_seconds: float,
        sleep: Callable[[float], None],
        say: Callable[[str], None],
    ) -> None:
        """Raises `AasistError` ``server`` or ``key`` for what cannot be one."""
        self._parts = checked(url)
        if key is not None and not (key and key.isascii() and key.isprintable() and " " not in key):
            raise AasistError("key", "the API key must be one line of ASCII, as 'aasist serve keys add' prints it")
        self.url, self._key = url.rstrip("/"), key
        self._patience, self.sleep, self._say = patience_seconds, sleep, say

    def ask(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        broken_tries: int | None = BROKEN_TRIES,
    ) -> Any:
        """The values of the answer, after as many tries as there is patience for, ``broken_tries`` of them (None: all) where the
        connection broke.

        Raises `AudioError` where the recording cannot be judged (413, 422), and `AasistError` with the code of any other refusal,
        ``unreachable``, or ``server`` for an answer that is none of ours.
        """
        waited, tries = 0.0, 0
        while True:
            tries += 1
            pause = AFTER_SECONDS[min(tries, len(AFTER_SECONDS)) - 1]
            try:
                answer = self._once(method, path, body, headers or {})
            except (OSError, http.client.HTTPException) as error:
                failure = AasistError("unreachable", f"{self.url} cannot be reached: {_reason(error)}")
                again = broken_tries is None or tries < broken_tries
            else:
                if 200 <= answer.status < 300:
                    return answer.values
                failure, again = self._refusal(answer), answer.status in BUSY
                pause = pause if answer.retry_after is None else answer.retry_after
            if not again or waited + pause > self._patience:
                raise failure
            if not waited:  # once a question: nobody should wonder why nothing happens
                self._say(f"{failure.message}; asking again for up to {self._patience:g} s")
            self.sleep(pause)
            waited += pause

    def not_ours(self, said: str = "") -> AasistError:
        """For an answer that a service of ours does not give."""
        return AasistError("server", f"{self.url} did not answer{said} as 'aasist serve' does; give the address of one")

    def _once(self, method: str, path: str, body: Body | None, headers: Mapping[str, str]) -> Answer:
        connection = self._connection()
        try:
            connection.connect()
            assert connection.sock is not None
            connection.sock.settimeout(ANSWER_SECONDS)
            connection.putrequest(method, self._parts.path.rstrip("/") + path)
            connection.putheader("User-Agent", "aasist")
            for name, value in headers.items():
                connection.putheader(name, value)
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
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=CONNECT_SECONDS, context=context)
        return http.client.HTTPConnection(host, port, timeout=CONNECT_SECONDS)

    def _refusal(self, answer: Answer) -> AasistError:
        """A problem of the service in its own words; of what is none, that."""
        problem = answer.values
        if not isinstance(problem, dict) or not all(isinstance(problem.get(name), str) for name in ("code", "detail")):
            return self.not_ours(f" (status {answer.status})")
        code, detail = one_line(problem["code"], 40), one_line(problem["detail"])
        if answer.status == 401:
            return AasistError(code, f"{self.url}: {detail} (--key-file or AASIST_API_KEY)")
        return (AudioError if answer.status in (413, 422) else AasistError)(code, detail)


def checked(url: str) -> SplitResult:
    """An address in its parts; `AasistError` ``server`` for what cannot be a service's."""
    try:
        parts = urlsplit(url)
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
    return float(header) if header is not None and header.isascii() and header.isdigit() else None


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it does not answer"
    return one_line(getattr(error, "strerror", None) or error or type(error).__name__)
