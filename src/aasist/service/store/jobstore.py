"""Jobs as they are stored: claimed with a lease, finished once, whatever is killed when."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import sqlalchemy as sa

from aasist.service.store.tables import CODE_CHARACTERS, jobs
from aasist.service.store.verdictstore import StoredVerdict, inserted

Status = Literal["queued", "running", "done", "failed", "cancelled"]
ROOM_LOCK = 5_202_118
"""Of PostgreSQL, held while it is counted whether a job has room."""

ENDED = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class StoredJob:
    """One row; moments in seconds since 1970. ``document`` is the verdict as it was answered to this key."""

    id: str
    node: str
    key_id: str | None
    status: Status
    created_at: float
    name: str | None
    bytes: int
    timeline: bool
    started_at: float | None = None
    finished_at: float | None = None
    progress_seconds: float = 0.0
    attempts: int = 0
    lease_owner: str | None = None
    lease_until: float | None = None
    verdict_id: str | None = None
    document: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    webhook_url: str | None = None
    webhook_attempts: int = 0
    webhook_due_at: float | None = None
    webhook_delivered_at: float | None = None
    idempotency: str | None = None
    """What the client knows the job by, hashed; there is no other of the same."""


@dataclass(frozen=True)
class Room:
    """That jobs take, or may take, while they have not ended."""

    jobs: int
    bytes: int

    def within(self, other: Room) -> bool:
        """Whether it fits into ``other``."""
        return self.jobs <= other.jobs and self.bytes <= other.bytes


class NoRoom(Exception):
    """The key has as many jobs, or bytes of them, as it may have."""


class JobStore:
    """The table of jobs, for one node: the machine, or rather the folder, that holds their audio."""

    def __init__(self, engine: sa.Engine, node: str) -> None:
        self._engine, self.node = engine, node
        self._turn = itertools.count(1)
        self._turns: dict[str | None, int] = {}

    def add(self, job: StoredJob, *, room: Room | None = None) -> StoredJob:
        """Insert one; once this returns, it is not lost. Gives what is stored: an earlier one of the same ``idempotency``, if any.
        `NoRoom` where its key would hold more than ``room``."""
        try:
            with self._engine.begin() as connection:
                if room is not None and self._engine.dialect.name == "postgresql":  # SQLite has one writer at a time
                    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ROOM_LOCK)))
                connection.execute(jobs.insert().values(**asdict(job)))
                if room is not None and not self._held(connection, job.key_id).within(room):
                    raise NoRoom  # and the row is gone again
        except sa.exc.IntegrityError:
            if job.idempotency is None or (earlier := self.known_as(job.idempotency)) is None:
                raise
            return earlier
        return job

    def known_as(self, idempotency: str) -> StoredJob | None:
        """By what the client knows it by."""
        return self._first(jobs.select().where(jobs.c.idempotency == idempotency))

    def held(self, key_id: str | None) -> Room:
        """What jobs of a key (None: of all without one) that have not ended take, on every node."""
        with self._engine.connect() as connection:
            return self._held(connection, key_id)

    def get(self, identity: str) -> StoredJob | None:
        """By its identity."""
        return self._first(jobs.select().where(jobs.c.id == identity))

    def waiting(self) -> int:
        """How many are queued or being worked on, on every node."""
        with self._engine.connect() as connection:
            counted = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.status.in_(("queued", "running")))
            return int(connection.execute(counted).scalar_one())

    def open_ids(self) -> set[str]:
        """Of this node, that have not ended."""
        with self._engine.connect() as connection:
            chosen = sa.select(jobs.c.id).where(jobs.c.node == self.node, jobs.c.status.in_(("queued", "running")))
            return set(connection.execute(chosen).scalars())

    def cancel(self, identity: str) -> bool:
        """False where it had ended."""
        return self._changed(
            jobs.update()
            .where(jobs.c.id == identity, jobs.c.status.in_(("queued", "running")))
            .values(
                status="cancelled",
                finished_at=time.time(),
                lease_owner=None,
                lease_until=None,
                **_webhook_is_due(time.time()),
            )
        )

    def claim(self, owner: str, lease_seconds: float) -> StoredJob | None:
        """A job that is queued, or whose owner has not renewed its lease; it is the caller's for that long.

        Of the key that has waited longest for its turn with this process, the oldest: who has queued a thousand has one done
        between two of others.
        """
        now = time.time()
        free = sa.or_(jobs.c.status == "queued", sa.and_(jobs.c.status == "running", jobs.c.lease_until < now))
        waiting = (
            sa.select(jobs.c.key_id, sa.func.min(jobs.c.created_at))
            .where(jobs.c.node == self.node, free)
            .group_by(jobs.c.key_id)
        )
        with self._engine.connect() as connection:
            found = [(key_id, oldest) for key_id, oldest in connection.execute(waiting)]
        for key_id, _ in sorted(found, key=lambda one: (self._turns.get(one[0], 0), one[1])):
            if (job := self._claim(key_id, free, owner, now, lease_seconds)) is not None:
                self._turns[key_id] = next(self._turn)
                return job
        return None

    def _claim(self, key_id: str | None, free: Any, owner: str, now: float, lease_seconds: float) -> StoredJob | None:
        oldest = (
            sa.select(jobs.c.id)
            .where(jobs.c.node == self.node, free, jobs.c.key_id.is_not_distinct_from(key_id))
            .order_by(jobs.c.created_at, jobs.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)  # of PostgreSQL; SQLite has one writer at a time
        )
        change = (
            jobs.update()
            .where(jobs.c.id == oldest.scalar_subquery(), free)
            .values(
                status="running",
                started_at=sa.func.coalesce(jobs.c.started_at, now),
                lease_owner=owner,
                lease_until=now + lease_seconds,
                attempts=jobs.c.attempts + 1,
            )
            .returning(*jobs.c)
        )
        with self._engine.begin() as connection:
            row = connection.execute(change).mappings().first()
        return None if row is None else StoredJob(**row)

    def renew(self, identity: str, owner: str, lease_seconds: float, progress_seconds: float) -> bool:
        """False where the job is not the caller's any more: cancelled, or taken over."""
        return self._changed(
            self._mine(identity, owner).values(
                lease_until=time.time() + lease_seconds, progress_seconds=progress_seconds
            )
        )

    def release(self, identity: str, owner: str, *, after_seconds: float = 0.0, counted: bool = False) -> bool:
        """Give it back unfinished, for whoever comes next, not before so long; whether it counts as an attempt."""
        attempts = jobs.c.attempts - (0 if counted else 1)
        # One that has to wait is as one whose owner died: free when the lease is over.
        state = {"status": "running", "lease_until": time.time() + after_seconds}
        free = {"status": "queued", "lease_until": None}
        return self._changed(
            self._mine(identity, owner).values(
                lease_owner=None, attempts=attempts, **(state if after_seconds > 0 else free)
            )
        )

    def finish(
        self,
        identity: str,
        owner: str,
        *,
        verdict: StoredVerdict | None,
        document: str | None,
        error: tuple[str, str] | None,
        judged_seconds: float | None = None,
    ) -> bool:
        """End it with a verdict or an error, if it is still the caller's; of all who try, one succeeds.

        ``judged_seconds`` become its progress; None leaves that where it was. What a decoder says of a recording may hold what no
        database takes: it is stored without that.
        """
        now = time.time()
        code, message = error or (None, None)
        change = self._mine(identity, owner).values(
            status="failed" if error else "done",
            finished_at=now,
            progress_seconds=jobs.c.progress_seconds if judged_seconds is None else judged_seconds,
            lease_owner=None,
            lease_until=None,
            verdict_id=verdict.id if verdict else None,
            document=document,
            error_code=_storable(code, CODE_CHARACTERS),
            error_message=_storable(message),
            **_webhook_is_due(now),
        )
        with self._engine.begin() as connection:
            if connection.execute(change).rowcount != 1:
                return False
            if verdict is not None:
                connection.execute(inserted(verdict))
            return True

    def take_webhook(
        self, hold_seconds: float, *, not_of: Iterable[str | None] = (), not_to: Iterable[str] = ()
    ) -> StoredJob | None:
        """A job whose webhook is to be delivered; nobody else takes it for ``hold_seconds``. Counts as an attempt.

        Not one of the keys ``not_of``, nor one whose address begins as one of ``not_to``.
        """
        now = time.time()
        due = sa.select(jobs.c.id).where(
            jobs.c.node == self.node,
            jobs.c.webhook_due_at <= now,
            *(jobs.c.key_id.is_distinct_from(key) for key in not_of),
            *(sa.not_(jobs.c.webhook_url.startswith(receiver, autoescape=True)) for receiver in not_to),
        )
        first = due.order_by(jobs.c.webhook_due_at).limit(1).with_for_update(skip_locked=True)
        change = (
            jobs.update()
            .where(jobs.c.id == first.scalar_subquery(), jobs.c.webhook_due_at <= now)
            .values(webhook_due_at=now + hold_seconds, webhook_attempts=jobs.c.webhook_attempts + 1)
            .returning(*jobs.c)
        )
        with self._engine.begin() as connection:
            row = connection.execute(change).mappings().first()
        return None if row is None else StoredJob(**row)

    def webhook_done(self, identity: str, *, delivered: bool, again_at: float | None) -> None:
        """Note what came of it, and when to try again (None: not any more)."""
        values: dict[str, Any] = {"webhook_due_at": again_at}
        if delivered:
            values["webhook_delivered_at"] = time.time()
        self._changed(jobs.update().where(jobs.c.id == identity).values(**values))

    def webhook_back(self, identity: str) -> None:
        """Due again at once: its delivery was cut off, which does not count as an attempt."""
        values = {"webhook_due_at": time.time(), "webhook_attempts": jobs.c.webhook_attempts - 1}
        self._changed(jobs.update().where(jobs.c.id == identity, jobs.c.webhook_due_at.is_not(None)).values(**values))

    def forget(self, before: float) -> list[str]:
        """Delete jobs that ended before, and whose webhook is not due; give their identities."""
        old = sa.and_(jobs.c.status.in_(ENDED), jobs.c.finished_at < before, jobs.c.webhook_due_at.is_(None))
        with self._engine.begin() as connection:
            return list(connection.execute(jobs.delete().where(old).returning(jobs.c.id)).scalars())

    def _held(self, connection: sa.Connection, key_id: str | None) -> Room:
        of_key = sa.and_(jobs.c.key_id.is_not_distinct_from(key_id), jobs.c.status.in_(("queued", "running")))
        chosen = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(jobs.c.bytes), 0)).where(of_key)
        count, size_bytes = connection.execute(chosen).one()
        return Room(int(count), int(size_bytes))

    def _mine(self, identity: str, owner: str) -> Any:
        return jobs.update().where(jobs.c.id == identity, jobs.c.status == "running", jobs.c.lease_owner == owner)

    def _changed(self, change: Any) -> bool:
        with self._engine.begin() as connection:
            return connection.execute(change).rowcount == 1

    def _first(self, query: Any) -> StoredJob | None:
        with self._engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else StoredJob(**row)


def _storable(text: str | None, most: int | None = None) -> str | None:
    """Without NUL, which PostgreSQL refuses, and without halves of characters, which are no UTF-8."""
    return None if text is None else text.replace("\0", "").encode(errors="replace").decode()[:most]


def _webhook_is_due(now: float) -> dict[str, Any]:
    """Only where there is one."""
    return {"webhook_due_at": sa.case((jobs.c.webhook_url.is_not(None), now), else_=None)}
