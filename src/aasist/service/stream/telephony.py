"""Media frames of telephone services: Twilio's, which others send too, as a dialect of a stream.

``connected``, ``start`` (what comes, and parameters of ours), ``media`` (base64, 20 ms each) and ``stop``, all of them JSON; after
Twilio's "Media Streams: WebSocket messages". mu-law and A-law are decoded by `aasist.audio.pcm`, after ITU-T G.711.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from aasist.service.stream.dialects import MOST_KEY, Audio, End, Message, Opening, invalid, said, values_of

FORMATS = {"audio/x-mulaw": ("mulaw", 1), "audio/x-alaw": ("alaw", 1), "audio/x-l16": ("pcm16", 2)}
"""Media type -> our encoding, and bytes a sample. Twilio sends the first; others offer the rest, L16 with the least byte first."""

GAP_SECONDS = 0.5
"""Frames that come so much later than their place are taken to have frames missing before them; less is jitter."""

MOST_GAP_SECONDS = 60.0

Track = Literal["inbound", "outbound"]

_WANTED = "a message must be JSON of Twilio's media streams"


class _Open(BaseModel):
    """They add fields as they like."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class _Format(_Open):
    encoding: Literal["audio/x-mulaw", "audio/x-alaw", "audio/x-l16"] = "audio/x-mulaw"
    sampleRate: int = Field(default=8_000, ge=8_000, le=48_000)  # noqa: N815  # their spelling
    channels: Literal[1] = 1


class Parameters(BaseModel):
    """``<Parameter>`` elements in the TwiML of ``<Stream>``, which are all ours: one that is misspelt would do nothing, and is refused."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    key: str | None = Field(default=None, max_length=MOST_KEY)
    track: Track = "inbound"
    webhook_url: str | None = Field(default=None, max_length=2_000)
    events: Literal["on", "off"] = "off"


class _Start(_Open):
    streamSid: str | None = Field(default=None, max_length=100)  # noqa: N815
    callSid: str | None = Field(default=None, max_length=100)  # noqa: N815
    mediaFormat: _Format = Field(default_factory=_Format)  # noqa: N815
    customParameters: Parameters = Field(default_factory=Parameters)  # noqa: N815


class _Media(_Open):
    track: str = "inbound"
    timestamp: int | None = Field(default=None, ge=0, le=10**12)
    """ms from the start of the stream; Twilio sends digits in a string."""
    payload: str


class Twilio:
    """``/v1/stream/twilio``. One track of a call is judged, the caller's unless the parameter ``track`` says otherwise.

    Twilio takes no messages that are not of its own, so events are sent back only where the parameter ``events`` is ``on``, by
    somebody who stands in between; ``webhook_url`` is told of changes and of the verdict.
    """

    def __init__(self) -> None:
        self._track: str = "inbound"
        self._bytes_a_second = 8_000.0
        self._first_ms: int | None = None
        self._seconds = 0.0

    def opening(self, message: Message) -> Opening | None:
        """``start``; before it, ``connected``."""
        values = _message(message)
        if values["event"] == "connected":
            return None
        if values["event"] != "start":
            raise invalid(f"'connected' and 'start' come first, got {_shown(values['event'])}")
        start = said(_Start, values.get("start", {}))
        parameters = start.customParameters
        encoding, width = FORMATS[start.mediaFormat.encoding]
        self._track = parameters.track
        self._bytes_a_second = float(width * start.mediaFormat.sampleRate)
        names = (("call_sid", start.callSid), ("stream_sid", start.streamSid))
        return Opening(
            encoding,
            start.mediaFormat.sampleRate,
            parameters.key,
            webhook_url=parameters.webhook_url,
            events=parameters.events == "on",
            names=tuple((name, value) for name, value in names if value is not None),
        )

    def incoming(self, message: Message) -> Audio | End | None:
        """``media`` of the track, and ``stop``; marks, digits and the other track are none of ours."""
        values = _message(message)
        if values["event"] == "stop":
            return End()
        if values["event"] != "media":
            return None
        media = said(_Media, values.get("media", {}))
        if media.track != self._track:
            return None
        try:
            data = base64.b64decode(media.payload, validate=True)
        except (binascii.Error, ValueError):
            raise invalid("media.payload must be base64") from None
        lost = self._lost(media.timestamp)
        self._seconds += lost + len(data) / self._bytes_a_second
        return Audio(data, lost)

    def _lost(self, timestamp_ms: int | None) -> float:
        """Seconds that are missing before a frame of this time."""
        if timestamp_ms is None:
            return 0.0
        if self._first_ms is None:
            self._first_ms = timestamp_ms
        late = (timestamp_ms - self._first_ms) / 1000 - self._seconds
        if late > MOST_GAP_SECONDS:
            raise invalid(f"media.timestamp leaves a gap of {late:,.0f} s; {MOST_GAP_SECONDS:g} s at most are bridged")
        return late if late > GAP_SECONDS else 0.0


def _message(message: Message) -> dict[str, Any]:
    values = values_of(message, _WANTED)
    if not isinstance(values, dict) or not isinstance(values.get("event"), str):
        raise invalid(f"{_WANTED}, with an 'event'")
    return values


def _shown(event: str) -> str:
    return repr(event[:40])
