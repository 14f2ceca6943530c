"""``GET /v1/verdicts/{id}``: a verdict again."""

from __future__ import annotations

import json
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from aasist.service import schemas
from aasist.service.coarse import coarsened
from aasist.service.entry.keys import Principal
from aasist.service.problems import Problem
from aasist.service.routes.answers import problems
from aasist.service.service import Admitted, Running

router = APIRouter(tags=["verdicts"])


@router.get(
    "/v1/verdicts/{verdict_id}",
    summary="A stored verdict",
    response_model=schemas.Verdict,
    responses=problems(404),
)
async def verdict(
    verdict_id: str, service: Running, principal: Annotated[Principal, Depends(Admitted("detect"))]
) -> Response:
    """By the header `Aasist-Verdict` of the answer to `/v1/detect`. The file's name is not stored: `path` is null.
    Verdicts are stored twice a second: 404 for as long after the answer is no loss, ask again."""
    stored = await anyio.to_thread.run_sync(service.store.verdicts.get, verdict_id) if len(verdict_id) == 32 else None
    if stored is None or stored.key_id != principal.key_id:
        raise Problem(404, "not_found", "there is no such verdict")
    return JSONResponse(coarsened(json.loads(stored.document), principal.detail))
