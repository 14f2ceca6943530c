"""What every decoder keeps to: the limits, the clock that stops it, and the guarded file it reads from."""

import io
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import BinaryIO, NamedTuple, Protocol, Self

from aasist.errors import AudioError
from aasist.session import Float32

MAX_CHANNELS = 32

PIECE_FRAMES = 16_384
"""Frames a decoder gathers before it hands them on: 0.09 s at 192 kHz to 4 s at 4 kHz, 2 MB at 32 channels."""

FLOOR_SECONDS = 3.0
"""Decode time that every file gets, however small: a broken 30 kB file is given up after this."""

MIN_SECONDS = 0.5
"""Audio that a verdict needs at the least; how much of it is speech is judged later."""

SLOWEST_SPEED = 10.0
"""Times real time below which a decoder counts as stuck; the slowest (HE-AAC on a busy core) does about 100."""

SLOWEST_BYTES_PER_SECOND = 5e6
"""A video holds far more bytes than audio: reading past them earns time too, once for every byte of the file."""


@dataclass(frozen=True)
class ReadLimits:
    """How much of a recording is read before it is refused.

    ``max_bytes``: size of the file. ``max_seconds``: decoded audio. ``max_decode_seconds``: time spent inside the
    decoders (wall clock; the time a consumer takes between two blocks does not count). Within that cap a file earns
    its time: ``floor_seconds`` plus a share for each second decoded and each byte read, so that small broken files
    fail fast and long sound ones are not cut off. Less audio than ``min_seconds`` is too short.
    """

    max_bytes: int = 4 * 2**30
    max_seconds: float = 43_200.0
    max_decode_seconds: float = 1_800.0
    floor_seconds: float = FLOOR_SECONDS
    min_seconds: float = MIN_SECONDS


class Refused(Exception):
    """This decoder cannot read this file; another one might. Never leaves the room."""


class Piece(NamedTuple):
    """Decoded frames (n, C) float32, full scale 1, and the rate in Hz that they were sampled at."""

    samples: Float32
    rate: int


class Decoder(Protocol):
    """Turns one guarded file into pieces, in order."""

    container: str
    """Short name of the file format, in lower case: ``wav``, ``flac``, ``mov``, ``array``."""

    codec: str
    """Short name of the coding inside it: ``pcm_16``, ``aac``."""

    promised_seconds: float | None
    """Duration that the header claims; None when it claims nothing that can be trusted. Only ever compared with
    what was decoded, never used to allocate."""

    damaged: bool
    """Set once part of the data could not be decoded."""

    def pieces(self) -> Iterator[Piece]:
        """Pieces until the end of the data; raises `Refused` when nothing can be decoded any more."""
        ...

    def reaches(self, seconds: float) -> bool:
        """Whether there plainly is audio beyond ``seconds``, so that reading that far can be spared. False where only
        decoding can tell; a header's word alone is not enough."""
        ...

    def close(self) -> None: ...


def check_channels(channels: int) -> None:
    """Raise `AudioError` ``channels`` for a count that no recording of speech has."""
    if not 1 <= channels <= MAX_CHANNELS:
        raise AudioError("channels", f"a recording may have 1 to {MAX_CHANNELS} channels, got {channels}")


class DecodeClock:
    """Stopwatch over the time spent inside decoders: runs within ``with clock:`` only."""

    def __init__(self, limits: ReadLimits, size_bytes: int) -> None:
        self._cap_seconds, self.floor_seconds = limits.max_decode_seconds, limits.floor_seconds
        self._size_bytes = size_bytes
        self._spent_seconds = 0.0
        self._since: float | None = None
        self.decoded_seconds = 0.0
        self.read_bytes = 0

    def __enter__(self) -> Self:
        self._since = time.monotonic()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spent_seconds, self._since = self.spent_seconds, None

    @property
    def spent_seconds(self) -> float:
        """Time inside decoders so far."""
        return self._spent_seconds + (0.0 if self._since is None else time.monotonic() - self._since)

    @property
    def left_seconds(self) -> float:
        """Time left before the file is given up; negative when it is over."""
        # Bytes read again and again earn nothing: a demuxer that loops would buy its own time.
        fresh_bytes = min(self.read_bytes, self._size_bytes)
        earned = self.floor_seconds + self.decoded_seconds / SLOWEST_SPEED + fresh_bytes / SLOWEST_BYTES_PER_SECOND
        return min(self._cap_seconds, earned) - self.spent_seconds

    def check(self) -> None:
        """Raise `AudioError` ``timeout`` when the time is used up."""
        if self.left_seconds < 0:
            raise self.timeout()

    def timeout(self) -> AudioError:
        """The error for a file that takes too long."""
        return AudioError(
            "timeout",
            f"decoding was given up after {self.spent_seconds:.1f} s with {self.decoded_seconds:.1f} s of audio "
            "decoded; the file is probably damaged",
        )


class GuardedFile(io.RawIOBase):
    """A seekable binary file as the native decoders see it: no name, no path, and empty once the time is up.

    A decoder that loops inside native code cannot be interrupted, but nearly all of them loop over reads: these end.
    An `OSError` is kept for `raise_if_failed` rather than raised through foreign callbacks, which could only print it.
    """

    def __init__(self, file: BinaryIO, size_bytes: int, clock: DecodeClock) -> None:
        super().__init__()
        self._file = file
        self.clock = clock
        self._error: OSError | None = None
        self.size_bytes = size_bytes

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        if self._error is not None or self.clock.left_seconds < 0:
            return b""
        try:
            data = self._file.read(size)
        except OSError as error:
            self._error = error
            return b""
        self.clock.read_bytes += len(data)
        return data

    def readinto(self, buffer, /) -> int:  # type: ignore[no-untyped-def]  # a cffi buffer: no type to name
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        # Broken headers ask for places outside the file; to clamp them is what a file on disk does by reading nothing.
        origin = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self.size_bytes}[whence]
        return self._file.seek(min(max(origin + offset, 0), self.size_bytes))

    def tell(self) -> int:
        return self._file.tell()

    def raise_if_failed(self) -> None:
        """Raise what reading met but could not raise: a failed disk (its `OSError` is the cause) or the end of the decode
        time."""
        if self._error is not None:
            raise AudioError(
                "unreadable", f"reading the file failed: {self._error.strerror or self._error}"
            ) from self._error
        self.clock.check()
