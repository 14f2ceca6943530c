"""Faults of engines: where in a file of the user's one arose."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType

from aasist.corpus.catalogue import OF_FILES
from aasist.corpus.engine import Engine
from aasist.errors import AasistError


def is_of_file(engine: Engine) -> bool:
    """Whether an engine comes from a file of the user's, not from a package."""
    return type(engine).__module__.startswith(OF_FILES)


def in_words(error: Exception) -> str:
    """A fault in a line: what it is, and, where it passed through a file of the user's, the innermost place in it.

    ``IndexError: too many indices (mine.py:8)``; of an `AasistError` the message alone stands before the place.
    """
    said = error.message if isinstance(error, AasistError) else f"{type(error).__name__}: {error}".strip()
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        if _is_users(frame.f_globals):
            place = f" ({Path(frame.f_code.co_filename).name}:{line})"
    return said + place


def trace(error: BaseException) -> str:
    """The traceback of a fault, from the first place in a file of the user's on; all of it where it passed through none."""
    begin: TracebackType | None = error.__traceback__
    while begin is not None and not _is_users(begin.tb_frame.f_globals):
        begin = begin.tb_next
    return "".join(traceback.format_exception(type(error), error, begin or error.__traceback__))


def _is_users(names: dict[str, object]) -> bool:
    return str(names.get("__name__", "")).startswith(OF_FILES)
