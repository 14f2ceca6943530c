"""Files and folders that are written whole or not at all: a draft beside them takes their name when it is done.

Errors are the ``OSError`` of the system; a room that writes says in its own words what could not be written.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

StrPath = str | os.PathLike[str]

_NAME_CHARACTERS = 40
"""So much of a file's name goes into that of its draft: a name may be as long as the file system allows."""


class Draft:
    """A new file beside ``path``, open for bytes as ``file``, that vanishes unless it takes a name there.

    A link stays one: what it leads to is what gets replaced. A file that is replaced hands its permissions on, a new one
    has those of the process's umask. Raises ``OSError`` where the folder is missing or refuses, and where ``path`` is
    something else than a file: a device or a pipe would be gone for good.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = Path(os.path.realpath(path))
        mode = _mode(self.path)
        self._place = self.path.with_name(f".{self.path.name[:_NAME_CHARACTERS]}.{uuid.uuid4().hex[:8]}.part")
        # Not tempfile: its files are for their owner alone, and would stay so.
        self.file: io.BufferedWriter = open(self._place, "xb")  # noqa: SIM115
        if mode is not None:
            with suppress(OSError):  # a file system without permissions
                self._place.chmod(mode)

    def take(self, path: Path | None = None) -> None:
        """Give what was written the name ``path`` (in the same folder; without it, the file's own), in one step.

        It is on the disk before it has the name: after a failure of power too, there is the old file or the new one.
        """
        if not self.file.closed:
            self.file.flush()
            os.fsync(self.file.fileno())
            self.file.close()  # which may find the disk full
        self._place.replace(self.path if path is None else path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # What a full disk did not take is in the buffer still; closing would complain a second time.
            with suppress(OSError):
                self.file.close()
        finally:
            with suppress(OSError):
                self._place.unlink()


@contextmanager
def replacing(path: StrPath) -> Iterator[io.BufferedWriter]:
    """A new file that takes the place of ``path`` when the block ends, and vanishes when the block fails.

    Whatever happens, a full disk included, ``path`` is what it was or what was written, whole. See `Draft`.
    """
    with Draft(path) as draft:
        yield draft.file
        draft.take()


def write(path: StrPath, content: bytes | memoryview) -> None:
    """Write ``content`` as the file ``path``, whole or not at all. See `Draft`."""
    with replacing(path) as file:
        file.write(content)


def write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write files by name into ``folder``: all of them or none, and other files in it are left alone.

    A new folder takes its name when all is written; in one that is there, file by file takes its name, and where one
    fails, those before it go back to what they were. Raises ``OSError``.
    """
    folder = Path(os.path.realpath(folder))
    created = [parent for parent in folder.parents if not parent.exists()]
    is_new = not folder.exists()
    temporary, done = None, False
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Inside a folder that is there: what lies beside it may be another disk, or not be ours to write to.
        temporary = Path(tempfile.mkdtemp(prefix=".part-", dir=folder.parent if is_new else folder))
        for name, content in contents.items():
            (temporary / name).write_bytes(content)
            _settle(temporary / name, None if is_new else _mode(folder / name))
        if is_new:
            temporary.chmod(0o777 & ~_umask())
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
        if os.path.lexists(folder / name):
            shutil.copy2(folder / name, kept / name, follow_symlinks=False)
    moved = []
    try:
        for name in names:
            moved.append(name)
            (temporary / name).replace(folder / name)
    except BaseException:
        for name in moved:
            if os.path.lexists(kept / name):
                (kept / name).replace(folder / name)
            else:
                (folder / name).unlink(missing_ok=True)
        raise


def _settle(path: Path, mode: int | None) -> None:
    """Give a file the permissions of the one it replaces, and see it on the disk."""
    if mode is not None:
        with suppress(OSError):  # a file system without permissions
            path.chmod(mode)
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _mode(path: Path) -> int | None:
    """Permissions of the file that is there, None where there is none; ``OSError`` where it is no file."""
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, a file was wanted", os.fspath(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, a file was wanted", os.fspath(path))
    return stat.S_IMODE(mode)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
