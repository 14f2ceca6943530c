"""The page at ``/``: what web/ is built into, under a policy that lets it talk to nobody but this server."""

from __future__ import annotations

import gzip
import hashlib
import json
import mimetypes
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

BUILT = Path(__file__).parent / "page"
"""Beside this file, in the wheel too; ``make page`` writes it."""
FACTS = "page.json"
"""What the build says of itself: the hash of its sources, and those of the inline styles that it needs."""

_LEAST_PACKED_BYTES = 1_000
"""A shorter answer is one packet either way."""
_TYPES = {
    ".js": "text/javascript",
    ".html": "text/html",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}


@dataclass(frozen=True)
class PageFile:
    """One file of the page, as it is answered."""

    body: bytes
    packed: bytes | None
    """By gzip; None where that does not pay."""
    media_type: str
    etag: str
    forever: bool
    """Its name holds the hash of its content, so a browser need never ask again."""

    def response(self, request: Request, headers: dict[str, str]) -> Response:
        """To GET and HEAD; 304 where the browser has it already."""
        headers = headers | {
            "ETag": self.etag,
            "Cache-Control": "public, max-age=31536000, immutable" if self.forever else "no-cache",
            "Vary": "Accept-Encoding",
        }
        if self.etag in {tag.strip().removeprefix("W/") for tag in request.headers.get("If-None-Match", "").split(",")}:
            return Response(status_code=304, headers=headers)
        body = self.body
        if self.packed is not None and _takes_gzip(request.headers.get("Accept-Encoding", "")):
            body, headers["Content-Encoding"] = self.packed, "gzip"
        headers["Content-Length"] = str(len(body))
        return Response(b"" if request.method == "HEAD" else body, headers=headers, media_type=self.media_type)


def page_router(folder: Path = BUILT) -> APIRouter:
    """A route for each file of a built page, and none for anything else: a request names no path on the disk.

    The files are read once, now. Raises ``FileNotFoundError`` where the page was not built.
    """
    if not (folder / FACTS).is_file():
        raise FileNotFoundError(f"{folder} holds no built page: run 'make page' in a checkout, or install a wheel")
    facts = json.loads((folder / FACTS).read_text())
    headers = {"Content-Security-Policy": content_policy(tuple(facts["styles"]))}
    router = APIRouter(include_in_schema=False)
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != FACTS):
        name = path.relative_to(folder).as_posix()
        address = "/" if name == "index.html" else f"/{name}"
        file = read(path, forever=path.parent != folder)
        router.add_api_route(address, _answer(file, headers), methods=["GET", "HEAD"], response_model=None)
    return router


def content_policy(styles: tuple[str, ...] = ()) -> str:
    """Of every file of the page; its other headers are those of every answer (`guards`). ``styles`` are hashes (``sha256-...``)
    of inline style sheets that may apply."""
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": " ".join(("'self'", *(f"'{style}'" for style in styles))),
        "connect-src": "'self'",  # a WebSocket of the same host and port is 'self' as well
        "img-src": "'self'",
        "media-src": "blob:",  # the recording, from this tab
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in policy.items())


def read(path: Path, *, forever: bool) -> PageFile:
    """A file of the page, packed if that pays."""
    body = path.read_bytes()
    packed = gzip.compress(body, mtime=0) if len(body) >= _LEAST_PACKED_BYTES else None
    if packed is not None and len(packed) > 0.9 * len(body):
        packed = None
    # Not what the machine's own list says: that differs, and nosniff makes a wrong type fatal.
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return PageFile(body, packed, media_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"', forever)


def _answer(file: PageFile, headers: dict[str, str]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return file.response(request, headers)

    return answer


def _takes_gzip(accepted: str) -> bool:
    for part in accepted.split(","):
        coding, _, weight = part.replace(" ", "").partition(";q=")
        if coding in {"gzip", "*"}:
            return weight not in {"0", "0.0", "0.00", "0.000"}
    return False
