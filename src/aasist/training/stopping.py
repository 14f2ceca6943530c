"""Ctrl-C and SIGTERM as a question that the loop answers between two batches."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Asked(threading.Event):
    """Set when a signal asked to stop; ``number`` is the signal's."""

    number = 0


class Stopped(Exception):
    """Scoring or estimating was left in its middle, to be begun again on a resume; ``reason`` is ``signal`` or ``memory``."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


PATIENCE_SECONDS = 1.0
"""A signal so soon after the first is the same one: GNU timeout sends its own to the process and to its group."""


@contextmanager
def stopping() -> Iterator[Asked]:
    """Within it, Ctrl-C and SIGTERM ask the loop to end between two batches; a second one ends at once."""
    asked, since = Asked(), 0.0
    if threading.current_thread() is not threading.main_thread():  # signals go to the main one alone
        yield asked
        return

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal since
        if asked.is_set():
            if time.monotonic() - since >= PATIENCE_SECONDS:
                raise KeyboardInterrupt
            return
        asked.number, since = number, time.monotonic()
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
