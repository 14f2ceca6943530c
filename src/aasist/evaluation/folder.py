"""The folder that a report is put into: where it leads to, and what is said when nothing can be written there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from aasist.errors import AasistError
from aasist.files import write_folder as put

__all__ = ["folder_of", "nearest", "put", "unwritable"]


def folder_of(folder: Path, names: Iterable[str]) -> Path:
    """Where ``folder`` leads to, a link stays one; ``AasistError`` where files of these names have no place there."""
    real = Path(os.path.realpath(folder))
    above = nearest(real)
    if not above.is_dir():
        raise unwritable(folder, f"{'it' if above == real else above} is a file, a folder was wanted")
    for name in names:
        if (real / name).is_dir():
            raise unwritable(folder, f"{name} there is a folder, a file was wanted")
    return real


def nearest(path: Path) -> Path:
    """The path, or the nearest of its parents that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def unwritable(folder: Path, why: str) -> AasistError:
    return AasistError("output", f"cannot write the report to {folder}: {why}")
