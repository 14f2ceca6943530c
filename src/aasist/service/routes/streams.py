"""``WS /v1/stream`` and ``WS /v1/stream/twilio``: verdicts on calls while they last."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.websockets import WebSocket

from aasist.service.problems import Problem, answer_to
from aasist.service.stream.dialects import Plain
from aasist.service.stream.live import Conversation
from aasist.service.stream.telephony import Twilio

router = APIRouter()


@router.websocket("/v1/stream")
async def stream(socket: WebSocket) -> None:
    """A JSON message that says what comes, binary messages of samples, events back."""
    await Conversation(socket, Plain()).run()


@router.websocket("/v1/stream/twilio")
async def twilio(socket: WebSocket) -> None:
    """Twilio's media frames."""
    await Conversation(socket, Twilio()).run()


@router.websocket("/{path:path}")
async def elsewhere(socket: WebSocket) -> None:
    """No stream: said in words, by an HTTP answer, before the connection stands."""
    said = "there is no WebSocket at this address; there are /v1/stream and /v1/stream/twilio"
    socket.state.problem = problem = Problem(404, "not_found", said)
    await socket.send_denial_response(answer_to(problem))
