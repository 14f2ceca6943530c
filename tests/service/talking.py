"""What a client of a stream does, against a service in this process."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

URL = "ws://127.0.0.1/v1/stream"
PCM16 = {"encoding": "pcm16", "sample_rate": 16_000}
FINISH = json.dumps({"type": "finish"})


def talk(
    client: TestClient,
    pieces: Iterable[bytes | str],
    *,
    first: dict[str, Any] | str | bytes = PCM16,
    url: str = URL,
    headers: dict[str, str] | None = None,
) -> tuple[list[dict[str, Any]], int]:
    """All events of a stream, and the code that it was closed with."""
    events: list[dict[str, Any]] = []
    with client.websocket_connect(url, headers=dict(headers or {})) as socket:
        for piece in (json.dumps(first) if isinstance(first, dict) else first, *pieces):
            if isinstance(piece, bytes):
                socket.send_bytes(piece)
            else:
                socket.send_text(piece)
        try:
            while True:
                events.append(socket.receive_json())
        except WebSocketDisconnect as closed:
            return events, closed.code


def cut(data: bytes, size: int = 3_200) -> list[bytes]:
    """Messages of so many bytes, the end behind them."""
    return [data[first : first + size] for first in range(0, len(data), size)]
