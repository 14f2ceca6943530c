"""``/v1/jobs``: recordings that take longer than one waits for an answer."""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import JSONResponse, Response

from aasist.service import schemas, webhooks
from aasist.service.entry.keys import Principal
from aasist.service.jobs import job_values
from aasist.service.parameters import flag
from aasist.service.problems import Problem, busy
from aasist.service.routes.answers import problems, recording
from aasist.service.service import Admitted, Running, Service
from aasist.service.settings import Settings
from aasist.service.store.jobstore import NoRoom, Room, StoredJob
from aasist.service.store.store import synced
from aasist.service.uploads import Upload, receive

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

Asking = Annotated[Principal, Depends(Admitted("jobs"))]

AGAIN = "The same when a job is sent again because its answer was lost: it is answered with the job that there is."

WEBHOOK = "Is sent the job when it has ended: https, signed. Also a field of the form."

FIELDS = ("timeline", "webhook_url")
"""Of the form, beside the file; they win over the query."""


@router.post(
    "",
    status_code=202,
    summary="Have a long recording judged",
    response_model=schemas.Job,
    responses={
        202: {"headers": {"Location": {"schema": {"type": "string"}, "description": "Of the job."}}},
        **problems(408, 413, 415, 503),
    },
    openapi_extra=recording({"timeline": {"type": "boolean"}, "webhook_url": {"type": "string"}}),
)
async def submit(
    request: Request,
    service: Running,
    principal: Asking,
    timeline: Annotated[
        bool, Query(description="Add the raw windows to the verdict. Also a field of the form.")
    ] = False,
    webhook_url: Annotated[str | None, Query(description=WEBHOOK, max_length=webhooks.MAX_URL)] = None,
    idempotency_key: Annotated[str | None, Header(description=AGAIN, max_length=64, pattern=r"^[!-~]+$")] = None,
) -> Response:
    """Once this is answered the job is not lost, even if the service is killed: it is finished after a restart, once. Until it
    has ended the recording lies in a private folder of the service, then it is deleted."""
    settings, store = service.settings, service.store
    if webhook_url is not None:
        webhooks.check(webhook_url, settings)
    idempotency = None if idempotency_key is None else _hashed(principal, idempotency_key)
    if idempotency is not None and (known := await anyio.to_thread.run_sync(store.jobs.known_as, idempotency)):
        return _accepted(known)
    if await anyio.to_thread.run_sync(store.jobs.waiting) >= settings.max_jobs_waiting:
        raise busy("as many jobs wait as there is room for", retry_after=30, code="jobs_full")
    room = _room(settings)
    held = await anyio.to_thread.run_sync(store.jobs.held, principal.key_id)
    if not Room(held.jobs + 1, held.bytes + 1).within(room):  # before hours of upload
        raise _no_room(room)
    identity = secrets.token_hex(16)
    path = service.jobs.path_of(identity)
    with service.admission.upload(principal, job=True) as take:
        draft = path.with_name(f".{identity}")
        try:
            with os.fdopen(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                upload = await receive(
                    request, file, max_bytes=settings.job_max_bytes, settings=settings, take=take, fields=FIELDS
                )
                await anyio.to_thread.run_sync(os.fsync, file.fileno())
            if (chosen := upload.fields.get("timeline")) is not None:
                timeline = flag("timeline", chosen)
            url = upload.fields.get("webhook_url", webhook_url)
            if url is not None:
                webhooks.check(url, settings)
            job = _job(service, identity, principal, upload, timeline=timeline, url=url)
            job = replace(job, idempotency=idempotency)
            job = await anyio.to_thread.run_sync(partial(_acknowledge, service, draft, path, job))
        finally:
            draft.unlink(missing_ok=True)
    service.jobs.wake()
    return _accepted(job)


@router.get("/{job_id}", summary="How far a job is", response_model=schemas.Job, responses=problems(404))
async def status(job_id: str, service: Running, principal: Asking) -> Response:
    """With its verdict once it is done, or its error once it has failed."""
    return JSONResponse(job_values(await _own(service, principal, job_id)))


@router.delete("/{job_id}", summary="Cancel a job", response_model=schemas.Job, responses=problems(404, 409))
async def cancel(job_id: str, service: Running, principal: Asking) -> Response:
    """Nothing is stored of it but that it was there; 409 where it has ended."""
    job = await _own(service, principal, job_id)
    if not await anyio.to_thread.run_sync(service.store.jobs.cancel, job.id):
        job = await _own(service, principal, job_id)
        raise Problem(409, "job_ended", f"the job has ended: {job.status}")
    service.jobs.path_of(job.id).unlink(missing_ok=True)
    service.metrics.jobs.labels("cancelled").inc()
    return JSONResponse(job_values(await _own(service, principal, job_id)))


def _accepted(job: StoredJob) -> Response:
    return JSONResponse(job_values(job), 202, headers={"Location": f"/v1/jobs/{job.id}"})


def _hashed(principal: Principal, idempotency_key: str) -> str:
    """Each key has its own; those without one share theirs."""
    return hashlib.sha256(f"{principal.key_id or ''} {idempotency_key}".encode()).hexdigest()


def _job(
    service: Service, identity: str, principal: Principal, upload: Upload, *, timeline: bool, url: str | None
) -> StoredJob:
    return StoredJob(
        id=identity,
        node=service.store.jobs.node,
        key_id=principal.key_id,
        status="queued",
        created_at=time.time(),
        name=upload.name,
        bytes=upload.size_bytes,
        timeline=timeline,
        webhook_url=url,
    )


def _acknowledge(service: Service, draft: Path, path: Path, job: StoredJob) -> StoredJob:
    """The audio first, then the row: there is never a job without its audio. Gives the job that there is then: another where the
    same was sent twice at once."""
    draft.rename(path)
    try:
        synced(path.parent)
        room = _room(service.settings)
        try:
            stored = service.store.jobs.add(job, room=room)
        except NoRoom:
            raise _no_room(room) from None
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    if stored.id != job.id:
        path.unlink(missing_ok=True)
    return stored


def _room(settings: Settings) -> Room:
    """For the jobs of one key."""
    return Room(settings.max_jobs_waiting_each, settings.max_job_bytes_each)


def _no_room(room: Room) -> Problem:
    said = f"{room.jobs:,} jobs of at most {room.bytes:,} bytes together may wait; come again when some have ended"
    return Problem(429, "job_limit", said, retry_after=30)


async def _own(service: Service, principal: Principal, identity: str) -> StoredJob:
    """A job of the one who asks; another's is as if it were not there."""
    job = await anyio.to_thread.run_sync(service.store.jobs.get, identity) if len(identity) == 32 else None
    if job is None or job.key_id != principal.key_id:
        raise Problem(404, "not_found", "there is no such job")
    return job
