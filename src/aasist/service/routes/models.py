"""``GET /v1/models``: which models there are, and which judge."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.responses import JSONResponse, Response

from aasist.runtime.detector import Detector
from aasist.runtime.models import shipped
from aasist.service import schemas
from aasist.service.entry.keys import Principal
from aasist.service.routes.answers import problems
from aasist.service.service import Admitted, Running

router = APIRouter(tags=["service"])


@router.get("/v1/models", summary="The models", response_model=schemas.Models, responses=problems())
async def models(service: Running, principal: Annotated[Principal, Depends(Admitted())]) -> Response:
    """What this service judges with, one or the stages of a cascade in the order of their turn; then the others that are shipped."""
    others = {facts["sha256"]: _shipped(name, facts) for name, facts in shipped().items()}
    rows = []
    for detector in service.judge.stages:
        about = others.pop(detector.model.sha256, None) or _own(detector)
        rows.append({**about, **_serving(detector)})
    rows += [{**about, **NOT_SERVING} for about in others.values()]
    return JSONResponse({"models": rows})


NOT_SERVING: dict[str, Any] = {"serving": False, "threshold": None, "operating_point": None}


def _serving(detector: Detector) -> dict[str, Any]:
    """The threshold in use, and what its model's notes say of it; nothing where the settings chose another."""
    own = detector.threshold == detector.notes.threshold
    point = detector.notes.operating_point or None
    return {"serving": True, "threshold": detector.threshold, "operating_point": point if own else None}


def _shipped(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    keys = ("version", "sha256", "precision", "summary", "licence", "points")
    return {"name": name, **{key: facts.get(key) for key in keys}, "test": facts.get("figures", {}).get("test")}


def _own(detector: Detector) -> dict[str, Any]:
    """A model of whoever serves: what its notes say, with no figures of ours."""
    notes, model = detector.notes, detector.model
    about = {"version": notes.version, "summary": notes.training or None, "licence": notes.licence or None}
    points = [asdict(point) for point in notes.points]
    return {
        "name": model.name,
        "sha256": model.sha256,
        "precision": model.precision,
        **about,
        "points": points,
        "test": None,
    }
