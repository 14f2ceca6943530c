"""A small stand-in for the service: the addresses that the page asks, with real models behind them and no limits."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from fastapi import FastAPI, Request, UploadFile, WebSocket
from fastapi.responses import JSONResponse

from aasist import Detector
from aasist.errors import AasistError
from aasist.runtime.models import shipped
from aasist.runtime.stream import StreamDetector
from aasist.service.page import page_router


def problem(status: int, code: str, title: str, detail: str) -> JSONResponse:
    content = {"type": f"urn:aasist:{code}", "title": title, "status": status, "detail": detail, "code": code}
    return JSONResponse(content, status, media_type="application/problem+json")


def create_app() -> FastAPI:
    app = FastAPI()
    app.include_router(page_router())
    detector = Detector("small", threads=1)
    key = None

    @app.get("/v1/models")
    def models() -> dict[str, Any]:
        return {"models": [{"name": name, "default": name == "small", **facts} for name, facts in shipped().items()]}

    @app.post("/v1/detect")
    async def detect(request: Request, file: UploadFile) -> JSONResponse:
        try:
            verdict = detector.detect(await file.read()).to_dict(timeline="timeline" in request.query_params)
        except AasistError as error:
            return problem(422, error.code, "The recording cannot be judged", error.message)
        return JSONResponse(json.loads(json.dumps({**verdict, "path": file.filename})))

    @app.websocket("/v1/stream")
    async def stream(socket: WebSocket) -> None:
        await socket.accept()
        first = await socket.receive_json()
        assert first["encoding"] == "pcm16" and "key" not in first or key
        watched = StreamDetector(detector, sample_rate=first["sample_rate"])
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

    return app
