"""A request's body into a file: a form's field ``file``, or the body itself; bounded in bytes and in time."""

from __future__ import annotations

import asyncio
import errno
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import BinaryIO

import anyio.to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from aasist.errors import one_line
from aasist.service.parameters import unknown
from aasist.service.problems import Problem, busy
from aasist.service.settings import Settings

FORM_BYTES = 65_536
"""Of a form beside the file: names, boundaries, small fields."""

FIELD_BYTES, MAX_PARTS = 4_096, 16

WRITE_BYTES = 1 << 20
"""Gathered before they are written, by another thread: a slow disk must not stop the others."""

RAW_TYPES = re.compile(r"(audio|video)/[\w.+-]+|application/(octet-stream|ogg|mp4|x-flac)", re.ASCII)


@dataclass
class Upload:
    """What came: a name without folders, or none; the bytes of the file; a form's other fields."""

    name: str | None = None
    size_bytes: int = 0
    fields: dict[str, str] = field(default_factory=dict)


async def receive(
    request: Request,
    file: BinaryIO,
    *,
    max_bytes: int,
    settings: Settings,
    take: Callable[[int], None],
    fields: tuple[str, ...] = (),
) -> Upload:
    """Write the recording that ``request`` brings into ``file``, and say what came.

    ``take`` is told of bytes before they are written, ``fields`` are what a form may have beside the file. `Problem` 413 beyond
    ``max_bytes``, 415 for what is no recording, 400 for a form that is broken or has another field, 408 for a sender that is too
    slow, and what ``take`` raises.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    form = kind == b"multipart/form-data"
    if request.headers.get("content-encoding", "identity") != "identity":
        raise Problem(415, "content_encoding", "send the recording as it is, without Content-Encoding")
    if not form and kind and not RAW_TYPES.fullmatch(kind.decode("latin-1")):
        raise Problem(
            415,
            "content_type",
            "send a form with the recording in its field 'file', or the recording itself as application/octet-stream, "
            "audio/* or video/*",
        )
    most = max_bytes + (FORM_BYTES if form else 0)
    _refuse_length(request, most, max_bytes)
    sink = _Sink(file, max_bytes)
    parser = _Form(options.get(b"boundary"), sink, fields) if form else None
    upload = parser.upload if parser else Upload()
    received = 0
    async for chunk in _paced(request, settings):
        received += len(chunk)
        if received > most:
            raise _too_large(max_bytes)
        take(len(chunk))
        if parser:
            parser.write(chunk)
        else:
            sink.write(chunk)
        if len(sink.waiting) >= WRITE_BYTES:
            await anyio.to_thread.run_sync(sink.flush)
    if parser:
        parser.finish()
    sink.flush()
    upload.size_bytes = sink.size_bytes
    return upload


def base_name(name: str) -> str | None:
    """A file's name as a client tells it -> its last part, printable, at most 255 characters; None where nothing is left."""
    last = re.split(r"[\\/]", name)[-1]
    kept = "".join(sign for sign in last if sign.isprintable() and not 0xD800 <= ord(sign) < 0xE000)[:255].strip()
    return None if kept in ("", ".", "..") else kept


async def _paced(request: Request, settings: Settings) -> AsyncIterator[bytes]:
    """The chunks of the body; the sender has so long, and longer by what it has sent."""
    begun, received = time.monotonic(), 0
    stream = aiter(request.stream())
    while True:
        until = begun + settings.upload_floor_seconds + received / settings.upload_bytes_per_second
        try:
            async with asyncio.timeout(until - time.monotonic()):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Problem(
                408, "slow_upload", "the upload came too slowly; send it over a better line, or compress it"
            ) from None
        received += len(chunk)
        yield chunk


def _refuse_length(request: Request, most: int, max_bytes: int) -> None:
    """Before any of the body is read, where its length is told."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > most:
        raise _too_large(max_bytes)


def _too_large(max_bytes: int) -> Problem:
    return Problem(413, "too_large", f"the upload is larger than the limit of {max_bytes:,} bytes; cut or compress it")


class _Sink:
    """Bytes on their way into the file."""

    def __init__(self, file: BinaryIO, max_bytes: int) -> None:
        self._file, self._max_bytes = file, max_bytes
        self.waiting = bytearray()
        self.size_bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        self.size_bytes += len(data)
        if self.size_bytes > self._max_bytes:
            raise _too_large(self._max_bytes)
        self.waiting += data

    def flush(self) -> None:
        try:
            self._file.write(self.waiting)
            self._file.flush()
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise busy("there is no room on the disk for the upload", retry_after=60, code="storage") from None
        self.waiting = bytearray()


class _Form:
    """A form that is read as it comes: its field ``file`` goes to the sink, small fields are kept."""

    def __init__(self, boundary: bytes | None, sink: _Sink, fields: tuple[str, ...]) -> None:
        self.upload = Upload()
        self._fields = fields
        self._sink, self._parts, self._ended = sink, 0, False
        self._name, self._value = "", bytearray()
        self._header, self._header_value = bytearray(), bytearray()
        self._disposition = b""
        self._found = False
        try:
            self._parser = MultipartParser(
                boundary or b"",
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._on_header,
                    "on_header_value": self._on_header_value,
                    "on_header_end": self._on_header_end,
                    "on_headers_finished": self._on_headers,
                    "on_part_data": self._on_data,
                    "on_part_end": self._on_part_end,
                    "on_end": self._on_end,
                },
            )
        except FormParserError:
            raise _broken("its boundary is too long") from None
        if not boundary:
            raise _broken("Content-Type names no boundary")

    def write(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise _broken("it does not keep to its own boundary") from None

    def finish(self) -> None:
        if not self._ended:
            raise _broken("it is cut off")
        if not self._found:
            raise Problem(400, "missing_file", "the form has no field 'file': curl -F file=@recording.wav")

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise _broken(f"it has more than {MAX_PARTS} fields")
        self._name, self._value, self._disposition = "", bytearray(), b""
        self._header, self._header_value = bytearray(), bytearray()

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header, self._header_value = bytearray(), bytearray()

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options and self._name != "file":
            found = one_line(repr(self._name), 40)
            raise Problem(
                400, "missing_file", f"the recording must be in the form's field 'file', a file came in {found}"
            )
        if self._name == "file":
            if self._found:
                raise _broken("it has more than one field 'file'; send one recording a request")
            self._found = True
            self.upload.name = base_name(options.get(b"filename", b"").decode("utf-8", "replace"))
        elif self._name not in self._fields:
            raise Problem(400, "invalid_form", unknown("field", self._name, ("file", *self._fields)))

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._name == "file":
            self._sink.write(memoryview(data)[start:end])
        elif len(self._value) + end - start > FIELD_BYTES:
            raise _broken(f"a field beside the file is longer than {FIELD_BYTES:,} bytes")
        else:
            self._value += data[start:end]

    def _on_part_end(self) -> None:
        if self._name != "file":
            self.upload.fields[self._name] = self._value.decode("utf-8", "replace")

    def _on_end(self) -> None:
        self._ended = True


def _broken(why: str) -> Problem:
    return Problem(400, "invalid_form", f"the form cannot be read: {why}")
