"""Webhooks of jobs that have ended, on their way: by several at a time, none of whom one slow receiver can have all of."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import TypeVar
from urllib.parse import urlsplit

import anyio.to_thread

from aasist.service import webhooks
from aasist.service.background import PAUSE_SECONDS, again_and_again, safely
from aasist.service.entry.keys import webhook_secret
from aasist.service.jobs import job_values
from aasist.service.logs import LOG
from aasist.service.metrics import Metrics
from aasist.service.settings import Settings
from aasist.service.store.jobstore import StoredJob
from aasist.service.store.store import Store

WORKERS = 8
MOST_OF_A_KEY = 4
"""Deliveries at a time, so that one key's receivers do not keep another's waiting."""

MOST_TO_A_RECEIVER = 2

HOLD_SECONDS = 120.0
"""For which nobody else takes a webhook that is being delivered: longer than a delivery may last."""

STOP_SECONDS = 2.0

T = TypeVar("T")


class Deliveries:
    """Those of one process. Delivery is at least once: one that is cut off by the end of the process is made by the next."""

    def __init__(self, settings: Settings, store: Store, metrics: Metrics) -> None:
        self._settings, self._store, self._metrics = settings, store, metrics
        self._calls = webhooks.Calls()
        self._taking = asyncio.Lock()
        self._under_way: dict[str, StoredJob] = {}
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, in the running loop."""
        loops = [again_and_again(self._turn, self._stopping.is_set) for _ in range(WORKERS)]
        self._tasks = [asyncio.create_task(loop) for loop in loops]

    @property
    def alive(self) -> bool:
        """Whether all workers still work."""
        return not any(task.done() for task in self._tasks)

    async def stop(self) -> None:
        """Cut off what is on its way; it is due again at once, for the next process."""
        self._stopping.set()
        self._calls.cut()
        _, late = await asyncio.wait(self._tasks, timeout=STOP_SECONDS)
        for task in late:  # waits for a name server, which nothing cuts
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for job in list(self._under_way.values()):
            await safely(self._store.jobs.webhook_back, job.id)

    async def _turn(self) -> None:
        async with self._taking:  # one at a time: who comes next must see what this one has taken
            if self._stopping.is_set():
                return
            job = await safely(self._take)
            if job is not None:
                self._under_way[job.id] = job
        if job is None:
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_SECONDS):
                    await self._stopping.wait()
            return
        try:
            await self._deliver(job)
        except Exception:
            self._under_way.pop(job.id, None)
            raise

    def _take(self) -> StoredJob | None:
        under_way = list(self._under_way.values())
        return self._store.jobs.take_webhook(
            HOLD_SECONDS,
            not_of=_often([job.key_id for job in under_way], MOST_OF_A_KEY),
            not_to=_often([_receiver(job) for job in under_way], MOST_TO_A_RECEIVER),
        )

    async def _deliver(self, job: StoredJob) -> None:
        body = json.dumps({**job_values(job), "webhook": None}, ensure_ascii=False).encode()
        secret = webhook_secret(self._store.secret, job.key_id)
        deliver = partial(webhooks.deliver, job.webhook_url or "", body, secret, self._settings, self._calls)
        outcome = await anyio.to_thread.run_sync(deliver, abandon_on_cancel=True)
        if outcome == webhooks.CUT:  # as if it had not been tried
            return
        ended = outcome in ("delivered", "gone")
        again = None if ended else webhooks.next_at(job.webhook_attempts, self._settings)
        done = partial(self._store.jobs.webhook_done, job.id, delivered=outcome == "delivered", again_at=again)
        await safely(done)
        del self._under_way[job.id]
        self._metrics.webhooks.labels("delivered" if outcome == "delivered" else "failed").inc()
        LOG.info("webhook", extra={"job": job.id, "outcome": outcome, "attempt": job.webhook_attempts})


def _receiver(job: StoredJob) -> str:
    """How the addresses of its receiver begin."""
    parts = urlsplit(job.webhook_url or "")
    return f"{parts.scheme}://{parts.netloc}"


def _often(several: Iterable[T], most: int) -> list[T]:
    return [one for one, count in Counter(several).items() if count >= most]
