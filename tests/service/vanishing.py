"""Clients of a stream that are gone in the middle of a frame, as a telephone in a tunnel is."""

from __future__ import annotations

import base64
import os
import socket
import struct
from dataclasses import dataclass

import psutil

FIRST = b'{"encoding": "pcm16", "sample_rate": 16000}'


@dataclass(frozen=True)
class Held:
    """What a process holds that could leak."""

    files: int
    threads: int
    connections: int

    @classmethod
    def of(cls, pid: int) -> Held:
        process = psutil.Process(pid)
        connections = [one for one in process.net_connections("tcp") if one.status != psutil.CONN_LISTEN]
        return cls(process.num_fds(), process.num_threads(), len(connections))


def frame(data: bytes, *, opcode: int = 2) -> bytes:
    """A masked frame of RFC 6455, final."""
    mask = os.urandom(4)
    size = len(data)
    head = bytes([0x80 | opcode])
    head += bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + struct.pack("!H", size)
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))


def connected(port: int, path: str = "/v1/stream") -> socket.socket:
    """A socket behind the handshake."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    sock.sendall(request.encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = sock.recv(4096)
        assert part, f"the handshake was cut off: {answer!r}"
        answer += part
    assert answer.startswith(b"HTTP/1.1 101"), answer
    return sock


def vanish(port: int, number: int, audio: bytes) -> None:
    """Open a stream, send some of it and part of a frame, and be gone: by a reset, or (every third) by closing."""
    sock = connected(port)
    sock.sendall(frame(FIRST, opcode=1))
    for piece in range(number % 4):
        sock.sendall(frame(audio[piece * 3_200 : (piece + 1) * 3_200]))
    whole = frame(audio[:8_000])
    sock.sendall(whole[: 2 + number * 37 % (len(whole) - 2)])
    if number % 3:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
