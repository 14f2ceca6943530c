"""What passes between the service and a process that decodes: JSON and raw bytes, never a pickle.

A decoder has read a stranger's bytes with native code; were it taken over, it could say no more than this allows.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from typing import Any

_SIZES = struct.Struct(">II")
MAX_HEADER_BYTES = 65_536


class Broken(Exception):
    """The other side is gone, or says what it may not."""


def send(
    sock: socket.socket, header: dict[str, Any], payload: bytes | memoryview = b"", *, file: int | None = None
) -> None:
    """One frame; with ``file``, that descriptor goes along. Raises ``OSError`` where the other side is gone."""
    text = json.dumps(header, allow_nan=False).encode()
    assert len(text) <= MAX_HEADER_BYTES
    sizes = _SIZES.pack(len(text), len(payload))
    if file is None:
        sock.sendall(sizes)
    else:
        socket.send_fds(sock, [sizes], [file])  # eight bytes always fit
    sock.sendall(text)
    if len(payload):
        sock.sendall(payload)


def receive(
    sock: socket.socket, *, max_payload: int, read: Callable[[socket.socket, int], bytes]
) -> tuple[dict[str, Any], bytes]:
    """One frame, by ``read``, which gives exactly so many bytes. Raises `Broken` for one out of bounds."""
    header_bytes, payload_bytes = _SIZES.unpack(read(sock, _SIZES.size))
    if header_bytes > MAX_HEADER_BYTES or payload_bytes > max_payload:
        raise Broken(f"a frame of {header_bytes} and {payload_bytes} bytes")
    return _parsed(read(sock, header_bytes)), read(sock, payload_bytes) if payload_bytes else b""


def receive_with_file(sock: socket.socket) -> tuple[dict[str, Any], int] | None:
    """A request and the descriptor that came along; None where the other side is gone."""
    sizes, files, _, _ = socket.recv_fds(sock, _SIZES.size, 1)
    if not sizes:
        return None
    sizes += read_exactly(sock, _SIZES.size - len(sizes)) if len(sizes) < _SIZES.size else b""
    header_bytes, _ = _SIZES.unpack(sizes)
    header = _parsed(read_exactly(sock, header_bytes))
    if not files:
        raise Broken("a request without a file")
    return header, files[0]


def read_exactly(sock: socket.socket, count: int) -> bytes:
    """``count`` bytes, however long they take."""
    parts = bytearray()
    while len(parts) < count:
        part = sock.recv(min(count - len(parts), 1 << 20))
        if not part:
            raise Broken("the other side is gone")
        parts += part
    return bytes(parts)


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text)
    except ValueError:
        raise Broken("a frame that is not JSON") from None
    if not isinstance(header, dict):
        raise Broken("a frame that is no object")
    return header
