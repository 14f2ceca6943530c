"""Streams at the pace of life, side by side: none falls behind. ``make soak`` has fifty of them, with the shipped model."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from websockets.asyncio.client import connect

from .live import Live

STREAMS = int(os.environ.get("AASIST_LIVE_STREAMS", "3"))
SECONDS = float(os.environ.get("AASIST_LIVE_SECONDS", "4"))
HEAVY = STREAMS > 10
RATE, PACKET_SECONDS, HOP_SECONDS = 16_000, 0.1, 0.5


@dataclass
class Heard:
    """When events came, and how long after the audio that completed them had been sent; and the last event."""

    delays: list[tuple[float, float]] = field(default_factory=list)
    last: dict = field(default_factory=dict)


async def one(url: str, samples: np.ndarray, begin: float) -> Heard:
    """A call: packets by the clock, from its own place in the recording."""
    heard = Heard()
    size = round(PACKET_SECONDS * RATE)
    async with connect(url, max_size=None) as socket:
        await socket.send(json.dumps({"encoding": "pcm16", "sample_rate": RATE}))
        await asyncio.sleep(max(0.0, begin - time.monotonic()))
        started = time.monotonic()

        async def send() -> None:
            for packet in range(round(SECONDS / PACKET_SECONDS)):
                due = started + (packet + 1) * PACKET_SECONDS  # a packet is there when its last sample is
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                places = np.arange(packet * size, (packet + 1) * size)
                await socket.send(np.take(samples, places, mode="wrap").tobytes())
            await socket.send('{"type": "finish"}')

        sending = asyncio.create_task(send())
        async for message in socket:
            now = time.monotonic() - started
            heard.last = json.loads(message)
            if heard.last["type"] in ("provisional", "score"):
                heard.delays.append((now, now - heard.last["time"]))
        await sending
    return heard


@pytest.fixture(scope="module")
def speech(recording: Path) -> np.ndarray:
    heard, rate = soundfile.read(recording, dtype="float32")
    return np.round(soxr.resample(heard, rate, RATE) * 32_767).astype("<i2")


def test_streams_at_the_pace_of_life_do_not_fall_behind(tmp_path, loudness_onnx, speech):
    model = "small" if HEAVY else loudness_onnx
    threads = len(os.sched_getaffinity(0)) if HEAVY else 1
    with Live(
        tmp_path, model=loudness_onnx, stream_model=model, threads=threads, streams=STREAMS, max_streams=STREAMS
    ) as live:
        url = live.url.replace("http", "ws") + "/v1/stream"

        async def all_of_them() -> list[Heard]:
            begin = time.monotonic() + 1.0
            # Spread over a hop, as calls are.
            starts = [begin + HOP_SECONDS * number / STREAMS for number in range(STREAMS)]
            calls = [one(url, np.roll(speech, -number * RATE), at) for number, at in enumerate(starts)]
            return list(await asyncio.gather(*calls))

        calls = asyncio.run(all_of_them())
    assert [call.last["type"] for call in calls] == ["final"] * STREAMS
    assert all(call.last["duration_seconds"] == pytest.approx(SECONDS) for call in calls)
    delays = np.array([delay for call in calls for delay in call.delays])
    assert len(delays) >= STREAMS
    when, late = delays.T
    worst = [float(late[half].max(initial=0.0)) for half in (when < SECONDS / 2, when >= SECONDS / 2)]
    print(
        f"{STREAMS} streams, {SECONDS:g} s, {threads} threads: events p50 {1e3 * np.percentile(late, 50):.0f} ms, "
        f"p99 {1e3 * np.percentile(late, 99):.0f} ms, worst {1e3 * late.max():.0f} ms behind their audio"
    )
    if HEAVY:
        assert worst[1] <= max(worst[0], HOP_SECONDS), "the second half is later than the first: they fall behind"
