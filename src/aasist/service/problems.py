"""What is answered where something cannot be done: problem+json (RFC 9457), with the codes of `AasistError`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match, Route

from aasist.errors import AasistError, AudioError, one_line
from aasist.service.logs import LOG

MEDIA_TYPE = "application/problem+json"

TITLES = {
    400: "The request cannot be understood",
    401: "A key is needed",
    403: "This is not allowed",
    404: "There is no such thing",
    405: "This cannot be done here",
    408: "The upload was too slow",
    409: "Too late for this",
    413: "The upload is too large",
    415: "This is not a recording",
    421: "This service is not asked by that name",
    422: "The recording cannot be judged",
    429: "Too many requests",
    431: "Too many headers",
    500: "The service failed",
    503: "The service is busy",
}

TOO_LARGE = {"too_large", "too_long"}
"""Codes of recordings beyond the limits."""


class Problem(AasistError):
    """A refusal with its status; ``retry_after`` in seconds goes into the header of the same name."""

    def __init__(self, status: int, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(code, message)
        self.status = status
        self.retry_after = retry_after


def busy(message: str, *, retry_after: float, code: str = "busy") -> Problem:
    """503: come again."""
    return Problem(503, code, message, retry_after=retry_after)


def status_of(error: AasistError) -> int:
    """The status that an error of the rooms below is answered with."""
    if isinstance(error, Problem):
        return error.status
    if error.code in TOO_LARGE:
        return 413
    return 422 if isinstance(error, AudioError) else 500


def as_values(status: int, code: str, detail: str) -> dict[str, Any]:
    """The object; ``type`` is made of the code, by which docs/api.md explains it."""
    title = TITLES.get(status) or HTTPStatus(status).phrase
    return {"type": f"urn:aasist:{code}", "title": title, "status": status, "detail": detail, "code": code}


def answer(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """The response."""
    body = json.dumps(as_values(status, code, detail), ensure_ascii=False).encode("utf-8", "backslashreplace")
    return Response(body, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def answer_to(error: AasistError) -> Response:
    """The response to what was raised."""
    headers: dict[str, str] = {}
    if (wait := retry_after_of(error)) is not None:
        headers["Retry-After"] = str(wait)
    status = status_of(error)
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="aasist"'
    return answer(status, error.code, detail_of(error), headers)


def retry_after_of(error: AasistError) -> int | None:
    """Whole seconds, where it is worth coming again."""
    if isinstance(error, Problem) and error.retry_after is not None:
        return max(1, round(error.retry_after + 0.5))
    return None


def detail_of(error: AasistError) -> str:
    """What is said of it outside. What a model's file or the database says may hold paths of the server: it goes to the log and
    no further."""
    return error.message if status_of(error) != 500 else "the service failed on this; its log says how"


def away(error: SQLAlchemyError) -> Problem:
    """For a database that fails. Its own words may hold what it was to store, so of them the log has the kind alone."""
    LOG.error("database", extra={"error": type(error).__name__})
    return busy("the database does not answer as it should", retry_after=5, code="database")


def install(app: FastAPI, routers: Iterable[APIRouter]) -> None:
    """Have every error of ``app`` answered as a problem; ``routers`` tell what is allowed instead of what is not."""

    @app.exception_handler(AasistError)
    async def _ours(request: Request, error: AasistError) -> Response:
        request.state.problem = error
        return answer_to(error)

    @app.exception_handler(SQLAlchemyError)
    async def _database(request: Request, error: SQLAlchemyError) -> Response:
        request.state.problem = problem = away(error)
        return answer_to(problem)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return answer(400, "invalid_request", one_line(f"{where}: {first['msg']}"))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        codes = {404: "not_found", 405: "method_not_allowed"}
        detail = {404: "there is nothing at this address; /openapi.json lists what there is"}.get(
            error.status_code, one_line(error.detail)
        )
        headers = dict(error.headers or {})
        if error.status_code == 405 and (allowed := _methods(request, routers)):
            headers["Allow"] = ", ".join(sorted(allowed))
            detail = f"this address takes {headers['Allow']}, not {one_line(request.method, 20)}"
        return answer(error.status_code, codes.get(error.status_code, "refused"), detail, headers)


def _methods(request: Request, routers: Iterable[APIRouter]) -> set[str]:
    """All that a path knows: routes stand for one method each, and the first alone would be named."""
    return {
        method
        for router in routers
        for route in router.routes
        if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE
        for method in route.methods or ()
    }
