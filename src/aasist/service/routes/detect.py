"""``POST /v1/detect``: a recording in, its verdict out."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from collections.abc import Awaitable
from functools import partial
from typing import Annotated, Any, TypeVar

import anyio.to_thread
from fastapi import APIRouter, Depends, Query, Request
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from aasist.errors import AudioError
from aasist.service import schemas
from aasist.service.coarse import coarsened
from aasist.service.entry.keys import Principal
from aasist.service.judge import Bounds
from aasist.service.parameters import flag
from aasist.service.routes.answers import problems, recording
from aasist.service.service import Admitted, Running
from aasist.service.store.verdictstore import StoredVerdict
from aasist.service.uploads import receive

router = APIRouter(tags=["verdicts"])

T = TypeVar("T")

VERDICT_HEADER = "Aasist-Verdict"
"""Names the stored verdict: ``GET /v1/verdicts/{id}``."""


@router.post(
    "/v1/detect",
    summary="Judge a recording",
    response_model=schemas.Verdict,
    responses=problems(408, 413, 415, 422, 503),
    openapi_extra=recording({"timeline": {"type": "boolean"}}),
)
async def detect(
    request: Request,
    service: Running,
    principal: Annotated[Principal, Depends(Admitted("detect"))],
    timeline: Annotated[bool, Query(description="Add the raw windows. Also a field of the form.")] = False,
) -> Response:
    """The answer to a recording that was judged is 200 whatever the label; one that cannot be read is 422, with the code that
    `aasist detect --json` has for it."""
    settings = service.settings
    with service.admission.upload(principal) as take, tempfile.TemporaryFile(dir=settings.state_dir) as file:
        upload = await receive(
            request, file, max_bytes=settings.max_bytes, settings=settings, take=take, fields=("timeline",)
        )
        if (chosen := upload.fields.get("timeline")) is not None:
            timeline = flag("timeline", chosen)
        stop = threading.Event()
        charge = partial(service.admission.audio, principal)
        work = service.judge.judge(file, upload.name, Bounds.of_detect(settings), stop=stop, charge=charge)
        try:
            judged = await unless_gone(request, work)
        except AudioError as error:
            if error.code == "too_long" and settings.job_max_seconds > settings.max_seconds:
                limit = f"the recording is longer than the limit of {settings.max_seconds:,.0f} s"
                raise AudioError("too_long", f"{limit}; cut it, or send it to /v1/jobs") from None
            raise
        verdict = judged.verdict
        stored = StoredVerdict.of(verdict, key_id=principal.key_id, audio_kept=settings.keep_audio)
        if settings.keep_audio:
            await anyio.to_thread.run_sync(service.ledger.keep_audio, file, stored.id)
    service.ledger.add(stored)
    service.metrics.verdicts.labels(str(verdict.label)).inc()
    service.metrics.audio_seconds.inc(verdict.duration_seconds or 0.0)
    service.admission.likeness(principal, judged.likeness)
    document = {**verdict.to_dict(timeline=timeline), "path": upload.name}
    return JSONResponse(coarsened(document, principal.detail), headers={VERDICT_HEADER: stored.id})


async def unless_gone(request: Request, work: Awaitable[T]) -> T:
    """What ``work`` gives; it is cancelled where the client hangs up meanwhile, and `ClientDisconnect` raised."""
    task = asyncio.ensure_future(work)
    gone = asyncio.create_task(_gone(request))
    waited: set[asyncio.Future[Any]] = {task, gone}
    try:
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait([task])


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
