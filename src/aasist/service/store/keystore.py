"""API keys as they are stored: never the secret, its SHA-256."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from aasist.service.settings import Detail
from aasist.service.store.tables import keys


@dataclass(frozen=True)
class StoredKey:
    """One row. ``scopes`` are separated by blanks; limits of None are those of the settings; moments in seconds since 1970."""

    id: str
    name: str
    sha256: bytes
    scopes: str
    detail: str
    created_at: float
    requests_per_minute: float | None = None
    audio_seconds_per_hour: float | None = None
    streams: int | None = None
    expires_at: float | None = None
    revoked_at: float | None = None

    @property
    def sees(self) -> Detail:
        """``detail`` as one of those that there are."""
        return "label" if self.detail == "label" else "rounded" if self.detail == "rounded" else "full"

    def state(self, now: float) -> str:
        """``active``, ``expired`` or ``revoked``."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class KeyStore:
    """The table of keys."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, key: StoredKey) -> None:
        """Insert one."""
        with self._engine.begin() as connection:
            connection.execute(keys.insert().values(**asdict(key)))

    def get(self, identity: str) -> StoredKey | None:
        """By what stands in the key."""
        with self._engine.connect() as connection:
            row = connection.execute(keys.select().where(keys.c.id == identity)).mappings().first()
        return None if row is None else _key(row)

    def all(self) -> list[StoredKey]:
        """The oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(keys.select().order_by(keys.c.created_at, keys.c.id)).mappings().all()
        return [_key(row) for row in rows]

    def usable(self) -> bool:
        """Whether a key would be let in now."""
        now = time.time()
        return any(key.state(now) == "active" for key in self.all())

    def revoke(self, identity: str) -> bool:
        """From now on; False where there is no such key, or it was revoked before."""
        change = keys.update().where(keys.c.id == identity, keys.c.revoked_at.is_(None)).values(revoked_at=time.time())
        with self._engine.begin() as connection:
            return connection.execute(change).rowcount == 1


def _key(row: Any) -> StoredKey:
    return StoredKey(**row)
