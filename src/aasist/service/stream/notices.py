"""What happens in a stream, told to a URL while it lasts: changes and the verdict, signed as `webhooks` are.

A notice is tried a few times over some seconds and then given up: an hour later nobody wants to know that a call turned. The
verdict itself is stored, whoever was told.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from aasist.service import webhooks
from aasist.service.entry.keys import Principal, webhook_secret
from aasist.service.logs import LOG
from aasist.service.metrics import Metrics
from aasist.service.settings import Settings
from aasist.service.stream.dialects import Opening

if TYPE_CHECKING:
    from aasist.service.service import Service

TOLD = ("change", "final")
"""Types of events that are worth a request."""

WAITS_SECONDS = (0.0, 1.0, 4.0)
"""Before each attempt."""

THREADS = 4
MOST_WAITING = 256

CLOSE_SECONDS = 5.0


class Notifier:
    """Delivers notices, those of all streams of a process."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings, self._metrics = settings, metrics
        self._pool = ThreadPoolExecutor(THREADS, "notice")
        self._places = threading.Semaphore(MOST_WAITING)
        self._closing = threading.Event()
        self._calls = webhooks.Calls()

    def tell(self, url: str, body: bytes, secret: str) -> None:
        """Deliver soon; where too many wait, not at all, and the log says so."""
        if not self._places.acquire(blocking=False):
            self._given_up("full")
            return
        try:
            self._pool.submit(self._deliver, url, body, secret)
        except RuntimeError:  # closed meanwhile
            self._places.release()
            self._given_up("stopping")

    def close(self) -> None:
        """What waits has `CLOSE_SECONDS` to be told, then it is cut off; nothing is tried again."""
        self._closing.set()
        self._pool.shutdown(wait=False)
        until = time.monotonic() + CLOSE_SECONDS
        free = 0
        while free < MOST_WAITING and self._places.acquire(timeout=max(0.0, until - time.monotonic())):
            free += 1
        self._calls.cut()

    def _deliver(self, url: str, body: bytes, secret: str) -> None:
        outcome = "unsent"
        try:
            for wait in WAITS_SECONDS:
                if wait and self._closing.wait(wait):
                    break
                outcome = webhooks.deliver(url, body, secret, self._settings, self._calls)
                self._metrics.webhooks.labels(
                    outcome if outcome in ("delivered", "gone", "refused") else "failed"
                ).inc()
                if outcome in ("delivered", "gone", "refused"):
                    break
        finally:
            self._places.release()
        if outcome != "delivered":
            self._given_up(outcome)

    def _given_up(self, outcome: str) -> None:
        LOG.warning("notice not delivered", extra={"outcome": outcome})


class Notices:
    """Those of one stream."""

    def __init__(self, notifier: Notifier, url: str, secret: str, names: Mapping[str, str]) -> None:
        self._notifier, self._url, self._secret = notifier, url, secret
        self._stream = {"id": secrets.token_hex(8), **names}

    def tell(self, event: dict[str, Any]) -> None:
        """Of an event, as its receiver may see it, if it is one that is told."""
        if event["type"] not in TOLD:
            return
        notice = {"id": secrets.token_hex(16), "sent_at": round(time.time(), 3), "stream": self._stream, "event": event}
        self._notifier.tell(self._url, json.dumps(notice, allow_nan=False).encode(), self._secret)


def notices_of(opening: Opening, service: Service, principal: Principal) -> Notices | None:
    """Where the opening asks for them. `Problem` 400 for a URL that will not be called."""
    if opening.webhook_url is None:
        return None
    webhooks.check(opening.webhook_url, service.settings)
    secret = webhook_secret(service.store.secret, principal.key_id)
    return Notices(service.notifier, opening.webhook_url, secret, dict(opening.names))
