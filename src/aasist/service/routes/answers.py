"""How OpenAPI is told of what comes in and what may go wrong."""

from __future__ import annotations

from typing import Any

from aasist.service.problems import MEDIA_TYPE, TITLES, as_values
from aasist.service.schemas import Problem

EXAMPLES = {
    400: ("invalid_form", "the form cannot be read: it is cut off"),
    401: ("key_required", "send a key: Authorization: Bearer aasist_..."),
    403: ("scope", "the key does not have the scope 'jobs'"),
    404: ("not_found", "there is no such job"),
    408: ("slow_upload", "the upload came too slowly; send it over a better line, or compress it"),
    409: ("job_ended", "the job has ended: done"),
    413: ("too_large", "the upload is larger than the limit of 100,000,000 bytes; cut or compress it"),
    415: ("content_type", "send a form with the recording in its field 'file', or the recording itself as audio/*"),
    421: ("unknown_host", "ask for localhost, or add the name to the setting allowed_hosts"),
    422: ("unreadable", "not a recording that can be decoded"),
    429: ("request_rate", "more requests than are allowed; come again in 3 s"),
    431: ("too_many_headers", "more than 100 headers"),
    500: ("internal", "the service failed on this request; its log has it as 0123456789abcdef"),
    503: ("busy", "as many recordings are being judged as there is room for"),
}

ALWAYS = (400, 401, 403, 421, 429, 431, 500)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The refusals of a route beside those of every route."""
    return {status: _problem(status) for status in sorted({*ALWAYS, *statuses})}


def _problem(status: int) -> dict[str, Any]:
    code, detail = EXAMPLES[status]
    out: dict[str, Any] = {
        "description": TITLES[status],
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": f"#/components/schemas/{Problem.__name__}"},
                "example": as_values(status, code, detail),
            }
        },
    }
    if status in (429, 503):
        out["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds."}}
    return out


def recording(fields: dict[str, Any] | None = None) -> dict[str, Any]:
    """The body of a request that brings a recording; ``fields`` stand beside it in the form."""
    form = {
        "type": "object",
        "required": ["file"],
        "properties": {"file": {"type": "string", "format": "binary"}, **(fields or {})},
    }
    raw = {"schema": {"type": "string", "format": "binary"}}
    return {
        "requestBody": {
            "required": True,
            "description": "The recording, in any format that libsndfile or FFmpeg reads: a form's field `file`, or the body itself.",
            "content": {
                "multipart/form-data": {"schema": form},
                "application/octet-stream": raw,
                "audio/*": raw,
                "video/*": raw,
            },
        }
    }
