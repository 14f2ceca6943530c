"""What has come of a stream and was not judged yet: so many bytes and no more, then the sender waits."""

from __future__ import annotations

import asyncio
from collections import deque

from aasist.service.stream.dialects import Audio

MOST_PIECES = 512
"""However small: ten seconds of a telephone's frames."""


class Inbox:
    """Between the task that reads a connection and the one that judges; for one of each."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._waiting: deque[tuple[float, Audio]] = deque()
        self.waiting_bytes = 0
        self._ended = False
        self._failure: BaseException | None = None
        self._came, self._went = asyncio.Event(), asyncio.Event()

    async def put(self, audio: Audio) -> None:
        """Add what came; waits while there is no room. A piece larger than all room is let into an empty inbox."""
        while self._full(len(audio.data)):
            self._went.clear()
            await self._went.wait()
        self._waiting.append((asyncio.get_running_loop().time(), audio))
        self.waiting_bytes += len(audio.data)
        self._came.set()

    def _full(self, count: int) -> bool:
        if len(self._waiting) >= MOST_PIECES:
            return True
        return bool(self._waiting) and self.waiting_bytes + count > self._most

    def end(self) -> None:
        """Nothing more comes; what is here will be taken."""
        self._ended = True
        self._came.set()

    def fail(self, error: BaseException) -> None:
        """What `take` raises from now on: what is here is of no use to anyone."""
        self._failure = error
        self._came.set()

    async def take(self, most_bytes: int) -> tuple[float, list[Audio]]:
        """The oldest pieces, up to ``most_bytes`` of them but at least one, and the loop's time when the first had come; none:
        the stream has ended. Waits for them."""
        while not (self._waiting or self._ended or self._failure is not None):
            self._came.clear()
            await self._came.wait()
        if self._failure is not None:
            raise self._failure
        since = self._waiting[0][0] if self._waiting else 0.0
        taken: list[Audio] = []
        count = 0
        while self._waiting and (not taken or count + len(self._waiting[0][1].data) <= most_bytes):
            taken.append(self._waiting.popleft()[1])
            count += len(taken[-1].data)
        self.waiting_bytes -= count
        self._went.set()
        return since, taken
