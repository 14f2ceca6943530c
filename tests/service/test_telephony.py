"""Twilio's media frames, and the coding of telephone audio."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import soxr
from starlette.websockets import WebSocketDisconnect

from aasist.audio.pcm import PcmDecoder
from aasist.runtime.events import Change, Event
from aasist.service.entry.keys import webhook_secret
from aasist.service.problems import Problem
from aasist.service.stream.dialects import Audio, End
from aasist.service.stream.streams import LiveStream
from aasist.service.stream.telephony import Twilio

from .talking import talk

URL = "ws://127.0.0.1/v1/stream/twilio"
CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
STREAM, CALL = "MZ" + "1" * 32, "CA" + "2" * 32


def start(**parameters: str) -> dict[str, Any]:
    return {
        "event": "start",
        "sequenceNumber": "1",
        "start": {
            "accountSid": "AC" + "0" * 32,
            "streamSid": STREAM,
            "callSid": CALL,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": parameters,
        },
        "streamSid": STREAM,
    }


def media(data: bytes, *, at_ms: int | None = None, track: str = "inbound") -> dict[str, Any]:
    said = {"track": track, "chunk": "1", "payload": base64.b64encode(data).decode()}
    if at_ms is not None:
        said["timestamp"] = str(at_ms)
    return {"event": "media", "sequenceNumber": "3", "media": said, "streamSid": STREAM}


STOP = {"event": "stop", "sequenceNumber": "9", "stop": {"callSid": CALL}, "streamSid": STREAM}


def read(dialect: Twilio, message: dict[str, Any]) -> Audio | End | None:
    return dialect.incoming(json.dumps(message))


def opened(**parameters: str) -> Twilio:
    dialect = Twilio()
    assert dialect.opening(json.dumps(CONNECTED)) is None
    assert dialect.opening(json.dumps(start(**parameters))) is not None
    return dialect


@pytest.fixture(scope="module")
def mulaw(recording: Path) -> bytes:
    """Four seconds of speech as a telephone sends them."""
    heard, rate = soundfile.read(recording, dtype="float32")
    file = io.BytesIO()
    soundfile.write(file, soxr.resample(heard, rate, 8_000)[:32_000], 8_000, format="RAW", subtype="ULAW")
    return file.getvalue()


def frames(data: bytes) -> list[dict[str, Any]]:
    return [media(data[first : first + 160], at_ms=first // 8) for first in range(0, len(data), 160)]


@pytest.mark.parametrize(("encoding", "subtype"), [("mulaw", "ULAW"), ("alaw", "ALAW")])
def test_each_of_the_256_codes_is_decoded_as_libsndfile_does(encoding, subtype):
    codes = bytes(range(256))
    theirs, _ = soundfile.read(
        io.BytesIO(codes), samplerate=8_000, channels=1, format="RAW", subtype=subtype, dtype="int16"
    )
    ours = PcmDecoder(encoding).push(codes)[:, 0]
    np.testing.assert_array_equal(ours * 32_768, theirs)


def test_mulaw_is_the_formula_of_the_itu():
    """G.711, table 2: y = (-1)^s ((2 m + 33) 2^e - 33) on a scale of 8,192, all bits inverted."""
    for code in range(256):
        bits = code ^ 0xFF
        sign, exponent, mantissa = bits >> 7, (bits >> 4) & 7, bits & 15
        expected = (-1) ** sign * ((2 * mantissa + 33) * 2**exponent - 33) / 8_192
        assert PcmDecoder("mulaw").push(bytes([code]))[0, 0] == expected


def test_alaw_is_the_formula_of_the_itu():
    """G.711, table 1: y = (-1)^(1-s) (2 m + 1) for e = 0, else (2 m + 33) 2^(e-1), on a scale of 4,096; even bits inverted."""
    for code in range(256):
        bits = code ^ 0x55
        sign, exponent, mantissa = bits >> 7, (bits >> 4) & 7, bits & 15
        size = 2 * mantissa + 1 if exponent == 0 else (2 * mantissa + 33) * 2 ** (exponent - 1)
        assert PcmDecoder("alaw").push(bytes([code]))[0, 0] == (1 if sign else -1) * size / 4_096


def test_a_call_gives_the_verdict_of_its_samples(client, mulaw):
    messages = [start(events="on"), *frames(mulaw), {"event": "mark"}, {"event": "dtmf"}, STOP]
    events, code = talk(client, map(json.dumps, messages), first=CONNECTED, url=URL)
    plain, _ = talk(client, [mulaw, '{"type": "finish"}'], first={"encoding": "mulaw", "sample_rate": 8_000})
    assert code == 1000
    for event in (events[-1], plain[-1]):
        event.pop("verdict_id")
    assert events == plain
    assert events[-1]["sample_rate"] == 8_000
    assert events[-1]["segments"]


def test_twilio_is_sent_nothing_that_it_does_not_know(client, mulaw):
    events, code = talk(client, map(json.dumps, [start(), *frames(mulaw), STOP]), first=CONNECTED, url=URL)
    assert (events, code) == ([], 1000)


def test_one_track_is_judged_and_the_other_is_none_of_ours():
    assert read(opened(), media(b"\xff", track="outbound")) is None
    assert read(opened(track="outbound"), media(b"\xff", track="outbound")) == Audio(b"\xff")
    assert read(opened(track="outbound"), media(b"\xff")) is None


def test_frames_that_are_missing_leave_a_gap_and_jitter_none():
    dialect = opened()
    assert read(dialect, media(bytes(160), at_ms=100)) == Audio(bytes(160))
    assert read(dialect, media(bytes(160), at_ms=180)) == Audio(bytes(160))
    late = read(dialect, media(bytes(160), at_ms=2_140))
    assert isinstance(late, Audio)
    assert late.lost_seconds == pytest.approx(2.0)
    assert read(dialect, media(bytes(160), at_ms=2_160)) == Audio(bytes(160))
    with pytest.raises(Problem, match="gap of"):
        read(dialect, media(bytes(160), at_ms=10**12))


def test_a_gap_in_a_call_is_a_warning_of_its_verdict(client, mulaw):
    late = [media(mulaw[:160], at_ms=6_000 + 20 * frame) for frame in range(3)]
    messages = [start(events="on"), *frames(mulaw), *late, STOP]
    events, _ = talk(client, map(json.dumps, messages), first=CONNECTED, url=URL)
    assert "gaps" in {warning["code"] for warning in events[-1]["warnings"]}
    assert events[-1]["duration_seconds"] == pytest.approx(6.06)


@pytest.mark.parametrize(
    "message",
    [
        "?",
        "[]",
        "{}",
        '{"event": 1}',
        json.dumps(media(b"")),
        json.dumps({"event": "start", "start": {"mediaFormat": {"encoding": "audio/opus"}}}),
        json.dumps({"event": "start", "start": {"mediaFormat": {"sampleRate": 96_000}}}),
        json.dumps({"event": "start", "start": {"customParameters": {"track": "both"}}}),
        json.dumps({"event": "start", "start": None}),
    ],
)
def test_what_is_no_start_is_refused(message):
    with pytest.raises(Problem) as refused:
        Twilio().opening(message)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "said", [None, {}, {"payload": "not base64!"}, {"payload": 1}, {"payload": "", "timestamp": -1}, {"payload": "", "timestamp": "9" * 400}]
)  # fmt: skip
def test_what_is_no_media_is_refused(said):
    with pytest.raises(Problem) as refused:
        read(opened(), {"event": "media", "media": said})
    assert refused.value.status == 400


def test_start_may_say_little_and_then_it_is_what_twilio_sends():
    opening = Twilio().opening('{"event": "start"}')
    assert opening is not None
    assert (opening.encoding, opening.sample_rate, opening.events) == ("mulaw", 8_000, False)


class Receiver:
    """A server that keeps what it is sent, and fails at first."""

    def __init__(self, failures: int = 0) -> None:
        self.got: list[tuple[str, bytes]] = []
        outer, left = self, [failures]

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                left[0] -= 1
                if left[0] < 0:
                    outer.got.append((self.headers["Aasist-Signature"], body))
                self.send_response(500 if left[0] >= 0 else 204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/calls"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def wait(self, count: int) -> list[tuple[str, bytes]]:
        until = time.monotonic() + 30
        while len(self.got) < count and time.monotonic() < until:
            time.sleep(0.02)
        return self.got

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver(failures=1)
    yield found
    found.close()


def test_a_webhook_is_told_of_the_verdict_signed_and_again_where_it_failed(client, mulaw, receiver, monkeypatch):
    monkeypatch.setattr("aasist.service.stream.notices.WAITS_SECONDS", (0.0, 0.01, 0.01))
    messages = [start(webhook_url=receiver.url), *frames(mulaw), STOP]
    events, code = talk(client, map(json.dumps, messages), first=CONNECTED, url=URL)
    assert (events, code) == ([], 1000)
    ((signature, body),) = receiver.wait(1)
    notice = json.loads(body)
    assert notice["event"]["type"] == "final"
    assert notice["event"]["label"] in {"bonafide", "spoof", "undecided"}
    assert notice["stream"]["call_sid"] == CALL
    assert notice["stream"]["stream_sid"] == STREAM

    service = client.app.state.service
    moment, digest = (part.partition("=")[2] for part in signature.split(","))
    secret = webhook_secret(service.store.secret, None)
    assert hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest() == digest


def test_a_change_is_told_before_the_call_is_over(client, mulaw, receiver, monkeypatch):
    push = LiveStream.push

    def turning(stream: LiveStream, pieces: list[Audio]) -> list[Event]:
        return [*push(stream, pieces), Change(1.0, 0.5, "spoof", 2.0, -2.0)]

    monkeypatch.setattr(LiveStream, "push", turning)
    monkeypatch.setattr("aasist.service.stream.notices.WAITS_SECONDS", (0.0, 0.01, 0.01))
    with client.websocket_connect(URL) as socket:
        for message in (CONNECTED, start(webhook_url=receiver.url), media(mulaw[:160])):
            socket.send_json(message)
        ((_, body),) = receiver.wait(1)
        socket.send_json(STOP)
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()
    event = json.loads(body)["event"]
    assert event == {
        "type": "change",
        "time": 1.0,
        "since": 0.5,
        "toward": "spoof",
        "llr_before": 2.0,
        "llr_after": -2.0,
    }


def test_a_webhook_inside_the_network_is_refused(client):
    events, code = talk(
        client, [json.dumps(start(webhook_url="https://10.0.0.1/", events="on"))], first=CONNECTED, url=URL
    )
    assert code == 4400
    assert events[-1]["code"] == "webhook_url"


def test_a_parameter_that_is_misspelt_is_refused_and_the_known_ones_named(client):
    events, code = talk(client, [json.dumps(start(evnts="on"))], first=CONNECTED, url=URL)
    assert code == 4400
    assert events[-1]["detail"] == "customParameters.evnts: not known; there are: key, track, webhook_url, events"
