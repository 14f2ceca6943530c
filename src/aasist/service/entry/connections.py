"""uvicorn's connections with what it lacks: a time for headers, an end after an answer, a share for each address; and streams
that are told of the end before it comes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from aasist.service.entry.addresses import counted_as
from aasist.service.problems import MEDIA_TYPE, as_values

LINGER_SECONDS = 2.0
"""For the rest of a body that was answered before it had come: long enough for a client to read the answer."""

MOST_LINGERING, MOST_LINGERING_EACH = 64, 8
"""Connections beyond the limits that are heard out for so long, and those of one address among them; what comes beside them
is answered and cut off at once, so that who is still sending may not read the answer."""

STOPPING = "stopping"
"""In the ASGI message that says that a WebSocket is over: true where the service ends, and the client is still there."""


class Connection(H11Protocol):
    """One connection. Limits are of the class: `limited` makes one."""

    header_seconds: ClassVar[float] = 10.0
    max_connections: ClassVar[int] = 512
    max_connections_each: ClassVar[int] = 256
    turned_away: ClassVar[set[Connection]] = set()
    """Answered without having been asked, and heard out."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it; begin to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > self.max_connections:
            self._turn_away(_TOO_MANY)
        elif self._of_this_address(self.connections) > self.max_connections_each:
            self._turn_away(_TOO_MANY_EACH)
        else:
            self._wait()

    def _turn_away(self, answer: bytes) -> None:
        """Were it closed with some of a request unread, the kernel would reset it, and the client never read the answer."""
        self.connections.discard(self)
        self.transport.write(answer)
        if len(self.turned_away) >= MOST_LINGERING or self._of_this_address(self.turned_away) >= self._most_lingering():
            self.transport.close()
            return
        self.turned_away.add(self)
        self.transport.write_eof()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)

    def _most_lingering(self) -> int:
        """Of one address; where one may have all connections, it is a proxy's, behind which are many."""
        return MOST_LINGERING if self.max_connections_each >= self.max_connections else MOST_LINGERING_EACH

    def _of_this_address(self, connections: Iterable[object]) -> int:
        """How many of them, of those that became WebSockets as well, are of this one's address."""
        address = _address(self)
        return sum(_address(connection) == address for connection in connections)

    def data_received(self, data: bytes) -> None:
        """Take bytes; those of an unfinished request line and headers have their time."""
        if self in self.turned_away:
            return
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._done_waiting()
        elif self._deadline is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._done_waiting()
        self.turned_away.discard(self)
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        """Answered; who goes on sending is cut off."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self.loop.call_later(LINGER_SECONDS, self._still_sending, self.cycle)

    def _still_sending(self, cycle: RequestResponseCycle) -> None:
        """One that came to the end of its body is good for the next request, which must not be cut off."""
        if self.cycle is cycle and self.conn.their_state is h11.SEND_BODY:
            self.transport.close()

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(self.header_seconds, self._too_slow)

    def _done_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._deadline = None
        if not self.transport.is_closing() and self.transport.get_protocol() is self:
            self.transport.close()


class StreamConnection(WebSocketsSansIOProtocol):
    """A WebSocket that is not cut off where the service ends: it is told, and says its last words itself."""

    def shutdown(self) -> None:
        """SIGTERM has come. What was received before is still handed over; who gives no end in ``drain_seconds`` is cut off."""
        if self.close_sent or not self.handshake_complete:
            super().shutdown()
            return
        told: dict[str, Any] = {"type": "websocket.disconnect", "code": 1012, STOPPING: True}
        self.queue.put_nowait(told)  # type: ignore[arg-type]


def _address(connection: object) -> str:
    client = getattr(connection, "client", None)
    return counted_as(client[0] if client else None)


def limited(header_seconds: float, max_connections: int, max_connections_each: int) -> type[Connection]:
    """Set for this process, before its server begins."""
    Connection.header_seconds = header_seconds
    Connection.max_connections, Connection.max_connections_each = max_connections, max_connections_each
    return Connection


def _raw(status: int, code: str, detail: str) -> bytes:
    values = as_values(status, code, detail)
    body = json.dumps(values).encode()
    head = (
        f"HTTP/1.1 {status} {values['title']}\r\nContent-Type: {MEDIA_TYPE}\r\nContent-Length: {len(body)}\r\n"
        "Retry-After: 1\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


_TOO_MANY = _raw(503, "busy", "as many connections are open as there may be")
_TOO_MANY_EACH = _raw(429, "connection_limit", "as many connections of one address are open as there may be")
