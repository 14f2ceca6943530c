"""Jobs: taken from the database with a lease, judged, finished once; their audio on disk for as long as they are open."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError

from aasist.errors import AasistError, AudioError
from aasist.service import webhooks
from aasist.service.admission import Admission
from aasist.service.coarse import coarsened
from aasist.service.judge import Bounds, Given, Judge, Judged
from aasist.service.keys import Principal, webhook_secret
from aasist.service.ledger import Ledger
from aasist.service.logs import LOG
from aasist.service.metrics import Metrics
from aasist.service.problems import Problem
from aasist.service.settings import Detail, Settings
from aasist.service.store.jobstore import StoredJob
from aasist.service.store.store import Store
from aasist.service.store.verdictstore import StoredVerdict

POLL_SECONDS = 1.0
"""Between two looks for jobs of other processes, or of dead ones; a job of this process wakes it at once."""

HOUSEKEEPING_SECONDS = 300.0
ORPHAN_SECONDS = 3600.0
"""After which a file without a job is what was left of an upload that was never acknowledged."""

WEBHOOK_HOLD_SECONDS = 120.0

T = TypeVar("T")


class Jobs:
    """Works on the jobs of this node; several processes share them."""

    def __init__(
        self, settings: Settings, store: Store, judge: Judge, ledger: Ledger, admission: Admission, metrics: Metrics
    ) -> None:
        self._settings, self._store, self._judge, self._ledger = settings, store, judge, ledger
        self._admission, self._metrics = admission, metrics
        self._owner = f"{os.getpid()}-{os.urandom(8).hex()}"
        self._wake = asyncio.Event()
        self._stopping = False
        self._stops: set[threading.Event] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, in the running loop."""
        loops = [self._work] * self._settings.job_runners + [self._webhooks, self._housekeeping]
        self._tasks = [asyncio.create_task(loop()) for loop in loops]

    async def stop(self) -> None:
        """Give back what is not finished, for the next process."""
        self._stopping = True
        self._wake.set()
        for stop in self._stops:
            stop.set()
        workers = self._tasks[: self._settings.job_runners]
        for task in self._tasks[len(workers) :]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def wake(self) -> None:
        """There is a job."""
        self._wake.set()

    def path_of(self, identity: str) -> Path:
        """Where the audio of an open job lies."""
        return self._settings.jobs_dir / identity

    async def _work(self) -> None:
        while not self._stopping:
            job = await self._safely(self._store.jobs.claim, self._owner, self._settings.job_lease_seconds)
            if job is not None:
                await self._one(job)
                continue
            self._wake.clear()
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass

    async def _one(self, job: StoredJob) -> None:
        stop, at = threading.Event(), [0.0]
        self._stops.add(stop)
        beat = asyncio.create_task(self._renew(job, stop, at))
        try:
            if self._stopping:
                raise Given
            judged = await self._judged(job, stop, at)
            await self._finished(job, judged)
        except Given:
            if self._stopping:
                await self._safely(self._store.jobs.release, job.id, self._owner)
        except Problem as error:
            if error.status != 503:
                raise
            await self._safely(self._store.jobs.release, job.id, self._owner)
        except AasistError as error:
            if not isinstance(error, AudioError):
                LOG.error("job failed", extra={"job": job.id, "code": error.code, "reason": error.message})
            said = error.message if isinstance(error, AudioError) else "the service failed on this; its log says how"
            await self._failed(job, error.code, said)
        except Exception:
            LOG.exception("job failed", extra={"job": job.id})
            await self._failed(job, "internal", "the service failed on this; its log says how")
        finally:
            beat.cancel()
            self._stops.discard(stop)

    async def _judged(self, job: StoredJob, stop: threading.Event, at: list[float]) -> Judged:
        if job.attempts > self._settings.job_attempts:
            raise AudioError("gave_up", f"the service ended while it judged this, {job.attempts - 1} times")
        try:
            file = open(self.path_of(job.id), "rb")  # noqa: SIM115
        except FileNotFoundError:
            raise AudioError("audio_gone", "the recording is not where it was put; send it again") from None
        with file:

            def progress(seconds: float) -> None:
                at[0] = seconds

            asking = Principal(job.key_id, "job", frozenset(), "label")
            charge = partial(self._admission.audio, asking)
            bounds = Bounds.of_job(self._settings)
            return await self._judge.judge(file, job.name, bounds, stop=stop, charge=charge, progress=progress)

    async def _renew(self, job: StoredJob, stop: threading.Event, at: list[float]) -> None:
        lease = self._settings.job_lease_seconds
        while True:
            await asyncio.sleep(lease / 3)
            renewed = await self._safely(self._store.jobs.renew, job.id, self._owner, lease, at[0])
            if renewed is False:  # cancelled, or another's: None is a database that does not answer
                stop.set()
                return

    async def _finished(self, job: StoredJob, judged: Judged) -> None:
        verdict = judged.verdict
        stored = StoredVerdict.of(verdict, key_id=job.key_id, job_id=job.id, audio_kept=self._settings.keep_audio)
        document = {**verdict.to_dict(timeline=job.timeline), "path": job.name}
        if self._settings.keep_audio:
            await anyio.to_thread.run_sync(self._ledger.keep_audio, self.path_of(job.id), stored.id)
        detail = await anyio.to_thread.run_sync(self._detail, job.key_id)
        shown = json.dumps(coarsened(document, detail), allow_nan=False)
        if not await self._ended(job, verdict=stored, document=shown, error=None):
            return
        principal = Principal(job.key_id, "job", frozenset(), detail)
        with suppress(Problem):  # what it holds back is the next request
            self._admission.likeness(principal, judged.likeness)
        self._metrics.verdicts.labels(str(verdict.label)).inc()
        self._metrics.audio_seconds.inc(verdict.duration_seconds or 0.0)

    async def _failed(self, job: StoredJob, code: str, message: str) -> None:
        await self._ended(job, verdict=None, document=None, error=(code, message))

    async def _ended(
        self, job: StoredJob, *, verdict: StoredVerdict | None, document: str | None, error: tuple[str, str] | None
    ) -> bool:
        finish = partial(self._store.jobs.finish, job.id, self._owner, verdict=verdict, document=document, error=error)
        while (ended := await self._safely(finish)) is None:
            await asyncio.sleep(POLL_SECONDS)
        if ended:
            self.path_of(job.id).unlink(missing_ok=True)
            self._metrics.jobs.labels("failed" if error else "done").inc()
            LOG.info("job ended", extra={"job": job.id, "code": error[0] if error else "done"})
            self._wake.set()
        return ended

    def _detail(self, key_id: str | None) -> Detail:
        stored = self._store.keys.get(key_id) if key_id else None
        if stored is None:
            return self._settings.detail
        return "label" if stored.detail == "label" else "rounded" if stored.detail == "rounded" else "full"

    async def _webhooks(self) -> None:
        while True:
            job = await self._safely(self._store.jobs.take_webhook, WEBHOOK_HOLD_SECONDS)
            if job is None:
                await asyncio.sleep(POLL_SECONDS)
                continue
            body = json.dumps({**job_values(job), "webhook": None}, ensure_ascii=False).encode()
            secret = webhook_secret(self._store.secret, job.key_id)
            outcome = await anyio.to_thread.run_sync(
                webhooks.deliver, job.webhook_url or "", body, secret, self._settings
            )
            ended = outcome in ("delivered", "gone")
            again = None if ended else webhooks.next_at(job.webhook_attempts, self._settings)
            done = partial(self._store.jobs.webhook_done, job.id, delivered=outcome == "delivered", again_at=again)
            await self._safely(done)
            self._metrics.webhooks.labels("delivered" if outcome == "delivered" else "failed").inc()
            LOG.info("webhook", extra={"job": job.id, "outcome": outcome, "attempt": job.webhook_attempts})

    async def _housekeeping(self) -> None:
        while True:
            await self._safely(self._tidy)
            await self._safely(self._ledger.forget)
            await asyncio.sleep(HOUSEKEEPING_SECONDS)

    def _tidy(self) -> None:
        """Delete audio of jobs that ended while their process was killed, and uploads that were never acknowledged."""
        found = list(self._settings.jobs_dir.iterdir())
        still_open = self._store.jobs.open_ids()
        for path in found:
            if path.name in still_open:
                continue
            try:
                orphan = time.time() - path.stat().st_mtime > ORPHAN_SECONDS
            except FileNotFoundError:
                continue
            # A file comes before its row: without one it may be about to be acknowledged.
            if orphan or self._store.jobs.get(path.name) is not None:
                path.unlink(missing_ok=True)

    async def _safely(self, call: Callable[..., T], *arguments: Any) -> T | None:
        """In a thread; None where the database does not answer, which is logged."""
        try:
            return await anyio.to_thread.run_sync(partial(call, *arguments))
        except (SQLAlchemyError, OSError) as error:
            LOG.error("jobs wait for the database", extra={"error": type(error).__name__})
            await asyncio.sleep(POLL_SECONDS)
            return None


def job_values(job: StoredJob) -> dict[str, Any]:
    """The JSON object of a job."""
    webhook = None
    if job.webhook_url is not None:
        open_ = job.finished_at is None or job.webhook_due_at is not None
        webhook = "delivered" if job.webhook_delivered_at is not None else "pending" if open_ else "given_up"
    error = {"code": job.error_code, "message": job.error_message} if job.error_code is not None else None
    return {
        "id": job.id,
        "status": job.status,
        "created_at": _moment(job.created_at),
        "started_at": _moment(job.started_at),
        "finished_at": _moment(job.finished_at),
        "progress_seconds": round(job.progress_seconds, 3),
        "verdict": None if job.document is None else json.loads(job.document),
        "error": error,
        "webhook": webhook,
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
