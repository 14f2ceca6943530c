"""Lines of a text file, plain or gzipped, a block at a time, with their numbers."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import NoReturn

from aasist.errors import ProtocolError

GZIP = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"
MOST_LINE_BYTES = 1 << 22
"""4 MiB: the windows of a ten-hour recording are a line of one; nothing else comes near."""
_BLOCK_BYTES = 1 << 22

StrPath = str | os.PathLike[str]


def read_blocks(path: StrPath) -> Iterator[tuple[int, list[str]]]:
    """Number of the first line, counted from 1, and the lines of each block of a file; blank lines are among them.

    UTF-8 with or without a byte order mark; lines end in LF or CRLF. Raises `ProtocolError` with the line for what is
    not UTF-8 text or longer than `MOST_LINE_BYTES`, and without one for a file that is missing, empty or damaged.
    """
    first, waiting = 1, b""
    with opened(path) as stream:
        while True:
            block = stream.read(_BLOCK_BYTES)
            if first == 1 and not waiting:
                block = block.removeprefix(BOM)
            whole, newline, rest = block.rpartition(b"\n")
            if block and not newline:
                waiting += rest
                _bounded(waiting, path, first)
                continue
            text = waiting + whole
            if not block:
                if waiting:
                    yield first, _lines(waiting, path, first)
                elif first == 1:
                    raise ProtocolError("the file is empty", path=path)
                return
            waiting = rest
            lines = _lines(text, path, first)
            yield first, lines
            first += len(lines)


def first_line(path: StrPath) -> tuple[int, str]:
    """The first line that is not blank, and its number; `ProtocolError` when there is none."""
    for first, lines in read_blocks(path):
        for number, line in enumerate(lines, first):
            if line.strip():
                return number, line
    raise ProtocolError("the file holds blank lines only", path=path)


def shown(text: str) -> str:
    """``text`` in quotes for an error, cut to 60 characters."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


@contextmanager
def opened(path: StrPath) -> Iterator[BufferedIOBase]:
    """A file as bytes, unpacked where it is gzipped whatever its name; what goes wrong is a `ProtocolError`."""
    try:
        if stat.S_ISFIFO(Path(path).stat().st_mode):
            # It would look empty the second time; and one without a writer would be waited for.
            raise ProtocolError("a pipe can be read once, and this is read twice: save it to a file first", path=path)
        with open(path, "rb") as file:
            if file.peek(2)[:2] == GZIP:
                with gzip.open(file) as unpacked:
                    yield unpacked
            else:
                yield file
    except OSError as error:
        _refuse(path, error)
    except (EOFError, zlib.error) as error:
        raise ProtocolError("the gzip stream is damaged or cut short: fetch the file again", path=path) from error


def _refuse(path: StrPath, error: OSError) -> NoReturn:
    if isinstance(error, FileNotFoundError):
        raise ProtocolError("no such file", path=path, code="not_found") from None
    if isinstance(error, IsADirectoryError):
        raise ProtocolError("expected a file, got a folder", path=path) from None
    if isinstance(error, gzip.BadGzipFile):
        raise ProtocolError("the gzip stream is damaged: fetch the file again", path=path) from error
    raise ProtocolError(f"cannot be read: {error.strerror or error}", path=path) from error


def _bounded(line: bytes | str, path: StrPath, number: int) -> None:
    if len(line) > MOST_LINE_BYTES:
        raise ProtocolError(
            f"the line is longer than {MOST_LINE_BYTES >> 20} MiB: not a file of trials or scores",
            path=path,
            line=number,
        )


def _lines(data: bytes, path: StrPath, first: int) -> list[str]:
    if b"\0" in data:
        number = first + data.count(b"\n", 0, data.index(b"\0"))
        raise ProtocolError("expected UTF-8 text, got binary data or UTF-16", path=path, line=number)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        number = first + data.count(b"\n", 0, error.start)
        raise ProtocolError(
            f"expected UTF-8 text, got the byte 0x{data[error.start]:02x}: save the file as UTF-8",
            path=path,
            line=number,
        ) from error
    lines = text.replace("\r\n", "\n").removesuffix("\r").split("\n")
    if max(map(len, lines)) > MOST_LINE_BYTES:
        for number, line in enumerate(lines, first):
            _bounded(line, path, number)
    return lines
