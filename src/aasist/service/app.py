"""The application: routers, guards, errors, and the service that lives while it runs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi

from aasist.errors import AasistError
from aasist.service import problems, schemas
from aasist.service.entry.guards import Guards
from aasist.service.logs import LOG
from aasist.service.page import page_router
from aasist.service.routes import detect, health, jobs, models, streams, verdicts
from aasist.service.service import Service
from aasist.service.settings import Settings

ROUTERS: tuple[APIRouter, ...] = (
    detect.router,
    jobs.router,
    verdicts.router,
    streams.router,
    models.router,
    health.router,
)
"""One a file; what is added to them is served."""

ABOUT = """Tells recorded human speech from synthetic, converted or cloned speech. A score is evidence, not proof.

Errors are `application/problem+json`, with a stable `code`; what is refused for a while has `Retry-After`."""


def create_app(settings: Settings) -> FastAPI:
    """The application; its model, database and processes are opened when it is started."""
    app = FastAPI(
        title="aasist",
        version=version("aasist"),
        description=ABOUT,
        lifespan=_lifespan,
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = Service(settings)
    for router in ROUTERS:
        app.include_router(router)
    page = page_router()
    app.include_router(page)
    problems.install(app, (*ROUTERS, page))
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key"],
            expose_headers=["Location", "Retry-After", detect.VERDICT_HEADER],
        )
    app.add_middleware(Guards, settings=settings, metrics=app.state.service.metrics)
    app.openapi = lambda: openapi(app)  # type: ignore[method-assign]
    return app


def openapi(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document, with what FastAPI cannot know: our problems, examples that hold null, that keys may be optional."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        known = document.setdefault("components", {}).setdefault("schemas", {})
        known["Problem"] = schemas.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own, which nobody is answered with
            known.pop(name, None)
        for model in (schemas.Verdict, schemas.Job):
            known[model.__name__]["examples"] = model.model_json_schema()["examples"]
        for path in document["paths"].values():
            for operation in path.values():
                if "application/json" in operation["responses"].get("422", {}).get("content", {}):
                    del operation["responses"]["422"]
                if "security" in operation:
                    operation["security"].append({})  # a service of loopback alone asks for none
        app.openapi_schema = document
    return app.openapi_schema


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    try:
        await service.start()
    except AasistError as error:
        LOG.error("cannot start", extra={"code": error.code, "reason": error.message})
        raise
    yield
    await service.stop()
