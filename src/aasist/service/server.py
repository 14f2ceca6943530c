"""Listening: the socket, one process or several, until SIGTERM."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import tempfile
from collections.abc import Callable
from functools import partial

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from aasist.errors import AasistError
from aasist.runtime.models import open_model
from aasist.runtime.pipeline import stages_of
from aasist.service.app import create_app
from aasist.service.entry.connections import StreamConnection, limited
from aasist.service.lifeline import end_with
from aasist.service.logs import start_logging
from aasist.service.metrics import SHARED
from aasist.service.settings import Settings
from aasist.service.store.store import Store

UNTAKEN_MILLISECONDS = 60_000


def serve(settings: Settings, *, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; what was accepted is answered first, within ``drain_seconds``.

    Raises `AasistError` ``no_key`` where keys are needed and there is none, ``bind`` where the address cannot be had, and what
    the model or the database says. ``say`` is told where it listens, and whether keys are asked for.
    """
    store = Store(settings)  # here first, so that several processes find the tables made
    usable = store.keys.usable()
    store.close()
    if settings.keys_required and not usable:
        if settings.require_keys:
            why, ways = "require_keys is set", "take the setting away"
        else:
            why = f"{settings.host} can be reached from other machines"
            ways = "listen on 127.0.0.1, or let everyone in with --insecure"
        raise AasistError(
            "no_key", f"{why}, and there is no API key: make one with 'aasist serve keys add NAME', or {ways}"
        )
    for stage in stages_of(settings.model):
        open_model(stage, threads=1, runtime=settings.runtime, precision=settings.precision)
    open_model(settings.stream_model, threads=1, runtime=settings.runtime)
    with bound(settings) as sock:
        say(announcement(settings, sock.getsockname()[1]))
        config = uvicorn.Config(
            partial(application, settings),
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            http=limited(settings.header_seconds, settings.max_connections, settings.max_connections_each),
            ws=StreamConnection,
            h11_max_incomplete_event_size=settings.header_bytes,
            # Somewhat more than is allowed comes through, so that it can be refused in words. Audio hardly deflates.
            ws_max_size=2 * settings.stream_frame_bytes,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=settings.drain_seconds,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # an address that a client tells is no address to count by
            lifespan="on",
        )
        if settings.workers > 1:
            with tempfile.TemporaryDirectory(prefix="aasist-metrics-") as folder:
                os.environ[SHARED] = folder
                Multiprocess(config, [sock]).run()
            return
        # uvicorn raises the signal again once it has drained: that is no reason to die of it.
        signal.signal(signal.SIGTERM, lambda *_: None)
        server = uvicorn.Server(config)
        server.run([sock])
        if not server.started:
            raise AasistError("start", "the service could not start; its log says why")


def application(settings: Settings) -> FastAPI:
    """What each process runs. One of several ends with the first, which alone can be stopped and started again."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        end_with(parent.pid)
    start_logging()
    limited(settings.header_seconds, settings.max_connections, settings.max_connections_each)
    return create_app(settings)


def bound(settings: Settings) -> socket.socket:
    """A socket that is bound, and inherited by processes to come; `AasistError` ``bind`` where it cannot be had."""
    host = settings.host.strip("[]")
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Inherited by connections: who takes no byte of an answer, or of a stream's events, for so long is cut off.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNTAKEN_MILLISECONDS)
        # Else the body of each answer waits 40 ms for the other side to acknowledge its headers: asyncio sets this of itself
        # only where it made the socket.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.bind((host, settings.port))
        sock.set_inheritable(True)
    except (OSError, UnicodeError) as error:
        sock.close()
        reason = getattr(error, "strerror", None) or error
        raise AasistError(
            "bind", f"cannot listen on {host}:{settings.port}: {reason}; choose another --port or --host"
        ) from None
    return sock


def announcement(settings: Settings, port: int) -> str:
    """For people, where it listens and who is let in."""
    host = f"[{settings.host}]" if ":" in settings.host and not settings.host.startswith("[") else settings.host
    if settings.keys_required:
        who = "keys are asked for"
    elif settings.loopback:
        who = "no key is needed, and no other machine can reach it"
    else:
        who = "EVERYONE who can reach it is let in without a key (--insecure)"
    return f"http://{host}:{port} (model {settings.model}); {who}"
