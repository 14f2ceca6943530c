"""Jobs: taken from the database with a lease, judged, finished once; their audio on disk for as long as they are open."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError

from aasist.errors import AasistError, AudioError
from aasist.service.background import LASTING, again_and_again, patiently, safely
from aasist.service.coarse import coarsened
from aasist.service.entry.admission import Admission
from aasist.service.entry.keys import Principal
from aasist.service.judge import Bounds, Given, Judge, Judged
from aasist.service.ledger import Ledger
from aasist.service.logs import LOG
from aasist.service.metrics import Metrics
from aasist.service.moments import moment
from aasist.service.problems import Problem
from aasist.service.settings import Detail, Settings
from aasist.service.store.jobstore import StoredJob
from aasist.service.store.store import Store
from aasist.service.store.verdictstore import StoredVerdict

POLL_SECONDS = 1.0
"""Between two looks for jobs of other processes, or of dead ones; a job of this process wakes it at once."""

PROGRESS_SECONDS = 1.5
"""Between two times that a job's progress is told, and its lease renewed; never longer than a third of the lease."""

HOUSEKEEPING_SECONDS = 300.0
ORPHAN_SECONDS = 3600.0
"""After which a file without a job is what was left of an upload that was never acknowledged."""

FIRST_RETRY_SECONDS, RETRY_GROWTH = 10.0, 4.0
"""Before a job is judged again that the disk or the database stopped: 10 s, 40 s, 160 s, ..., `job_attempts` times."""

