"""`WS /v1/stream`: what is sent comes back as events, and what may not be is refused in words."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from aasist.audio.pcm import PcmDecoder
from aasist.runtime.detector import Detector
from aasist.runtime.stream import StreamDetector
from aasist.service.app import create_app
from aasist.service.entry.keys import new_key
from aasist.service.stream.dialects import Plain
from aasist.service.stream.live import Conversation

from .talking import FINISH, PCM16, URL, cut, talk

Serving = Callable[..., TestClient]
OPEN = {"host": "0.0.0.0", "allowed_hosts": ("127.0.0.1",)}
"""Reached by others, so that keys are asked for."""


@pytest.fixture(scope="module")
def samples(recording: Path) -> np.ndarray:
    """Four seconds of speech at 16 kHz."""
    heard, rate = soundfile.read(recording, dtype="float32")
    return soxr.resample(heard, rate, 16_000)[:64_000]


@pytest.fixture(scope="module")
def pcm16(samples: np.ndarray) -> bytes:
    return np.round(samples * 32_767).astype("<i2").tobytes()


def coded(samples: np.ndarray, encoding: str, rate: int) -> bytes:
    heard = soxr.resample(samples, 16_000, rate)
    if encoding == "float32":
        return heard.astype("<f4").tobytes()
    subtype = {"pcm16": "PCM_16", "mulaw": "ULAW", "alaw": "ALAW"}[encoding]
    file = io.BytesIO()
    soundfile.write(file, heard, rate, format="RAW", subtype=subtype)
    return file.getvalue()


def key_of(client: TestClient, **given: object) -> str:
    key, stored = new_key("of a test", **given)
    client.app.state.service.store.keys.add(stored)
    return key


def error_of(events: list[dict]) -> dict:
    assert events, "nothing was said"
    assert events[-1]["type"] == "error"
    assert set(events[-1]) <= {"type", "title", "status", "detail", "code", "retry_after"}
    return events[-1]


@pytest.mark.parametrize(
    ("encoding", "rate"), [("pcm16", 16_000), ("float32", 48_000), ("mulaw", 8_000), ("alaw", 8_000), ("pcm16", 44_100)]
)
def test_the_events_are_those_of_a_stream_detector_fed_the_same_samples(client, samples, loudness_onnx, encoding, rate):
    data = coded(samples, encoding, rate)
    events, code = talk(client, [*cut(data, 1_001), FINISH], first={"encoding": encoding, "sample_rate": rate})
    assert code == 1000

    detector = StreamDetector(Detector(loudness_onnx, threads=1), sample_rate=rate)
    expected = detector.push(PcmDecoder(encoding).push(data))
    final = detector.finish()
    documents = [event.as_dict() for event in (*expected, *final.closing, final)]
    assert {"window", "score", "final"} <= {document["type"] for document in documents}
    said = events[-1].pop("verdict_id")
    documents[-1]["path"] = None
    assert events == json.loads(json.dumps(documents))
    client.portal.call(client.app.state.service.ledger.flush)
    again = client.get(f"/v1/verdicts/{said}").json()
    assert again["llr"] == events[-1]["llr"]
    assert again["model"] == events[-1]["model"]


@pytest.mark.parametrize(
    "first",
    [
        "",
        "no json",
        "[" * 50_000,
        "[]",
        "{}",
        b"\0\0",
        {"encoding": "opus", "sample_rate": 16_000},
        {"encoding": "pcm16"},
        {"encoding": "pcm16", "sample_rate": 7_999},
        {"encoding": "pcm16", "sample_rate": 48_001},
        {"encoding": "pcm16", "sample_rate": "16000"},
        {"encoding": "pcm16", "sample_rate": 16_000, "channels": 2},
        {"encoding": "pcm16", "sample_rate": 16_000, "key": "secret" * 50},
    ],
)
def test_a_first_message_that_says_not_what_comes_is_refused(client, first):
    events, code = talk(client, [], first=first)
    assert code == 4400
    error = error_of(events)
    assert (error["code"], error["status"]) == ("invalid_message", 400)
    assert "secret" not in json.dumps(error)


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("[1,2]", "must be a JSON object with encoding, sample_rate, key"),
        ({**PCM16, "rate": 1}, "rate: not known; there are: encoding, sample_rate, key"),
    ],
)
def test_what_may_stand_in_the_first_message_is_said(client, first, said):
    events, _ = talk(client, [], first=first)
    assert error_of(events)["detail"] == said


def test_an_address_without_a_stream_is_said_to_be_none(client):
    with pytest.raises(WebSocketDenialResponse) as refused:
        talk(client, [], url="ws://127.0.0.1/v1/streams")
    assert (refused.value.status_code, refused.value.json()["code"]) == (404, "not_found")
    assert "/v1/stream " in refused.value.json()["detail"]


@pytest.mark.parametrize("later", ["", "stop", '{"type": "start"}', '{"type": "finish", "more": 1}'])
def test_a_text_that_is_not_the_end_is_refused(client, later):
    events, code = talk(client, [later])
    assert (error_of(events)["code"], code) == ("invalid_message", 4400)


def test_samples_that_are_no_numbers_end_the_stream(client):
    events, code = talk(
        client, [np.full(1_600, np.nan, "<f4").tobytes()], first={"encoding": "float32", "sample_rate": 16_000}
    )
    assert (error_of(events)["code"], code) == ("not_finite", 4422)


def test_a_stream_without_samples_has_a_verdict_without_a_label(client):
    events, code = talk(client, [FINISH])
    assert code == 1000
    assert [event["type"] for event in events] == ["final"]
    assert events[0]["label"] == "undecided"
    assert events[0]["llr"] is None
    assert events[0]["warnings"] == [{"code": "empty", "message": "no samples came"}]


def test_a_message_that_is_too_large_is_refused_in_words(serving: Serving):
    events, code = talk(serving(stream_frame_bytes=2_000), [bytes(2_001)])
    assert (error_of(events)["code"], code) == ("frame_too_large", 1009)


def test_who_says_nothing_is_let_go(serving: Serving):
    client = serving(stream_first_seconds=0.1, stream_idle_seconds=0.2)
    with client.websocket_connect(URL) as socket:
        assert socket.receive_json()["code"] == "slow_opening"
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 4408
    events, code = talk(client, [bytes(320)])
    assert (error_of(events)["code"], code) == ("idle", 4408)


def test_a_stream_may_not_last_longer_than_is_set(serving: Serving, pcm16):
    events, code = talk(serving(stream_max_seconds=2.0), cut(pcm16, 32_000))
    assert (error_of(events)["code"], code) == ("too_long", 4413)


def test_seconds_of_audio_are_counted_while_the_stream_lasts(serving: Serving, pcm16):
    client = serving(audio_seconds_per_hour=2.0)
    events, code = talk(client, cut(pcm16, 32_000))
    error = error_of(events)
    assert (error["code"], code) == ("audio_rate", 4429)
    assert error["retry_after"] >= 1
    events, code = talk(client, [FINISH])
    assert (error_of(events)["code"], code) == ("audio_rate", 4429)


def test_an_account_has_so_many_streams_and_no_more(serving: Serving):
    client = serving(streams=1)
    service = client.app.state.service
    with client.websocket_connect(URL) as first:
        first.send_json(PCM16)
        events, code = talk(client, [FINISH])
        assert (error_of(events)["code"], code) == ("stream_limit", 4429)
        first.send_text(FINISH)
        assert first.receive_json()["type"] == "final"
    assert service.admission.all_streams == 0
    assert talk(client, [FINISH])[1] == 1000


def test_where_all_places_are_taken_it_is_503(serving: Serving):
    events, code = talk(serving(max_streams=0), [FINISH])
    error = error_of(events)
    assert (error["code"], code) == ("busy", 4503)
    assert error["retry_after"] >= 1


def test_beyond_this_machine_a_key_is_needed_in_the_header_or_the_first_message(serving: Serving):
    client = serving(**OPEN)
    assert error_of(talk(client, [FINISH])[0])["code"] == "key_required"
    assert talk(client, [FINISH])[1] == 4401

    key = key_of(client)
    assert talk(client, [FINISH], headers={"authorization": f"Bearer {key}"})[1] == 1000
    assert talk(client, [FINISH], first={**PCM16, "key": key})[1] == 1000

    other = key_of(client, scopes=("detect",))
    events, code = talk(client, [FINISH], first={**PCM16, "key": other})
    assert (error_of(events)["code"], code) == ("scope", 4403)
    events, code = talk(client, [FINISH], first={**PCM16, "key": key[:-1]})
    assert (error_of(events)["code"], code) == ("key_invalid", 4401)
    assert key[:-1] not in json.dumps(events)


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_key_that_ends_ends_its_streams(serving: Serving, pcm16, monkeypatch, end):
    monkeypatch.setattr("aasist.service.stream.live.RECHECK_SECONDS", 0.1)
    monkeypatch.setattr("aasist.service.entry.keys.CACHE_SECONDS", 0.1)
    client = serving(**OPEN)
    key = key_of(client, expires_at=time.time() + 2 if end == "expired" else None)
    with client.websocket_connect(URL, headers={"authorization": f"Bearer {key}"}) as socket:
        socket.send_json(PCM16)
        socket.send_bytes(pcm16[:64_000])
        assert socket.receive_json()["type"] != "error"
        if end == "revoked":
            client.app.state.service.store.keys.revoke(key.split("_")[1])
        events = []
        with pytest.raises(WebSocketDisconnect) as closed:
            while True:
                events.append(socket.receive_json())
    assert (error_of(events)["code"], closed.value.code) == ("key_invalid", 4401)


def test_a_database_that_is_away_puts_out_nobody_who_was_let_in(serving: Serving, pcm16, monkeypatch):
    monkeypatch.setattr("aasist.service.stream.live.RECHECK_SECONDS", 0.01)
    monkeypatch.setattr("aasist.service.entry.keys.CACHE_SECONDS", 0.01)
    client = serving(**OPEN)
    key = key_of(client)
    asked: list[str] = []

    def away(identity: str) -> None:
        asked.append(identity)
        raise OperationalError("", None, Exception())

    with client.websocket_connect(URL, headers={"authorization": f"Bearer {key}"}) as socket:
        socket.send_json(PCM16)
        socket.send_bytes(pcm16[:64_000])
        socket.receive_json()
        monkeypatch.setattr(client.app.state.service.store.keys, "get", away)
        until = time.monotonic() + 10
        while len(asked) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        assert len(asked) >= 2
        monkeypatch.undo()
        socket.send_text(FINISH)
        while (event := socket.receive_json())["type"] not in ("final", "error"):
            pass
    assert event["type"] == "final"


def test_strangers_take_no_place_of_those_who_have_a_key(serving: Serving):
    client = serving(**OPEN, max_streams=2, max_streams_opening=3)
    key = key_of(client)
    strangers = [client.websocket_connect(URL) for _ in range(3)]
    with strangers[0], strangers[1], strangers[2]:
        time.sleep(0.2)
        events, code = talk(client, [FINISH])
        assert (error_of(events)["code"], code) == ("busy", 4503)
        assert talk(client, [FINISH], headers={"authorization": f"Bearer {key}"})[1] == 1000
    until = time.monotonic() + 10
    while (code := talk(client, [FINISH], first={**PCM16, "key": key})[1]) != 1000 and time.monotonic() < until:
        time.sleep(0.05)
    assert code == 1000


def test_an_address_has_its_share_of_strangers(serving: Serving):
    client = serving(**OPEN, streams=1)
    with client.websocket_connect(URL):
        time.sleep(0.2)
        events, code = talk(client, [FINISH])
        assert (error_of(events)["code"], code) == ("stream_limit", 4429)


def test_a_header_that_does_not_help_is_refused_by_an_http_answer(serving: Serving):
    client = serving(**OPEN)
    with pytest.raises(WebSocketDenialResponse) as refused:
        talk(client, [], headers={"authorization": "Bearer aasist_no_such"})
    assert refused.value.status_code == 401
    assert refused.value.json()["code"] == "key_invalid"


def test_pages_of_other_origins_are_turned_away(client):
    with pytest.raises(WebSocketDisconnect):
        talk(client, [FINISH], headers={"origin": "https://elsewhere.example"})
    assert talk(client, [FINISH], headers={"origin": "http://127.0.0.1"})[1] == 1000


@pytest.mark.parametrize("detail", ["rounded", "label"])
def test_whoever_may_not_see_scores_sees_none_in_the_events(serving: Serving, pcm16, detail):
    events, code = talk(serving(detail=detail), [*cut(pcm16), FINISH])
    assert code == 1000
    assert {"score", "final"} <= {event["type"] for event in events}
    assert ("window" in {event["type"] for event in events}) == (detail == "rounded")
    numbers = [
        value
        for event in events
        for one in (event, *event.get("segments", ()), *event.get("changes", ()))
        for name, value in one.items()
        if name in ("llr", "llr_before", "llr_after")
    ]
    assert numbers
    assert all(value is None if detail == "label" else value == round(value) for value in numbers)
    assert all(event.get("score") in (None, round(event.get("score") or 0, 2)) for event in events)


def test_streams_that_differ_a_little_are_counted_as_probing(serving: Serving, samples):
    client = serving(probe_limit=1, probe_seconds=60)
    rng = np.random.default_rng(0)
    codes = []
    for _ in range(4):
        altered = samples + rng.normal(0, 1e-4, len(samples)).astype(np.float32)
        events, code = talk(client, [*cut(np.round(altered * 32_767).astype("<i2").tobytes()), FINISH])
        codes.append(code)
    assert codes[:2] == [1000, 1000]
    assert codes[-1] == 4429
    assert error_of(events)["code"] == "probing"


def test_who_takes_no_events_has_gone(settings, samples, pcm16):
    """Sending waits without end; the stream is over when it has waited as long as an idle one may."""
    app = create_app(settings(stream_idle_seconds=0.3))
    service = app.state.service
    messages = [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": json.dumps(PCM16)}]
    messages += [{"type": "websocket.receive", "bytes": piece} for piece in cut(pcm16)]

    async def run() -> None:
        async def receive() -> dict:
            if messages:
                return messages.pop(0)
            await asyncio.sleep(60)
            raise AssertionError

        async def send(message: dict) -> None:
            if message["type"] != "websocket.accept":
                await asyncio.sleep(60)

        scope = {"type": "websocket", "app": app, "headers": [], "client": ("127.0.0.1", 1), "path": "/v1/stream"}
        await service.start()
        try:
            begun = time.monotonic()
            await Conversation(WebSocket(scope, receive, send), Plain()).run()
            assert time.monotonic() - begun < 30
            assert service.admission.all_streams == 0
            assert service.metrics.registry.get_sample_value("aasist_streams_ended_total", {"outcome": "vanished"}) == 1
        finally:
            await service.stop()

    asyncio.run(run())


def test_what_breaks_inside_is_a_500_without_details(serving: Serving, pcm16, monkeypatch):
    client = serving()

    def broken(*_: object) -> None:
        raise RuntimeError("/srv/secret/path")

    monkeypatch.setattr("aasist.service.stream.streams.LiveStream.push", broken)
    events, code = talk(client, cut(pcm16)[:1])
    error = error_of(events)
    assert (error["code"], code) == ("internal", 4500)
    assert "secret" not in json.dumps(error)
    assert client.app.state.service.admission.all_streams == 0


def test_how_streams_ended_is_counted(serving: Serving, pcm16):
    client = serving()
    assert talk(client, [*cut(pcm16), FINISH])[1] == 1000
    talk(client, ["?"])
    with client.websocket_connect(URL) as socket:
        socket.send_json(PCM16)
        socket.send_bytes(pcm16[:1_001])
        socket.close(1000)
        until = time.monotonic() + 10
        # Gauges are taken before counters are written, and the stream may end in between: both are waited for.
        ended = ('outcome="vanished"', "\naasist_streams 0.0\n")
        while not all(line in (text := client.get("/metrics").text) for line in ended) and time.monotonic() < until:
            time.sleep(0.01)
    for outcome in ("finished", "refused", "vanished"):
        assert f'aasist_streams_ended_total{{outcome="{outcome}"}} 1.0' in text
    assert "\naasist_streams 0.0\n" in text
    assert "aasist_stream_delay_seconds_count" in text
