"""Around every request: who may ask by what name and from which page, headers that keep browsers safe, one line of log."""

from __future__ import annotations

import secrets
import time
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aasist.service.logs import LOG
from aasist.service.metrics import Metrics
from aasist.service.problems import Problem, answer, answer_to
from aasist.service.settings import Settings

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "microphone=(self), camera=(), display-capture=(), geolocation=(), payment=(), usb=()",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
"""Of every answer that does not say otherwise itself, as the page does of its scripts and of how long they keep."""

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")

HTTP, WEBSOCKET = "http", "websocket"
ANSWERING = ("http.response.start", "websocket.http.response.start")
KNOWN = {HTTP: ("GET", "HEAD", "OPTIONS", *UNSAFE), WEBSOCKET: (WEBSOCKET,)}
"""Methods that figures and log tell apart, and what a WebSocket has in the place of one."""


class Guards:
    """ASGI middleware; the outermost of ours."""

    def __init__(self, app: ASGIApp, *, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in (HTTP, WEBSOCKET):
            await self._answered(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.monotonic()
        request_id = secrets.token_hex(8)
        state: dict[str, Any] = {"status": None}

        async def sending(message: Message) -> None:
            if message["type"] in ANSWERING:
                state["status"] = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-Id"] = request_id
            await send(message)

        level = "info"
        extra: dict[str, Any] = {}
        try:
            refusal = self._refused(scope)
            if refusal is None:
                await self._app(scope, receive, sending)
            else:
                scope.setdefault("state", {})["problem"] = refusal
                await answer_to(refusal)(scope, receive, sending)
        except ClientDisconnect:
            extra = {"gone": True}
        except Exception as error:
            if scope["type"] == WEBSOCKET:
                raise
            level, extra = "error", {"error": type(error).__name__}
            LOG.exception("failed", extra={"request": request_id})
            if state["status"] is None:
                said = f"the service failed on this request; its log has it as {request_id}"
                await answer(500, "internal", said)(scope, receive, sending)
        # A WebSocket has a status where it is refused by an HTTP answer, before the connection stands; else it says itself how
        # it went.
        if scope["type"] == HTTP or state["status"] is not None:
            self._note(scope, state["status"] or 499, time.monotonic() - begun, request_id, level, extra)

    def _note(
        self, scope: Scope, status: int, seconds: float, request_id: str, level: str, extra: dict[str, Any]
    ) -> None:
        route = scope["route"].path if "route" in scope else "unmatched"
        method = scope["method"] if scope["type"] == HTTP else WEBSOCKET
        method = method if method in KNOWN[scope["type"]] else "other"
        self._metrics.requests.labels(route, method, str(status)).inc()
        self._metrics.request_seconds.labels(route).observe(seconds)
        state = scope.get("state", {})
        problem = state.get("problem")
        if problem is not None:
            extra["code"] = problem.code
            self._metrics.refused.labels(problem.code).inc()
            if status >= 500 and status != 503:
                LOG.error("failed", extra={"request": request_id, "code": problem.code, "reason": problem.message})
        principal = state.get("principal")
        if principal is not None and principal.key_id:
            extra["key_id"] = principal.key_id
        values = {
            "request": request_id,
            "method": method,
            "route": route,
            "status": status,
            "seconds": round(seconds, 4),
        }
        getattr(LOG, level)("request", extra={**values, **extra})

    def _refused(self, scope: Scope) -> Problem | None:
        """Why a request goes no further."""
        if len(scope["headers"]) > self._settings.max_headers:
            return Problem(431, "too_many_headers", f"more than {self._settings.max_headers} headers")
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size > self._settings.header_bytes:  # the server below bounds only what comes without an end
            said = f"{size:,} bytes of headers, and {self._settings.header_bytes:,} may be"
            return Problem(431, "too_many_headers", said)
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._known(host):
            # A page whose name is suddenly this machine's (DNS rebinding) must not use a service that needs no key.
            said = "ask for localhost, or add the name to the setting allowed_hosts"
            return Problem(421, "unknown_host", said)
        origin = headers.get("origin")
        changes = scope["type"] == WEBSOCKET or scope["method"] in UNSAFE
        if origin and changes and not self._same(origin, host):
            return Problem(
                403, "foreign_origin", "pages of other origins may not call this; see the setting cors_origins"
            )
        return None

    def _known(self, host: str) -> bool:
        names = self._settings.allowed_hosts
        if not names and not self._settings.loopback:
            return True
        return _host_name(host) in (*LOOPBACK_NAMES, *names)

    def _same(self, origin: str, host: str) -> bool:
        allowed = self._settings.cors_origins
        if "*" in allowed or origin in allowed:
            return True
        try:
            return urlsplit(origin).netloc.lower() == host.lower()
        except ValueError:  # http://[ is nobody's origin
            return False


def _host_name(host: str) -> str:
    """``[::1]:8000`` -> ``::1``."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""
