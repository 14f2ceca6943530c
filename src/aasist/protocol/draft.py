"""Files of trials and scores that are written whole or not at all, and what is said when they cannot be."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aasist import files
from aasist.errors import ProtocolError
from aasist.protocol.lines import StrPath


@contextmanager
def replacing(path: StrPath) -> Iterator[io.BufferedWriter]:
    """`files.replacing`; `ProtocolError` when the folder is missing or the file cannot be written to."""
    try:
        with files.replacing(path) as file:
            yield file
    except OSError as error:
        missing = isinstance(error, FileNotFoundError)
        where = f"the folder {Path(os.path.realpath(path)).parent}" if missing else "the file"
        raise ProtocolError(f"{where} cannot be written to: {error.strerror or error}", path=path) from error


@contextmanager
def replacing_text(path: StrPath) -> Iterator[io.TextIOWrapper]:
    """`replacing`, as UTF-8 text with LF at the ends of lines; gzipped when the name ends in ``.gz``."""
    with replacing(path) as file:
        if os.fspath(path).endswith(".gz"):
            # No name and no time inside: the same trials give the same bytes.
            packed = gzip.GzipFile("", "wb", fileobj=file, mtime=0)
            with packed, io.TextIOWrapper(packed, "utf-8", newline="\n") as text:
                yield text
        else:
            plain = io.TextIOWrapper(file, "utf-8", newline="\n")
            yield plain
            plain.flush()
            plain.detach()
