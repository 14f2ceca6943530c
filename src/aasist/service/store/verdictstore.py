"""Verdicts as they are stored: in full, without audio and without the names of files."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from aasist.runtime.verdict import Verdict
from aasist.service.store.tables import verdicts


@dataclass(frozen=True)
class StoredVerdict:
    """One row; ``document`` is the JSON object with ``path`` null."""

    id: str
    key_id: str | None
    job_id: str | None
    created_at: float
    label: str | None
    llr: float | None
    model: str
    model_sha256: str | None
    document: str
    audio_kept: bool

    @classmethod
    def of(
        cls, verdict: Verdict, *, key_id: str | None, job_id: str | None = None, audio_kept: bool = False
    ) -> StoredVerdict:
        """Of a fresh verdict, with an identity of its own."""
        return cls(
            id=secrets.token_hex(16),
            key_id=key_id,
            job_id=job_id,
            created_at=time.time(),
            label=verdict.label,
            llr=verdict.llr,
            model=verdict.model.name,
            model_sha256=verdict.model.sha256,
            document=json.dumps({**verdict.to_dict(), "path": None}, allow_nan=False),
            audio_kept=audio_kept,
        )


def inserted(verdict: StoredVerdict) -> Any:
    """The statement that inserts it."""
    return verdicts.insert().values(**asdict(verdict))


class VerdictStore:
    """The table of verdicts."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, several: Iterable[StoredVerdict]) -> None:
        """Insert them in one transaction."""
        if rows := [asdict(verdict) for verdict in several]:
            with self._engine.begin() as connection:
                connection.execute(verdicts.insert(), rows)

    def get(self, identity: str) -> StoredVerdict | None:
        """By its identity."""
        with self._engine.connect() as connection:
            row = connection.execute(verdicts.select().where(verdicts.c.id == identity)).mappings().first()
        return None if row is None else StoredVerdict(**row)

    def count(self) -> int:
        """How many there are."""
        with self._engine.connect() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(verdicts)).scalar_one())

    def forget(self, before: float) -> int:
        """Delete those made before; give how many."""
        with self._engine.begin() as connection:
            return connection.execute(verdicts.delete().where(verdicts.c.created_at < before)).rowcount

    def audio_gone(self, identities: Iterable[str]) -> None:
        """Note that the audio is not kept any more."""
        with self._engine.begin() as connection:
            connection.execute(verdicts.update().where(verdicts.c.id.in_(list(identities))).values(audio_kept=False))
