"""Who is let in how often: rates by key or address, uploads in flight, and those who ask the same again and again.

All of it is counted in this process. With several processes each enforces its share of a rate, so that together they never
let more through; who keeps one connection open is then held to that share.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

from aasist.service.entry.keys import Principal
from aasist.service.entry.likeness import Likeness
from aasist.service.entry.probes import Asked, Probes
from aasist.service.problems import Problem, busy
from aasist.service.settings import Settings

ACCOUNTS = 10_000
"""Addresses that are counted; beyond, one that asked long ago is forgotten. Keys are not: they are as many as were made."""

LOOKED = 256
"""Addresses among which one is sought that nothing changes for when it is forgotten."""

Clock = Callable[[], float]


@dataclass
class Bucket:
    """A token bucket: ``rate`` a second flow in, ``most`` fit. Taking may leave it in debt, which is waited for."""

    rate: float
    most: float
    level: float
    at: float

    def wait(self, now: float, needed: float) -> float:
        """Seconds until ``needed`` is there; 0 where it is."""
        self.level = min(self.most, self.level + self.rate * (now - self.at))
        self.at = now
        return max(0.0, (needed - self.level) / self.rate)


@dataclass
class Places:
    """For uploads of one kind and their bytes; so many of them for each account."""

    most: int
    most_each: int
    most_bytes: int
    most_bytes_each: int
    taken: int = 0
    bytes: int = 0


@dataclass
class Share:
    """What one account has of some `Places`."""

    taken: int = 0
    bytes: int = 0


@dataclass
class Account:
    """What is counted of one key or address."""

    requests: Bucket | None
    audio: Bucket | None
    uploads: Share = field(default_factory=Share)
    job_uploads: Share = field(default_factory=Share)
    streams: int = 0
    asked: Asked = field(default_factory=Asked)

    @property
    def in_use(self) -> bool:
        """Whether it holds places."""
        return bool(self.uploads.taken or self.job_uploads.taken or self.streams)

    def owes(self, now: float) -> bool:
        """Whether it would gain by being forgotten."""
        indebted = any(bucket is not None and bucket.wait(now, 0.0) > 0 for bucket in (self.requests, self.audio))
        return indebted or bool(self.asked.alike)


class Admission:
    """Counts and refuses; may be asked from several threads."""

    def __init__(self, settings: Settings, *, clock: Clock = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._accounts: dict[str, Account] = {}
        self._addresses: OrderedDict[str, Account] = OrderedDict()
        """Those of them without a key; who asked longest ago is first."""
        self._probes = Probes(limit=settings.probe_limit, seconds=settings.probe_seconds)
        self._lock = threading.Lock()
        most_bytes = settings.max_in_flight_bytes
        self.places = Places(settings.max_in_flight, settings.max_in_flight_each, most_bytes, most_bytes)
        # Of their own: a long recording over a slow line takes hours to come.
        self.job_places = Places(
            settings.max_job_uploads,
            settings.max_job_uploads_each,
            most_bytes,
            max(settings.job_max_bytes, most_bytes // 2),
        )
        self.all_streams = 0
        self._opening: Counter[str] = Counter()
        self.stopping = False

    @property
    def uploads(self) -> int:
        """How many there are now, of both kinds."""
        return self.places.taken + self.job_places.taken

    @property
    def upload_bytes(self) -> int:
        """That have come of them."""
        return self.places.bytes + self.job_places.bytes

    def request(self, principal: Principal) -> None:
        """Count one request; `Problem` 429 where there were too many, or too much audio, or too much of the same."""
        with self._lock:
            now = self._clock()
            account = self._account(principal, now)
            if account.audio is not None and (wait := account.audio.wait(now, 0.0)) > 0:
                raise _too_many("audio_rate", "as many seconds of audio as are allowed were judged", wait)
            self._probes.forget(now)
            self._refuse_probing(account, now)
            if account.requests is not None:
                if (wait := account.requests.wait(now, 1.0)) > 0:
                    raise _too_many("request_rate", "more requests than are allowed", wait)
                account.requests.level -= 1.0

    def audio(self, principal: Principal, seconds: float) -> None:
        """Count audio that was judged; what is too much is waited for by the next request."""
        with self._lock:
            now = self._clock()
            if (bucket := self._account(principal, now).audio) is not None:
                bucket.wait(now, 0.0)
                bucket.level -= seconds

    def streamed(self, principal: Principal, seconds: float) -> None:
        """Count audio of a live stream as it comes. `Problem` 429 where it is too much: a stream has no next request."""
        self.audio(principal, seconds)
        with self._lock:
            now = self._clock()
            bucket = self._account(principal, now).audio
            if bucket is not None and (wait := bucket.wait(now, 0.0)) > 0:
                raise _too_many("audio_rate", "as many seconds of audio as are allowed were judged", wait)

    def likeness(self, principal: Principal, likeness: Likeness | None) -> None:
        """Note how a recording sounds. `Problem` 429 instead of an answer where it is one too many of its kind; the very same again
        is not counted."""
        if not self._settings.probe_limit or likeness is None:
            return
        with self._lock:
            now = self._clock()
            account = self._account(principal, now)
            if self._probes.note(account.asked, likeness, now):
                self._refuse_probing(account, now)

    @contextmanager
    def upload(self, principal: Principal, *, job: bool = False) -> Iterator[Callable[[int], None]]:
        """A place for one upload while it is received (and, but for those of a job, judged); what it gives takes the bytes as
        they come.

        `Problem` 503 where all places, or all bytes, are taken, 429 where the account has its share of them.
        """
        places, taken = self.job_places if job else self.places, 0

        def take(count: int) -> None:
            nonlocal taken
            with self._lock:
                if places.bytes + count > places.most_bytes:
                    raise busy("as much is being uploaded as there is room for", retry_after=2)
                if share.bytes + count > places.most_bytes_each:
                    raise _too_many("upload_limit", f"{places.most_bytes_each:,} bytes at a time are allowed", 2)
                places.bytes += count
                share.bytes += count
                taken += count

        with self._lock:
            if self.stopping:
                raise busy("the service is stopping", retry_after=5, code="stopping")
            if places.taken >= places.most:
                what = "uploaded" if job else "judged"
                raise busy(f"as many recordings are being {what} as there is room for", retry_after=1)
            account = self._account(principal, self._clock())
            share = account.job_uploads if job else account.uploads
            if share.taken >= places.most_each:
                raise _too_many("upload_limit", f"{share.taken} recordings at a time are allowed", 1)
            share.taken += 1
            places.taken += 1
        try:
            yield take
        finally:
            with self._lock:
                share.taken -= 1
                share.bytes -= taken
                places.taken -= 1
                places.bytes -= taken

    @contextmanager
    def opening(self, address: str) -> Iterator[None]:
        """A place for a connection that has not said yet who it is, apart from those of streams: strangers take none of theirs.

        `Problem` 429 where the address has its share, 503 where all are taken.
        """
        with self._lock:
            if self._opening[address] >= max(1, self._settings.streams):
                raise _too_many("stream_limit", f"{self._opening[address]} streams at a time may be about to open", 5)
            if self.stopping or self._opening.total() >= self._settings.max_streams_opening:
                raise busy("as many streams are about to open as there is room for", retry_after=5)
            self._opening[address] += 1
        try:
            yield
        finally:
            with self._lock:
                self._opening[address] -= 1
                if not self._opening[address]:
                    del self._opening[address]

    @contextmanager
    def stream(self, principal: Principal) -> Iterator[None]:
        """A place for one live stream; `Problem` 429 where the account has its share, 503 where all are taken."""
        with self._lock:
            account = self._account(principal, self._clock())
            most = principal.limits.streams if principal.limits.streams is not None else self._settings.streams
            if account.streams >= most:
                raise _too_many("stream_limit", f"{most} live streams at a time are allowed", 5)
            if self.stopping or self.all_streams >= self._settings.max_streams:
                raise busy("as many streams are being listened to as there is room for", retry_after=5)
            account.streams += 1
            self.all_streams += 1
        try:
            yield
        finally:
            with self._lock:
                account.streams -= 1
                self.all_streams -= 1

    def _refuse_probing(self, account: Account, now: float) -> None:
        if (wait := self._probes.wait(account.asked, now)) > 0:
            raise _too_many("probing", "many recordings that differ a little from one another were asked about", wait)

    def _account(self, principal: Principal, now: float) -> Account:
        name = principal.account
        account = self._accounts.get(name)
        if account is None:
            limits, settings = principal.limits, self._settings
            per_minute = (
                settings.requests_per_minute if limits.requests_per_minute is None else limits.requests_per_minute
            )
            per_hour = (
                settings.audio_seconds_per_hour
                if limits.audio_seconds_per_hour is None
                else limits.audio_seconds_per_hour
            )
            account = Account(requests=self._bucket(per_minute, 60.0, now), audio=self._bucket(per_hour, 3600.0, now))
            self._accounts[name] = account
            if principal.key_id is None:
                self._addresses[name] = account
                if len(self._addresses) > ACCOUNTS:
                    self._forget_one(now)
        elif principal.key_id is None:
            self._addresses.move_to_end(name)
        return account

    def _forget_one(self, now: float) -> None:
        """An address that asked long ago: one that owes nothing, or, where strangers have made all owe, the first that holds no place."""
        oldest = list(islice(self._addresses.items(), LOOKED))
        idle = [(name, account) for name, account in oldest if not account.in_use]
        gone = next((name for name, account in idle if not account.owes(now)), idle[0][0] if idle else None)
        if gone is not None:
            del self._addresses[gone], self._accounts[gone]
        for name, account in oldest:
            if name != gone and (account.in_use or account.owes(now)):
                self._addresses.move_to_end(name)  # not in the way the next time
            else:
                break

    def _bucket(self, limit: float, seconds: float, now: float) -> Bucket | None:
        """What is allowed in so many seconds may also come at once; 0 is no limit."""
        share = limit / self._settings.workers
        return Bucket(share / seconds, max(1.0, share), max(1.0, share), now) if limit else None


def _too_many(code: str, message: str, wait: float) -> Problem:
    return Problem(429, code, f"{message}; come again in {max(1, round(wait + 0.5))} s", retry_after=wait)
