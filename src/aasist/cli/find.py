"""Recordings that the arguments of a verb name: files, folders, patterns, standard input."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import BinaryIO

from aasist.errors import AudioError

STANDARD_INPUT = "-"

Found = str | BinaryIO | AudioError
"""A recording's path, its bytes, or what is wrong with it."""


def find(paths: tuple[str, ...], max_bytes: int) -> Iterator[tuple[str, Found]]:
    """The recordings that the arguments name, in the order given: each one's name, and its source or what is wrong.

    Standard input over ``max_bytes`` is refused.
    """
    from aasist.audio.files import find_audio

    for path in paths:
        if path == STANDARD_INPUT:
            yield path, read_standard_input(max_bytes)
            continue
        matches = expanded(path) if has_magic(path) and not os.path.lexists(path) else [path]
        for match in matches or [path]:
            if not os.path.isdir(match):
                yield match, match
                continue
            unreadable: list[tuple[Path, AudioError]] = []
            try:
                for file in find_audio(match, on_error=lambda at, why: unreadable.append((at, why))):  # noqa: B023
                    name = as_given(match, file)
                    yield name, name
            except AudioError as error:
                unreadable.append((Path(match), error))
            for folder, why in unreadable:
                yield as_given(match, folder), why


def expanded(pattern: str) -> list[str]:
    """What a pattern matches, sorted, without hidden names. ``**`` stands for folders, however deep.

    It follows no link to a folder, which may lead back up: two such links have more paths than can ever be listed.
    """
    parts = pattern.split("/")
    if "**" not in parts:
        return sorted(glob(pattern))
    first = parts.index("**")
    above, below = "/".join(parts[:first]), [part for part in parts[first:] if part]
    # At its end it stands for the files; within a name it is a star.
    below = [part if part == "**" else re.sub(r"\*+", "*", part) for part in (*below, *["*"] * (below[-1] == "**"))]
    hidden = not any(part.startswith(".") for part in below)
    matches = {
        as_given(folder, path)
        for folder in (glob(above) if has_magic(above) else [above or "/" * pattern.startswith("/")])
        for path in Path(folder).glob("/".join(below))
        if not (hidden and any(part.startswith(".") for part in path.relative_to(folder).parts))
    }
    # It matches folders and the files within them, which would be judged twice.
    return sorted(match for match in matches if not os.path.isdir(match)) or sorted(matches)


def as_given(folder: str, path: Path) -> str:
    """A path below ``folder`` with the folder's name as it was given: ``./calls`` stays so."""
    below = path.relative_to(folder)
    return os.path.join(folder, below) if below.parts else folder  # noqa: PTH118 (Path would tidy it)


def read_standard_input(max_bytes: int) -> BinaryIO | AudioError:
    """All of standard input, in a file without a name where it is large; it is kept because a plot reads it twice."""
    from aasist.audio.read import ReadLimits
    from aasist.audio.source import spool

    if sys.stdin is None or sys.stdin.buffer.isatty():
        return AudioError("empty", "standard input is closed or a terminal: pipe a recording into it")
    try:
        return spool(sys.stdin.buffer, ReadLimits(max_bytes=max_bytes))
    except AudioError as error:
        return error
