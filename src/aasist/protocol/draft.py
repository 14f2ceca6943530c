"""Files that are written whole or not at all."""

from __future__ import annotations

import gzip
import io
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from aasist.errors import ProtocolError
from aasist.protocol.lines import StrPath


@contextmanager
def replacing(path: StrPath) -> Iterator[io.BufferedWriter]:
    """A new file beside ``path`` that takes its place when the block ends, and vanishes when the block fails.

    `ProtocolError` when the folder is missing or cannot be written to.
    """
    target = Path(path)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.part")
    try:
        # Not tempfile: its files are for their owner alone, and would stay so.
        with open(draft, "xb") as file:
            yield file
        draft.replace(target)
    except OSError as error:
        where = f"the folder {target.parent}" if isinstance(error, FileNotFoundError) else "the file"
        raise ProtocolError(f"{where} cannot be written to: {error.strerror or error}", path=path) from error
    finally:
        with suppress(OSError):
            draft.unlink()


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
