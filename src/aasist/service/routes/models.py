"""``GET /v1/models``: which models there are, and which one judges."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from aasist.runtime.models import shipped
from aasist.service import schemas
from aasist.service.keys import Principal
from aasist.service.routes.answers import problems
from aasist.service.service import Admitted, Running

router = APIRouter(tags=["service"])


@router.get("/v1/models", summary="The models", response_model=schemas.Models, responses=problems())
async def models(service: Running, principal: Annotated[Principal, Depends(Admitted())]) -> Response:
    """Those that are shipped, and the one that this service judges with."""
    serving = service.judge.detector.model
    rows = [
        _model(name, facts["sha256"], facts["precision"], facts, serving=facts["sha256"] == serving.sha256)
        for name, facts in shipped().items()
    ]
    if not any(row["serving"] for row in rows):
        rows.insert(0, _model(serving.name, serving.sha256, serving.precision, {}, serving=True))
    return JSONResponse({"models": rows})


def _model(name: str, sha256: str | None, precision: str | None, facts: dict[str, Any], *, serving: bool) -> dict[str, Any]:
    about = {"summary": facts.get("summary"), "licence": facts.get("licence")}
    return {"name": name, "serving": serving, "sha256": sha256, "precision": precision, **about}
