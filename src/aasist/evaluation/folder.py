"""A folder of files that is written whole, or left as it was."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from aasist.errors import AasistError


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


def put(folder: Path, contents: Mapping[str, bytes]) -> None:
    """A new folder takes its name when all is written; in one that is there, file by file takes its name."""
    created = [parent for parent in folder.parents if not parent.exists()]
    is_new = not folder.exists()
    umask = os.umask(0)
    os.umask(umask)
    temporary, done = None, False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Inside a folder that is there: what lies beside it may be another disk, or not be ours to write to.
        temporary = Path(tempfile.mkdtemp(prefix=".report-", dir=folder.parent if is_new else folder))
        for name, content in contents.items():
            (temporary / name).write_bytes(content)
        if is_new:
            temporary.chmod(0o777 & ~umask)
            temporary.rename(folder)
        else:
            _replace(folder, temporary, tuple(contents))
        done = True
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
        if not done:
            for parent in created:
                with suppress(OSError):  # somebody else's by now
                    parent.rmdir()


def _replace(folder: Path, temporary: Path, names: Sequence[str]) -> None:
    """Move files from ``temporary`` into ``folder``; where one fails, those before it go back to what they were."""
    kept = Path(tempfile.mkdtemp(dir=temporary))
    for name in names:
        if (folder / name).exists():
            shutil.copy2(folder / name, kept / name)
    moved = []
    try:
        for name in names:
            moved.append(name)
            (temporary / name).replace(folder / name)
    except BaseException:
        for name in moved:
            if (kept / name).exists():
                (kept / name).replace(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        raise
