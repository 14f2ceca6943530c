"""Clients that vanish leave nothing behind; heavily so under ``make soak``."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from pathlib import Path

import httpx2 as httpx
import pytest
import soundfile
import soxr

from .live import Live
from .vanishing import FIRST, Held, connected, frame, vanish

CLIENTS = int(os.environ.get("AASIST_VANISHING_CLIENTS", "30"))
"""make soak takes 200."""
SETTLED_SECONDS = 30.0


@pytest.fixture(scope="module")
def audio(recording: Path) -> bytes:
    heard, rate = soundfile.read(recording, dtype="float32")
    return (soxr.resample(heard, rate, 16_000)[:64_000] * 32_767).astype("<i2").tobytes()


def gauge(url: str, name: str) -> float:
    lines = httpx.get(f"{url}/metrics", timeout=10).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(name) and not line.startswith("#"))


def test_clients_that_vanish_in_mid_frame_leave_no_file_thread_connection_or_place(tmp_path, loudness_onnx, audio):
    with Live(tmp_path, model=loudness_onnx, stream_model=loudness_onnx, streams=CLIENTS, max_streams=CLIENTS) as live:
        pid = live.process.pid
        for number in range(4):  # threads and files that are made once are made
            vanish(live.port, number, audio)
        settle(live.url)
        before = Held.of(pid)
        for number in range(CLIENTS):
            vanish(live.port, number, audio)
        settle(live.url)
        until = time.monotonic() + SETTLED_SECONDS
        while (after := Held.of(pid)) != before and time.monotonic() < until:
            time.sleep(0.1)
        assert after.connections <= before.connections
        assert after.files <= before.files
        assert after.threads <= before.threads + 2  # a pool may still grow to its size
        assert gauge(live.url, 'aasist_streams_ended_total{outcome="vanished"}') == CLIENTS + 4
        assert gauge(live.url, 'aasist_streams_ended_total{outcome="failed"}') == 0
        assert not [line for line in live.lines if "Traceback" in line]

        # And it listens as before.
        sock = connected(live.port)
        sock.sendall(frame(FIRST, opcode=1) + frame(audio[:32_000]) + frame(b'{"type": "finish"}', opcode=1))
        heard = b""
        while b'"type": "final"' not in heard and (part := sock.recv(65_536)):
            heard += part
        sock.close()
        assert b'"type": "final"' in heard


def settle(url: str) -> None:
    until = time.monotonic() + SETTLED_SECONDS
    while (left := gauge(url, "aasist_streams ")) and time.monotonic() < until:
        time.sleep(0.05)
    assert left == 0


def test_a_service_that_stops_gives_its_streams_a_verdict_and_says_so(tmp_path, loudness_onnx, audio):
    closed = b"\x88\x02" + (1012).to_bytes(2, "big")
    with Live(tmp_path, model=loudness_onnx, stream_model=loudness_onnx) as live:
        silent, sock = connected(live.port), connected(live.port)  # the first never says what it is
        sock.sendall(frame(FIRST, opcode=1) + frame(audio[:32_000]))
        assert sock.recv(1)  # it listens
        live.terminate()
        heard = {silent: b"", sock: b""}
        for one in (silent, sock):
            while not heard[one].endswith(closed):
                part = one.recv(65_536)
                assert part, heard[one]
                heard[one] += part
            one.sendall(frame(closed[2:], opcode=8))
            assert one.recv(1) == b""
            one.close()
        assert live.process.wait(30) == 0
    said = re.search(rb'"verdict_id": "([0-9a-f]+)"', heard[sock])
    assert said, heard[sock]
    assert b'"type": "final"' in heard[sock]
    assert heard[silent] == closed
    with sqlite3.connect(tmp_path / "aasist.db") as database:
        stored = database.execute("SELECT count(*) FROM verdicts WHERE id = ?", [said[1].decode()]).fetchone()
    database.close()
    assert stored == (1,)
    assert [line["outcome"] for line in live.logged() if line["event"] == "stream"] == ["stopped", "stopped"]
    assert not [line for line in live.lines if "Traceback" in line]


def test_addresses_of_streams_are_not_logged(tmp_path, loudness_onnx):
    with Live(tmp_path, model=loudness_onnx, stream_model=loudness_onnx) as live:
        sock = connected(live.port, "/v1/stream?secret=1")
        sock.sendall(frame(b"{}", opcode=1))
        heard = b""
        while b"\x88" not in heard:  # the frame that closes
            heard += sock.recv(4_096)
        sock.close()
        settle(live.url)
        logged = json.dumps(live.logged())
        assert '"stream"' in logged
        assert "secret" not in logged
        assert "WebSocket" not in logged