KEEP_ATTEMPTS = 3


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
        runners = [again_and_again(self._turn, lambda: self._stopping) for _ in range(self._settings.job_runners)]
        self._tasks = [asyncio.create_task(loop) for loop in (*runners, again_and_again(self._housekeeping))]

    @property
    def alive(self) -> bool:
        """Whether all that works in the background still does."""
        return not any(task.done() for task in self._tasks)

    async def stop(self) -> None:
        """Give back what is not finished, for the next process."""
        self._stopping = True
        self._wake.set()
        for stop in self._stops:
            stop.set()
        for task in self._tasks[self._settings.job_runners :]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def wake(self) -> None:
        """There is a job."""
        self._wake.set()

    def path_of(self, identity: str) -> Path:
        """Where the audio of an open job lies."""
        return self._settings.jobs_dir / identity

    async def _turn(self) -> None:
        job = await safely(self._store.jobs.claim, self._owner, self._settings.job_lease_seconds)
        if job is not None:
            await self._one(job)
            return
        self._wake.clear()
        if self._stopping:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()

    async def _one(self, job: StoredJob) -> None:
        stop, at = threading.Event(), [0.0]
        self._stops.add(stop)
        beat = asyncio.create_task(again_and_again(partial(self._renew, job, stop, at), stop.is_set))
        try:
            if self._stopping:
                raise Given
            await self._finished(job, await self._judged(job, stop, at), stop)
        except Given:
            if self._stopping:
                await self._back(job)
        except AasistError as error:
            if isinstance(error, Problem) and error.status == 503:
                await self._back(job, after_seconds=error.retry_after or POLL_SECONDS)
            else:
                await self._failed(job, error, stop)
        except LASTING as error:
            await self._failed(job, error, stop)
        except (SQLAlchemyError, OSError) as error:
            wait = FIRST_RETRY_SECONDS * RETRY_GROWTH ** (job.attempts - 1)
            extra = {"job": job.id, "error": type(error).__name__, "again_in": wait}
            LOG.error("job waits for the database or the disk", extra=extra)
            await self._back(job, after_seconds=wait, counted=True)
        except Exception as error:
            await self._failed(job, error, stop)
        finally:
            beat.cancel()
            self._stops.discard(stop)

    async def _back(self, job: StoredJob, *, after_seconds: float = 0.0, counted: bool = False) -> None:
        """For whoever comes next; where that fails too, its lease runs out."""
        back = partial(self._store.jobs.release, job.id, self._owner, after_seconds=after_seconds, counted=counted)
        await safely(back)

    async def _judged(self, job: StoredJob, stop: threading.Event, at: list[float]) -> Judged:
        if job.attempts > self._settings.job_attempts:
            raise AudioError(
                "gave_up", f"the service ended or could not go on while it judged this, {job.attempts - 1} times"
            )
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
        await asyncio.sleep(min(PROGRESS_SECONDS, lease / 3))
        renewed = await safely(self._store.jobs.renew, job.id, self._owner, lease, at[0])
        if renewed is False:  # cancelled, or another's: None is a database that does not answer
            stop.set()

    async def _finished(self, job: StoredJob, judged: Judged, stop: threading.Event) -> None:
        """What was judged, hours maybe, is not judged again because the database is away for a minute: it is waited for."""
        verdict = judged.verdict
        stored = StoredVerdict.of(verdict, key_id=job.key_id, job_id=job.id, audio_kept=self._settings.keep_audio)
        document = {**verdict.to_dict(timeline=job.timeline), "path": job.name}
        detail = await patiently(stop, self._detail, job.key_id)
        shown = json.dumps(coarsened(document, detail), allow_nan=False)
        if stored.audio_kept:
            stored = replace(stored, audio_kept=await self._kept(job, stored.id))
        ended, whole = False, verdict.duration_seconds
        try:
            ended = await self._ended(job, stop, verdict=stored, document=shown, error=None, judged_seconds=whole)
        finally:
            if stored.audio_kept and not ended:  # cancelled meanwhile: nothing is kept of it
                self._settings.audio_dir.joinpath(stored.id).unlink(missing_ok=True)
        if not ended:
            return
        principal = Principal(job.key_id, "job", frozenset(), detail)
        with suppress(Problem):  # what it holds back is the next request
            self._admission.likeness(principal, judged.likeness)
        self._metrics.verdicts.labels(str(verdict.label)).inc()
        self._metrics.audio_seconds.inc(verdict.duration_seconds or 0.0)

    async def _kept(self, job: StoredJob, identity: str) -> bool:
        """Keep a copy of its audio. A disk that will not have it costs the copy, not the verdict, and the log says so."""
        for _ in range(KEEP_ATTEMPTS):
            try:
                await anyio.to_thread.run_sync(self._ledger.keep_audio, self.path_of(job.id), identity)
                return True
            except OSError as error:
                LOG.error("audio not kept", extra={"job": job.id, "error": type(error).__name__})
            await asyncio.sleep(POLL_SECONDS)
        return False

    async def _failed(self, job: StoredJob, error: Exception, stop: threading.Event) -> None:
        code, said = "internal", "the service failed on this; its log says how"
        if isinstance(error, AasistError):
            code = error.code
            if isinstance(error, AudioError):
                said = error.message
            else:
                LOG.error("job failed", extra={"job": job.id, "code": code, "reason": error.message})
        else:
            LOG.error("job failed", extra={"job": job.id}, exc_info=error)
        with suppress(Given):
            await self._ended(job, stop, verdict=None, document=None, error=(code, said))

    async def _ended(
        self,
        job: StoredJob,
        stop: threading.Event,
        *,
        verdict: StoredVerdict | None,
        document: str | None,
        error: tuple[str, str] | None,
        judged_seconds: float | None = None,
    ) -> bool:
        finish = partial(
            self._store.jobs.finish,
            job.id,
            self._owner,
            verdict=verdict,
            document=document,
            error=error,
            judged_seconds=judged_seconds,
        )
        ended = await patiently(stop, finish)
        if ended:
            self.path_of(job.id).unlink(missing_ok=True)
            self._metrics.jobs.labels("failed" if error else "done").inc()
            LOG.info("job ended", extra={"job": job.id, "code": error[0] if error else "done"})
            self._wake.set()
        return ended

    def _detail(self, key_id: str | None) -> Detail:
        stored = self._store.keys.get(key_id) if key_id else None
        return self._settings.detail if stored is None else stored.sees

    async def _housekeeping(self) -> None:
        await safely(self._tidy)
        await safely(self._ledger.forget)
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
        "created_at": moment(job.created_at),
        "started_at": moment(job.started_at),
        "finished_at": moment(job.finished_at),
        "progress_seconds": round(job.progress_seconds, 3),
        "verdict": None if job.document is None else json.loads(job.document),
        "error": error,
        "webhook": webhook,
    }
