"""What is said over the WebSocket of a stream: our own words here, those of telephone services beside it (`telephony`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aasist.errors import one_line
from aasist.service.problems import Problem

Message = str | bytes
"""A text or a binary message."""

Said = TypeVar("Said", bound=BaseModel)

MOST_KEY = 200
"""Characters; ours have 62."""


@dataclass(frozen=True)
class Opening:
    """What a stream will carry, once that was said; ``key`` where a page could not send the header."""

    encoding: str
    sample_rate: int
    key: str | None = None
    webhook_url: str | None = None
    events: bool = True
    """Whether events are sent back over the socket."""
    names: tuple[tuple[str, str], ...] = ()
    """By what the other side knows the call; they stand in its webhooks."""


@dataclass(frozen=True)
class Audio:
    """The next bytes, and how much was lost before them."""

    data: bytes
    lost_seconds: float = 0.0


@dataclass(frozen=True)
class End:
    """The stream is over, and its verdict is wanted."""


class Dialect(Protocol):
    """Reads the messages of one connection, in order. `Problem` 400 for what is not of it."""

    def opening(self, message: Message) -> Opening | None:
        """What the stream is; None: that is still to come."""
        ...

    def incoming(self, message: Message) -> Audio | End | None:
        """A message behind the opening; None: nothing of ours."""
        ...


class _First(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    encoding: Literal["pcm16", "float32", "mulaw", "alaw"]
    sample_rate: int = Field(ge=8_000, le=48_000)
    key: str | None = Field(default=None, max_length=MOST_KEY)


class _Later(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    type: Literal["finish"]


class Plain:
    """``/v1/stream``: one JSON message says what comes, binary messages are samples, ``{"type": "finish"}`` ends them."""

    def opening(self, message: Message) -> Opening:
        """Of the first message."""
        first = said(_First, values_of(message, "the first message must be JSON: encoding and sample_rate"))
        return Opening(first.encoding, first.sample_rate, first.key)

    def incoming(self, message: Message) -> Audio | End:
        """Samples, or the end."""
        if isinstance(message, bytes):
            return Audio(message)
        said(_Later, values_of(message, "a text message must be JSON"))
        return End()


def values_of(message: Message, wanted: str) -> Any:
    """What a message holds as JSON; `Problem` 400 that says what was ``wanted``."""
    if isinstance(message, bytes):
        raise invalid(f"{wanted}; got {len(message):,} bytes of a binary message")
    try:
        return json.loads(message)
    except (ValueError, RecursionError):
        raise invalid(f"{wanted}; this is not JSON") from None


def said(model: type[Said], values: Any) -> Said:
    """Values as ``model`` describes them; `Problem` 400 names the first that is not so, and never what it was."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = first["msg"]
        if first["type"] == "extra_forbidden":
            reason = f"not known; there are: {_names(model, first['loc'][:-1])}"
        elif first["type"] == "model_type":
            reason = f"must be a JSON object with {_names(model, first['loc'])}"
        raise invalid(one_line(f"{where}: {reason}" if where else reason)) from None


def _names(model: type[BaseModel], loc: tuple[int | str, ...]) -> str:
    """What may stand in the object at ``loc``."""
    for part in loc:
        model = model.model_fields[str(part)].annotation  # type: ignore[assignment]  # of ours, and no model within a list
    return ", ".join(model.model_fields)


def invalid(message: str) -> Problem:
    """400: not a message of this stream."""
    return Problem(400, "invalid_message", message)
