"""A file of JSON lines that is there whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import click

STOPS = (KeyboardInterrupt, SystemExit, BrokenPipeError)
"""Ctrl-C, SIGTERM, and a reader of the table who has seen enough (``| head``): no fault of what is being done."""


def is_stream(path: Path, stream: int) -> bool:
    """Whether a file is what standard input (0), output (1) or error (2) leads to."""
    try:
        return os.path.samestat(path.stat(), os.fstat(stream))
    except OSError:  # the stream is closed
        return False


class JsonLines:
    """Lines go to a temporary file beside ``path``, which takes its name when the work ended without an exception, and
    ``path`` with ``.part`` behind it when it was stopped (`STOPS`)."""

    def __init__(self, path: Path) -> None:
        # A link stays one, and what it leads to is replaced.
        self.path = Path(os.path.realpath(path))

    def __enter__(self) -> Self:
        if self.path.exists() and any(is_stream(self.path, stream) for stream in (1, 2)):
            raise click.UsageError(
                f"cannot write {self.path}: the output already goes there; leave -o out and use --json"
            )
        if self.path.exists() and not self.path.is_file():
            raise click.UsageError(f"cannot write {self.path}: it is a folder or a device, a file was wanted")
        try:
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        except OSError as error:
            raise click.UsageError(f"cannot write {self.path}: {error.strerror}") from error
        self._name = Path(name)
        self._file = os.fdopen(handle, "w", encoding="utf-8")
        self._lines = 0
        return self

    def write(self, line: str) -> None:
        """Add one line."""
        self._file.write(line + "\n")
        self._lines += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()  # which may find the disk full
            # What is done is kept, under a name that says it is not all.
            stopped = kind is not None and issubclass(kind, STOPS) and self._lines > 0
            path = self.path.with_name(f"{self.path.name}.part") if stopped else self.path
            if kind is None or stopped:
                umask = os.umask(0)
                os.umask(umask)
                self._name.chmod(0o666 & ~umask)
                self._name.replace(path)
            if stopped:
                click.echo(f"aasist: stopped; the lines so far ({self._lines}) are in {path}", err=True)
        finally:
            self._name.unlink(missing_ok=True)
