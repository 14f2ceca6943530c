"""Verdicts on their way into the database, several in one transaction; and the audio behind them, where it is kept."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError

from aasist.service.background import again_and_again
from aasist.service.logs import LOG
from aasist.service.settings import Settings
from aasist.service.store.store import Store
from aasist.service.store.verdictstore import StoredVerdict

FLUSH_SECONDS = 0.5
MOST_WAITING = 10_000
"""Verdicts that may wait while the database cannot be reached; beyond, they are answered and not kept, and the log says so."""

DAY = 86_400.0


class Ledger:
    """One for a process. A verdict of ``/v1/detect`` is answered before it is stored: a kill may lose the last half second."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store, self._settings = store, settings
        self._waiting: list[StoredVerdict] = []

    def add(self, verdict: StoredVerdict) -> None:
        """Store it soon."""
        if len(self._waiting) < MOST_WAITING:
            self._waiting.append(verdict)
        else:
            LOG.error("verdict not stored", extra={"waiting": len(self._waiting)})

    async def run(self) -> None:
        """Until cancelled."""
        await again_and_again(self._turn)

    async def _turn(self) -> None:
        await asyncio.sleep(FLUSH_SECONDS)
        await self.flush()

    async def flush(self) -> None:
        """Store what waits."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        try:
            await anyio.to_thread.run_sync(self._store.verdicts.add, waiting)
        except SQLAlchemyError as error:
            LOG.error("verdicts wait for the database", extra={"error": type(error).__name__, "waiting": len(waiting)})
            self._waiting = waiting + self._waiting

    def keep_audio(self, source: Path | BinaryIO, identity: str) -> None:
        """Copy what was judged into the private folder, under the verdict's identity."""
        path = self._settings.audio_dir / identity
        with ExitStack() as stack:
            file = stack.enter_context(open(source, "rb")) if isinstance(source, Path) else source
            file.seek(0)
            copy = stack.enter_context(os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"))
            try:
                shutil.copyfileobj(file, copy, 1 << 20)
                copy.flush()
            except OSError:  # half a copy, of a disk that is full
                path.unlink(missing_ok=True)
                raise

    def forget(self) -> None:
        """Delete what is older than it may be. Several processes may do so at once."""
        now = time.time()
        if self._settings.keep_verdicts_days:
            before = now - self._settings.keep_verdicts_days * DAY
            self._store.jobs.forget(before)
            self._store.verdicts.forget(before)
        gone = [
            path
            for path in self._settings.audio_dir.iterdir()
            if _older(path, now - self._settings.keep_audio_days * DAY)
        ]
        for path in gone:
            path.unlink(missing_ok=True)
        if gone:
            self._store.verdicts.audio_gone(path.name for path in gone)


def _older(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:
        return False
