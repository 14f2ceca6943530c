"""The live stream of the contract, for the page to speak with while the tests run: real models, no limits."""

from __future__ import annotations

import json

import numpy as np
from fastapi import FastAPI, WebSocket

from aasist.runtime.stream import StreamDetector


def add_stream(app: FastAPI) -> None:
    """``WS /v1/stream``."""

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        first = await socket.receive_json()
        assert first["encoding"] == "pcm16"
        watched = StreamDetector("small", sample_rate=first["sample_rate"])
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            if message.get("bytes"):
                for event in watched.push(np.frombuffer(message["bytes"], "<i2")):
                    await socket.send_json(event.as_dict())
            elif json.loads(message["text"]) == {"type": "finish"}:
                final = watched.finish()
                for event in (*final.closing, final):
                    await socket.send_json(event.as_dict())
                await socket.close()
                return
