"""A file of JSON lines that is there whole, or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import click


class JsonLines:
    """Lines go to a temporary file beside ``path``, which takes its name when the work ended without an exception."""

    def __init__(self, path: Path) -> None:
        # A link stays one, and what it leads to is replaced.
        self.path = Path(os.path.realpath(path))

    def __enter__(self) -> Self:
        if self.path.exists() and not self.path.is_file():
            raise click.UsageError(f"cannot write {self.path}: it is a folder or a device, a file was wanted")
        try:
            handle, name = tempfile.mkstemp(prefix=f".{self.path.name}.", dir=self.path.parent)
        except OSError as error:
            raise click.UsageError(f"cannot write {self.path}: {error.strerror}") from error
        self._name = Path(name)
        self._file = os.fdopen(handle, "w", encoding="utf-8")
        return self

    def write(self, line: str) -> None:
        """Add one line."""
        self._file.write(line + "\n")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()  # which may find the disk full
            if kind is None:
                umask = os.umask(0)
                os.umask(umask)
                self._name.chmod(0o666 & ~umask)
                self._name.replace(self.path)
        finally:
            self._name.unlink(missing_ok=True)
