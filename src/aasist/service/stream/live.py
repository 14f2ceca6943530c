"""A live stream over a WebSocket, from its first message to its last event: who it is, what may be sent, when it is over.

One task reads and one judges, with a bounded `Inbox` between them: where judging falls behind, reading stops, and the sender is
held back by TCP. A stream that is refused is told why by an event ``error``, and closed with 4000 + the HTTP status.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import ExitStack, suppress
from typing import Any

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.websockets import WebSocket, WebSocketDisconnect

from aasist.errors import AasistError
from aasist.runtime.events import Event, Final
from aasist.service.coarse import coarsened_event
from aasist.service.entry.connections import STOPPING
from aasist.service.entry.keys import CACHE_SECONDS, Principal
from aasist.service.logs import LOG
from aasist.service.problems import Problem, answer_to, as_values, detail_of, retry_after_of, status_of
from aasist.service.service import Service, address_of, authenticate, service_of
from aasist.service.store.verdictstore import StoredVerdict
from aasist.service.stream.dialects import Dialect, End, Message, Opening
from aasist.service.stream.inbox import Inbox
from aasist.service.stream.notices import Notices, notices_of
from aasist.service.stream.streams import LiveStream

SCOPE = "stream"
INBOX_FRAMES = 4
"""The inbox has room for so many of the largest messages."""

CLOSE_BASE = 4_000
"""Close codes are this and the HTTP status that the refusal would have."""

TOO_LARGE_CLOSE = 1009
STOPPING_CLOSE = 1012

RECHECK_SECONDS = CACHE_SECONDS / 2
"""Between two looks at whether the key of a stream still holds."""


class Stopping(Exception):
    """The service ends; the client is still there."""


class Conversation:
    """One connection."""

    def __init__(self, socket: WebSocket, dialect: Dialect) -> None:
        self._socket, self._dialect = socket, dialect
        self._service: Service = service_of(socket)
        self._settings = self._service.settings
        self._principal: Principal | None = None
        self._notices: Notices | None = None
        self._events_wanted = True
        self._stopping = False
        self._begun = time.monotonic()
        self._seconds = 0.0

    async def run(self) -> None:
        """Until it is over; raises nothing."""
        outcome, code = "finished", None
        try:
            if await self._let_in():
                await self._talk()
                outcome = "stopped" if self._stopping else "finished"
            else:
                outcome = "refused"
        except Stopping:
            outcome = "stopped"
            with suppress(WebSocketDisconnect, RuntimeError):
                await self._socket.close(STOPPING_CLOSE)
        except WebSocketDisconnect:
            outcome = "vanished"
        except AasistError as error:
            outcome, code = "refused" if status_of(error) < 500 or isinstance(error, Problem) else "failed", error.code
            await self._refuse(error)
        except asyncio.CancelledError:
            outcome = "stopped"
            raise
        except Exception:
            outcome, code = "failed", "internal"
            LOG.exception("stream failed")
            await self._refuse(Problem(500, "internal", "the service failed on this stream; its log says how"))
        finally:
            self._note(outcome, code)

    async def _let_in(self) -> bool:
        """Whether the connection was accepted. One with a header that does not help is refused before, by an HTTP answer."""
        if self._socket.headers.get("authorization") is not None:
            try:
                self._principal = await authenticate(self._socket, SCOPE)
            except Problem as problem:
                self._socket.state.problem = problem
                await self._socket.send_denial_response(answer_to(problem))
                return False
        await self._socket.accept()
        return True

    async def _talk(self) -> None:
        admission = self._service.admission
        with ExitStack() as place:
            if self._principal is None:
                place.enter_context(admission.opening(address_of(self._socket)))
            else:
                place.enter_context(admission.stream(self._principal))
            opening = await self._opened()
            if self._principal is None:
                bearer = None if opening.key is None else f"Bearer {opening.key}"
                self._principal = await authenticate(self._socket, SCOPE, authorization=bearer)
                place.close()
                place.enter_context(admission.stream(self._principal))
            self._events_wanted = opening.events
            self._notices = notices_of(opening, self._service, self._principal)
            stream = await self._service.streams.open(opening)
            inbox = Inbox(INBOX_FRAMES * self._settings.stream_frame_bytes)
            tasks = [asyncio.create_task(work) for work in (self._read(inbox), self._recheck(inbox, self._principal))]
            try:
                await self._judge(stream, inbox, self._principal)
            finally:
                with suppress(Problem):  # what it holds back is the next request
                    admission.likeness(self._principal, stream.likeness(ended=True))
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)

    async def _opened(self) -> Opening:
        try:
            async with asyncio.timeout(self._settings.stream_first_seconds):
                while (opening := self._dialect.opening(await self._message())) is None:
                    pass
                return opening
        except TimeoutError:
            wait = self._settings.stream_first_seconds
            raise Problem(408, "slow_opening", f"no first message came within {wait:g} s") from None

    async def _read(self, inbox: Inbox) -> None:
        """Fill the inbox until the end, which may be a failure: all that comes out of here goes through it."""
        try:
            while True:
                async with asyncio.timeout(self._settings.stream_idle_seconds):
                    message = await self._message()
                incoming = self._dialect.incoming(message)
                if isinstance(incoming, End):
                    inbox.end()
                    return
                if incoming is not None:
                    await inbox.put(incoming)
        except Stopping:
            self._stopping = True
            inbox.end()
        except TimeoutError:
            wait = self._settings.stream_idle_seconds
            inbox.fail(Problem(408, "idle", f"nothing came for {wait:g} s; send silence, or open another stream later"))
        except Exception as error:
            inbox.fail(error)

    async def _recheck(self, inbox: Inbox, principal: Principal) -> None:
        """End the stream of a key that is revoked, or expires, while it lasts."""
        while principal.key_id is not None:
            await asyncio.sleep(RECHECK_SECONDS)
            try:
                active = await anyio.to_thread.run_sync(self._service.doorkeeper.active, principal.key_id)
            except (SQLAlchemyError, Problem):  # the database is away; who was let in is not put out for that
                continue
            if not active:
                inbox.fail(Problem(401, "key_invalid", "the key has expired or was revoked"))
                return

    async def _message(self) -> Message:
        """The next one. `WebSocketDisconnect` where there is none, `Stopping` where no more is heard, `Problem` 413 where it is
        too large."""
        received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            if received.get(STOPPING):
                raise Stopping
            raise WebSocketDisconnect(received.get("code") or 1005)
        message: Message | None = received.get("bytes")
        if message is None:
            message = received.get("text") or ""
        most = self._settings.stream_frame_bytes
        if len(message) > most:
            raise Problem(
                413, "frame_too_large", f"a message may have {most:,} bytes, got {len(message):,}: send less at a time"
            )
        return message

    async def _judge(self, stream: LiveStream, inbox: Inbox, principal: Principal) -> None:
        streams, metrics = self._service.streams, self._service.metrics
        while True:
            since, pieces = await inbox.take(self._settings.stream_frame_bytes)
            if not pieces:
                break
            events = await streams.run(lambda: stream.push(pieces))  # noqa: B023  # it is waited for
            self._count(stream, principal)
            await self._say(events, principal)
            metrics.stream_delay.observe(asyncio.get_running_loop().time() - since)
        closing, final = await streams.run(stream.finish)
        self._count(stream, principal, ended=True)
        await self._say(closing, principal)
        await self._conclude(final, principal)

    def _count(self, stream: LiveStream, principal: Principal, *, ended: bool = False) -> None:
        """What was heard since the last time, against the account and the limit of a stream."""
        heard, self._seconds = stream.seconds - self._seconds, stream.seconds
        self._service.metrics.audio_seconds.inc(heard)
        self._service.admission.likeness(principal, stream.likeness(ended=ended))
        self._service.admission.streamed(principal, heard)
        most = self._settings.stream_max_seconds
        if self._seconds > most:
            raise Problem(413, "too_long", f"a stream may last {most:,.0f} s; open another")

    async def _say(self, events: list[Event], principal: Principal) -> None:
        for event in events:
            await self._send(event.as_dict(), principal)

    async def _conclude(self, final: Final, principal: Principal) -> None:
        """Keep the verdict, and say it."""
        stored = StoredVerdict.of(final.verdict, key_id=principal.key_id)
        self._service.ledger.add(stored)
        self._service.metrics.verdicts.labels(str(final.verdict.label)).inc()
        await self._send({**final.as_dict(), "path": None, "verdict_id": stored.id}, principal)
        with suppress(RuntimeError):  # it left as the last word was said
            await self._socket.close(STOPPING_CLOSE if self._stopping else 1000)

    async def _send(self, document: dict[str, Any], principal: Principal) -> None:
        """One event, as much of it as the principal may see."""
        coarse = coarsened_event(document, principal.detail)
        if coarse is None:
            return
        if self._notices is not None:
            self._notices.tell(coarse)
        if self._events_wanted:
            await self._deliver(coarse)

    async def _deliver(self, document: dict[str, Any]) -> None:
        """Send it; who takes nothing for too long has gone, as has who was cut off by the server for what it sent."""
        try:
            async with asyncio.timeout(self._settings.stream_idle_seconds):
                await self._socket.send_text(json.dumps(document, ensure_ascii=False, allow_nan=False))
        except (TimeoutError, RuntimeError):
            raise WebSocketDisconnect(1006) from None

    async def _refuse(self, error: AasistError) -> None:
        """Say why it is over, to whoever is still there."""
        status = status_of(error)
        self._service.metrics.refused.labels(error.code).inc()
        if status >= 500 and status != 503:
            LOG.error("stream failed", extra={"code": error.code, "reason": error.message})
        problem = as_values(status, error.code, detail_of(error))
        del problem["type"]
        event = {"type": "error", **problem}
        if (wait := retry_after_of(error)) is not None:
            event["retry_after"] = wait
        with suppress(WebSocketDisconnect, RuntimeError):
            await self._deliver(event)
            await self._socket.close(TOO_LARGE_CLOSE if error.code == "frame_too_large" else CLOSE_BASE + status)

    def _note(self, outcome: str, code: str | None) -> None:
        """One line of log and one count, of a stream however it ended."""
        self._service.metrics.streams_ended.labels(outcome).inc()
        extra: dict[str, Any] = {
            "route": getattr(self._socket.scope.get("route"), "path", "unmatched"),
            "outcome": outcome,
            "seconds": round(time.monotonic() - self._begun, 3),
            "audio_seconds": round(self._seconds, 3),
        }
        if code is not None:
            extra["code"] = code
        if self._principal is not None and self._principal.key_id:
            extra["key_id"] = self._principal.key_id
        LOG.info("stream", extra=extra)
