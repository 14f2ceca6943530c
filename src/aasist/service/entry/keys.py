"""API keys: made, read from a request, compared."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import threading
import time
from dataclasses import dataclass

from aasist.errors import AasistError
from aasist.service.problems import Problem
from aasist.service.settings import Detail
from aasist.service.store.keystore import KeyStore, StoredKey

SCOPES = ("detect", "jobs", "stream", "metrics")
DEFAULT_SCOPES = ("detect", "jobs", "stream")

PREFIX = "aasist"
SECRET_BYTES = 32
CACHE_SECONDS = 5.0
"""For which a key that was looked up is let in again without the database: so long a revoked one may still pass."""

CACHED = 10_000


@dataclass(frozen=True)
class Limits:
    """Of one who asks; None: as the settings say."""

    requests_per_minute: float | None = None
    audio_seconds_per_hour: float | None = None
    streams: int | None = None


@dataclass(frozen=True)
class Principal:
    """Who asks: the holder of a key, or (``key_id`` None) an address without one."""

    key_id: str | None
    address: str
    scopes: frozenset[str]
    detail: Detail
    limits: Limits = Limits()

    @property
    def account(self) -> str:
        """What limits are counted by."""
        return f"key {self.key_id}" if self.key_id else f"address {self.address}"


def new_key(
    name: str,
    *,
    scopes: tuple[str, ...] = DEFAULT_SCOPES,
    detail: Detail = "full",
    expires_at: float | None = None,
    limits: Limits | None = None,
) -> tuple[str, StoredKey]:
    """A key, to be shown once, and what is stored of it.

    The secret is 32 random bytes: that cannot be guessed from its SHA-256 however fast one hashes, so no slow hash is needed.
    """
    unknown = set(scopes) - set(SCOPES)
    if unknown or not scopes:
        raise AasistError("scope", f"scopes must be of {', '.join(SCOPES)}, got {', '.join(sorted(unknown)) or 'none'}")
    if not 0 < len(name) <= 100:
        raise AasistError("name", f"a key's name must have 1 to 100 characters, got {len(name)}")
    limits = limits or Limits()
    identity, secret = secrets.token_hex(6), secrets.token_urlsafe(SECRET_BYTES)
    return f"{PREFIX}_{identity}_{secret}", StoredKey(
        id=identity,
        name=name,
        sha256=_hashed(secret),
        scopes=" ".join(scopes),
        detail=detail,
        created_at=time.time(),
        expires_at=expires_at,
        requests_per_minute=limits.requests_per_minute,
        audio_seconds_per_hour=limits.audio_seconds_per_hour,
        streams=limits.streams,
    )


def webhook_secret(secret: bytes, key_id: str | None) -> str:
    """What webhooks of a key are signed with, 64 hexadecimal digits: derived, so that none has to be stored."""
    return hmac.new(secret, f"webhook:{key_id or ''}".encode(), hashlib.sha256).hexdigest()


class Doorkeeper:
    """Tells who asks. One for a process; may be asked from several threads."""

    def __init__(self, keys: KeyStore, *, required: bool, anonymous_detail: Detail) -> None:
        self._keys, self._required = keys, required
        self._anonymous_detail: Detail = anonymous_detail
        self._seen: dict[str, tuple[float, StoredKey | None]] = {}
        self._lock = threading.Lock()

    def principal(self, authorization: str | None, address: str) -> Principal:
        """By the header ``Authorization``; `Problem` 401 for none where one is needed, for a header that holds none,
        and for a key that is not good."""
        if authorization is None and not self._required:
            return Principal(None, address, frozenset(SCOPES), self._anonymous_detail)
        kind, _, text = (authorization or "").partition(" ")
        if (
            kind.lower() != "bearer" or not text.strip()
        ):  # nothing that could be a key, though it may have been meant as one
            raise Problem(401, "key_required", "send a key: Authorization: Bearer aasist_...")
        prefix, _, rest = text.strip().partition("_")
        identity, _, secret = rest.partition("_")
        stored = self._stored(identity) if prefix == PREFIX and identity else None
        # Also where there is no such key: how long a refusal takes tells nothing.
        matches = hmac.compare_digest(_hashed(secret), stored.sha256 if stored else bytes(32))
        if stored is None or not matches or stored.state(time.time()) != "active":
            raise Problem(401, "key_invalid", "the key is not known, has expired or was revoked")
        limits = Limits(stored.requests_per_minute, stored.audio_seconds_per_hour, stored.streams)
        return Principal(stored.id, address, frozenset(stored.scopes.split()), stored.sees, limits)

    def active(self, identity: str) -> bool:
        """Whether a key that was let in would be let in again; known for half as long as that of a request, so that whoever
        asks as often learns of a revocation within `CACHE_SECONDS`."""
        stored = self._stored(identity, CACHE_SECONDS / 2)
        return stored is not None and stored.state(time.time()) == "active"

    def _stored(self, identity: str, known_seconds: float = CACHE_SECONDS) -> StoredKey | None:
        now = time.monotonic()
        with self._lock:
            found = self._seen.get(identity)
        if found is not None and now - found[0] < known_seconds:
            return found[1]
        stored = self._keys.get(identity) if len(identity) <= 16 and identity.isalnum() else None
        with self._lock:
            if len(self._seen) >= CACHED:
                self._seen.clear()
            self._seen[identity[:16]] = now, stored
        return stored


def _hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()
