"""``/healthz``, ``/readyz``, ``/metrics``: for those who run the service."""

from __future__ import annotations

from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import JSONResponse, Response

from aasist.service import schemas
from aasist.service.entry.keys import Principal
from aasist.service.metrics import CONTENT_TYPE
from aasist.service.problems import busy
from aasist.service.routes.answers import problems
from aasist.service.service import Admitted, Running

router = APIRouter(tags=["service"])


@router.get("/healthz", summary="Whether the process lives", response_model=schemas.Health)
async def healthz() -> Response:
    """Needs no key, touches nothing."""
    return JSONResponse({"status": "ok"})


@router.get("/readyz", summary="Whether it can judge", response_model=schemas.Health, responses=problems(503))
async def readyz(service: Running) -> Response:
    """The model is open, the database answers, jobs are worked on, and the service is not stopping. Needs no key."""
    if not service.ready:
        raise busy("the service is stopping", retry_after=5, code="stopping")
    try:
        await anyio.to_thread.run_sync(service.store.ping)
    except SQLAlchemyError:
        raise busy("the database does not answer", retry_after=5, code="database") from None
    if not service.alive:
        raise busy(
            "work in the background has ended; the service must be started anew", retry_after=5, code="background"
        )
    return JSONResponse({"status": "ready"})


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **problems()},
)
async def metrics(service: Running, principal: Annotated[Principal, Depends(Admitted("metrics"))]) -> Response:
    """Where keys are needed, one with the scope `metrics`."""
    service.gauge()
    return Response(await anyio.to_thread.run_sync(service.metrics.text), headers={"Content-Type": CONTENT_TYPE})
