"""What a recording can be given as (path, bytes, file object, samples), opened without trusting it."""

import errno
import io
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from aasist.audio.decode import MAX_CHANNELS, PIECE_FRAMES, Piece, ReadLimits
from aasist.errors import AudioError
from aasist.session import Float32

Source: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO | tuple[NDArray[Any], int]"
"""A path, the bytes of a file, a binary file object (a pipe too), or samples (N,) or (N, C) with their rate in Hz."""

SPOOL_BYTES = 64 * 2**20
"""A pipe is kept in memory up to this size, beyond it in a temporary file that has no name."""

_COPY_BYTES = 2**20

_SCALES = {np.dtype(np.int16): 2.0**15, np.dtype(np.int32): 2.0**31, np.dtype(np.uint8): 2.0**7}


def open_source(source: str | os.PathLike[str] | bytes | BinaryIO, limits: ReadLimits) -> tuple[BinaryIO, int, bool]:
    """Open what was given as a seekable binary file at its first byte: (file, size in bytes, whether ours to close).

    Raises `AudioError` ``not_found``, ``permission``, ``is_directory``, ``not_a_file``, ``empty``, ``too_large`` or
    ``unreadable``. A FIFO, a socket or a device given by path is refused unopened, so it cannot block.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _sized(io.BytesIO(source), limits, ours=True)
    if isinstance(source, str | os.PathLike):
        return _sized(_open_path(os.fspath(source)), limits, ours=True)
    given: object = source  # the types rule out what callers pass all the same
    if isinstance(given, io.TextIOBase):
        raise TypeError("a recording must be a file object opened in binary mode; this one gives text")
    if not hasattr(source, "read"):
        raise TypeError(
            f"a recording is a path, bytes, a binary file object or (samples, rate); got {type(source).__name__}"
        )
    if is_seekable(source):
        return _sized(source, limits, ours=False)
    return _sized(spool(source, limits), limits, ours=True)


def _open_path(path: str) -> BinaryIO:
    """Open a regular file. The checks are on the path first (opening a device may act on it), then on what was opened,
    for the path may have been exchanged in between."""
    try:
        _require_regular(Path(path).stat())
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        try:
            _require_regular(os.fstat(handle))
            return os.fdopen(handle, "rb")
        except BaseException:
            os.close(handle)
            raise
    except PermissionError:
        raise AudioError("permission", "no permission to read the file; check its owner and mode") from None
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a zero byte inside the path
        hint = ": addresses are not fetched, download it first" if "://" in path else ""
        raise AudioError("not_found", f"no such file{hint}") from None
    except OSError as error:
        code = "not_found" if error.errno in (errno.ELOOP, errno.ENAMETOOLONG) else "unreadable"
        raise AudioError(code, f"the file cannot be opened: {error.strerror or error}") from error


def _require_regular(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise AudioError("is_directory", "expected an audio file, got a folder")
    if not stat.S_ISREG(status.st_mode):
        raise AudioError(
            "not_a_file", "expected a regular file, got a pipe, socket or device; use standard input for it"
        )


def is_seekable(file: IO[bytes]) -> bool:
    """Whether a file object can be read from its start again."""
    try:
        return bool(file.seekable())
    except (AttributeError, ValueError):
        return False


def _sized(file: BinaryIO, limits: ReadLimits, *, ours: bool) -> tuple[BinaryIO, int, bool]:
    try:
        try:
            size_bytes = file.seek(0, os.SEEK_END)
            file.seek(0)
        except (OSError, ValueError) as error:
            raise AudioError("unreadable", f"the file cannot be read: {error}") from error
        if size_bytes == 0:
            raise AudioError("empty", "the file is empty (0 bytes)")
        if size_bytes > limits.max_bytes:
            raise too_large(limits)
    except AudioError:
        if ours:
            file.close()
        raise
    return file, size_bytes, ours


def too_large(limits: ReadLimits) -> AudioError:
    """The error for a file over the limit on bytes."""
    return AudioError(
        "too_large", f"the file is larger than the limit of {limits.max_bytes:,} bytes; cut or compress it"
    )


def spool(stream: BinaryIO, limits: ReadLimits) -> BinaryIO:
    """Copy a pipe to where it can be sought in: most formats cannot be decoded in one pass."""
    spool = tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES)  # noqa: SIM115  # the caller closes it
    copied = 0
    try:
        while data := stream.read(min(_COPY_BYTES, limits.max_bytes + 1 - copied)):
            if not isinstance(data, bytes):
                raise TypeError("a recording must be a file object opened in binary mode; this one gives text")
            copied += len(data)
            if copied > limits.max_bytes:
                raise too_large(limits)
            spool.write(data)
    except OSError as error:
        spool.close()
        raise AudioError("unreadable", f"reading the stream failed: {error.strerror or error}") from None
    except BaseException:
        spool.close()
        raise
    return cast(BinaryIO, spool)


def require_samples(samples: object) -> None:
    """Raise `AudioError` ``unreadable`` for what are no samples (N,) or (N, C) of a known type."""
    if not isinstance(samples, np.ndarray) or samples.ndim not in (1, 2):
        shape = f"an array of shape {samples.shape}" if isinstance(samples, np.ndarray) else type(samples).__name__
        raise AudioError("unreadable", f"samples must be a NumPy array of shape (N,) or (N, C), got {shape}")
    if samples.dtype not in _SCALES and samples.dtype.kind != "f":
        raise AudioError(
            "unreadable", f"samples must be float, int16, int32 or uint8 (128 = zero); got {samples.dtype}"
        )


def at_full_scale(samples: NDArray[Any]) -> Float32:
    """Samples of a known type -> float32; integers are scaled to full scale 1, floats kept."""
    scaled = samples.astype(np.float32)
    if scale := _SCALES.get(samples.dtype):
        scaled = (scaled - np.float32(128.0 if samples.dtype == np.uint8 else 0.0)) / np.float32(scale)
    return scaled


class ArrayDecoder:
    """Samples that are in memory already, handed on in pieces; integers are scaled to full scale 1, floats kept."""

    container = "array"
    promised_seconds: float | None = None
    damaged = False

    def __init__(self, *given: Any) -> None:
        """Samples (N,) or (N, C): int16, int32, uint8 (128 is zero), float16, float32 or float64; and their rate in Hz."""
        if len(given) != 2:
            raise TypeError(f"samples are given as (samples, rate), got {len(given)} things")
        samples, rate = given
        require_samples(samples)
        if not samples.size:
            raise AudioError("no_audio", f"samples must be (N,) or (N, C) and not empty, got shape {samples.shape}")
        if samples.ndim == 2 and samples.shape[1] > MAX_CHANNELS >= samples.shape[0]:
            raise AudioError("channels", f"samples must be (N, C), got {samples.shape}: transpose them")
        if isinstance(rate, bool) or not isinstance(rate, int | np.integer):
            raise AudioError("sample_rate", f"the sample rate must be a whole number of Hz, got {rate!r}")
        self.codec = str(samples.dtype)
        self._samples = samples.reshape(len(samples), -1)
        self._rate = int(rate)

    def pieces(self) -> Iterator[Piece]:
        """Pieces of `PIECE_FRAMES` frames."""
        for start in range(0, len(self._samples), PIECE_FRAMES):
            yield Piece(at_full_scale(self._samples[start : start + PIECE_FRAMES]), self._rate)

    def reaches(self, seconds: float) -> bool:
        """Whether there are samples beyond ``seconds``."""
        return len(self._samples) > seconds * self._rate

    def close(self) -> None:
        """Nothing to close."""
