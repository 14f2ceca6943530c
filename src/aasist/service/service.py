"""What a running process of the service consists of, begun and ended in order."""

from __future__ import annotations

import asyncio
from typing import Annotated

import anyio.to_thread
from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection

from aasist.service.deliveries import Deliveries
from aasist.service.entry.addresses import counted_as
from aasist.service.entry.admission import Admission
from aasist.service.entry.keys import Doorkeeper, Principal
from aasist.service.jobs import Jobs
from aasist.service.judge import Judge
from aasist.service.ledger import Ledger
from aasist.service.logs import LOG
from aasist.service.metrics import Metrics
from aasist.service.parameters import refuse_unknown
from aasist.service.problems import Problem, away
from aasist.service.settings import Settings
from aasist.service.store.store import Store
from aasist.service.stream.notices import Notifier
from aasist.service.stream.streams import Streams


class Service:
    """All parts of one process; those that live only while it runs are there after `start`."""

    judge: Judge
    store: Store
    doorkeeper: Doorkeeper
    ledger: Ledger
    jobs: Jobs
    deliveries: Deliveries
    streams: Streams
    notifier: Notifier

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.admission = Admission(settings)
        self.ready = False
        self._flushing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open database and model, and begin to work on jobs. Raises `AasistError` where one cannot be opened."""
        settings = self.settings
        self.store = await anyio.to_thread.run_sync(Store, settings)
        self.doorkeeper = Doorkeeper(self.store.keys, required=settings.keys_required, anonymous_detail=settings.detail)
        self.judge = await anyio.to_thread.run_sync(lambda: Judge(settings, on_run=self.metrics.on_run))
        self.streams = await anyio.to_thread.run_sync(lambda: Streams(settings, on_run=self.metrics.on_run))
        self.notifier = Notifier(settings, self.metrics)
        self.ledger = Ledger(self.store, settings)
        self.jobs = Jobs(settings, self.store, self.judge, self.ledger, self.admission, self.metrics)
        self._flushing = asyncio.create_task(self.ledger.run())
        self.deliveries = Deliveries(settings, self.store, self.metrics)
        self.jobs.start()
        self.deliveries.start()
        self.ready = True
        LOG.info("ready", extra={"model": self.judge.detector.model.name, "keys_required": settings.keys_required})

    async def stop(self) -> None:
        """Let go of jobs, store what waits, end the processes."""
        self.ready, self.admission.stopping = False, True
        await asyncio.gather(self.jobs.stop(), self.deliveries.stop())
        await anyio.to_thread.run_sync(self.judge.close)
        await anyio.to_thread.run_sync(self.streams.close)
        await anyio.to_thread.run_sync(self.notifier.close)
        if self._flushing is not None:
            self._flushing.cancel()
        await self.ledger.flush()
        self.store.close()
        LOG.info("stopped")

    @property
    def alive(self) -> bool:
        """Whether all that works in the background still does."""
        flushing = self._flushing is not None and not self._flushing.done()
        return flushing and self.jobs.alive and self.deliveries.alive

    def gauge(self) -> None:
        """Bring the gauges up to date."""
        self.metrics.in_flight.set(self.admission.uploads)
        self.metrics.streams.set(self.admission.all_streams)
        self.metrics.waiting.set(self.judge.batcher.waiting)
        self.metrics.replaced.set(self.judge.decoders.replaced + self.judge.job_decoders.replaced)


def service_of(connection: HTTPConnection) -> Service:
    """The service behind a request or a WebSocket."""
    service: Service = connection.app.state.service
    return service


def address_of(connection: HTTPConnection) -> str:
    """Of the client; what limits without a key are counted by."""
    return counted_as(connection.client.host if connection.client else None)


async def authenticate(connection: HTTPConnection, scope: str | None, *, authorization: str | None = None) -> Principal:
    """Who asks, with the right to ``scope``; counted as one request. `Problem` 401, 403 or 429.

    ``authorization`` stands for the header where that could not be sent.
    """
    service = service_of(connection)
    address = address_of(connection)
    given = connection.headers.get("authorization", authorization)
    try:
        if given is None:  # nothing to be looked up
            principal = service.doorkeeper.principal(None, address)
        else:
            principal = await anyio.to_thread.run_sync(service.doorkeeper.principal, given, address)
    except Problem:
        service.admission.request(Principal(None, address, frozenset(), "label"))
        raise
    except SQLAlchemyError as error:
        raise away(error) from None
    service.admission.request(principal)
    if scope is not None and scope not in principal.scopes:
        raise Problem(403, "scope", f"the key does not have the scope {scope!r}")
    return principal


_BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="An API key, made by `aasist serve keys add`. Not needed where the service listens on loopback only.",
)


class Admitted:
    """A dependency: who asks, with the right to a scope, and by parameters that mean something."""

    def __init__(self, scope: str | None = None) -> None:
        self._scope = scope

    async def __call__(self, request: Request, credentials: Annotated[object, Depends(_BEARER)]) -> Principal:
        principal = await authenticate(request, self._scope)
        request.state.principal = principal
        refuse_unknown(request)
        return principal


async def _running(request: Request) -> Service:
    """`service_of`, which as a dependency would be called in a thread."""
    return service_of(request)


Running = Annotated[Service, Depends(_running)]
