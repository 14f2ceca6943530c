"""Work in the background: a turn that is taken again and again, whatever one of them fails with."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from aasist.service.decode.process import Given
from aasist.service.logs import LOG

PAUSE_SECONDS = 1.0
"""After a turn that failed, and before a database that did not answer is asked again."""

LASTING = (DataError, IntegrityError)
"""What a database says of a statement that it will never take: asking again would be for ever."""

T = TypeVar("T")


async def again_and_again(turn: Callable[[], Awaitable[None]], stopping: Callable[[], bool] = lambda: False) -> None:
    """Until ``stopping`` or cancelled. What a turn raises is logged: a loop that ended by it would end unseen, for good."""
    while not stopping():
        try:
            await turn()
        except Exception:
            LOG.exception("work in the background failed")
            await asyncio.sleep(PAUSE_SECONDS)


async def safely(call: Callable[..., T], *arguments: Any) -> T | None:
    """In a thread; None where the database or the disk does not answer, which is logged."""
    try:
        return await anyio.to_thread.run_sync(partial(call, *arguments))
    except (SQLAlchemyError, OSError) as error:
        await _failed(error)
        return None


async def patiently(stop: threading.Event, call: Callable[..., T], *arguments: Any) -> T:
    """In a thread, as often as it takes until the database answers; `Given` once ``stop`` is set and it still does not.

    What it will never take (`LASTING`) is raised.
    """
    while True:
        try:
            return await anyio.to_thread.run_sync(partial(call, *arguments))
        except LASTING:
            raise
        except (SQLAlchemyError, OSError) as error:
            await _failed(error)
        if stop.is_set():
            raise Given


async def _failed(error: Exception) -> None:
    LOG.error("jobs wait for the database", extra={"error": type(error).__name__})
    await asyncio.sleep(PAUSE_SECONDS)
