"""Ctrl-C and SIGTERM as a question that the loop answers between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Asked(threading.Event):
    """Set when a signal asked to stop; ``number`` is the signal's."""

    number = 0


@contextmanager
def stopping() -> Iterator[Asked]:
    """Within it, Ctrl-C and SIGTERM ask the loop to end between two steps; a second one ends at once."""
    asked = Asked()
    if threading.current_thread() is not threading.main_thread():  # signals go to the main one alone
        yield asked
        return

    def ask(number: int, frame: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.number = number
        asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
