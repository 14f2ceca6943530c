"""Bytes of PCM that come in pieces, with or without a WAV header in front, to samples."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import BinaryIO

import numpy as np

from aasist.audio.decode import check_channels
from aasist.errors import AudioError
from aasist.session import Float32

MOST_HEADER_BYTES = 1 << 20
"""Of a WAV header before its samples: a chunk of text that is longer is no header of a stream."""

_UNKNOWN_SIZES = (0, 0x7FFFFFFF, 0xFFFFFFFF)
"""What programs write as the size of a WAV that they cannot know the end of."""


def _of_integers(kind: str, scale: float) -> Callable[[bytes], Float32]:
    return lambda data: np.frombuffer(data, kind).astype(np.float32) / np.float32(scale)


def _of_24_bits(data: bytes) -> Float32:
    wide = np.zeros((len(data) // 3, 4), np.uint8)
    wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
    return wide.view("<i4")[:, 0].astype(np.float32) / np.float32(2**31)


def _of_bytes(data: bytes) -> Float32:
    return (np.frombuffer(data, np.uint8).astype(np.float32) - np.float32(128)) / np.float32(128)


def _mulaw() -> Float32:
    """ITU-T G.711: the 256 values, full scale 1 at 32,768."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    size = ((mantissa << 3) + 132 << exponent) - 132
    return (np.where(code & 0x80, -size, size) / 32_768).astype(np.float32)


def _alaw() -> Float32:
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = (code >> 4 & 7).astype(np.int32), (code & 15).astype(np.int32)
    size = np.where(exponent, (mantissa << 4) + 264 << np.maximum(exponent - 1, 0), (mantissa << 4) + 8)
    return (np.where(code & 0x80, size, -size) / 32_768).astype(np.float32)


def _by_table(values: Float32) -> Callable[[bytes], Float32]:
    return lambda data: values[np.frombuffer(data, np.uint8)]


def _of_floats(kind: str) -> Callable[[bytes], Float32]:
    return lambda data: np.frombuffer(data, kind).astype(np.float32)


ENCODINGS: dict[str, tuple[int, Callable[[bytes], Float32]]] = {
    "pcm16": (2, _of_integers("<i2", 2.0**15)),
    "pcm24": (3, _of_24_bits),
    "pcm32": (4, _of_integers("<i4", 2.0**31)),
    "pcm8": (1, _of_bytes),
    "float32": (4, _of_floats("<f4")),
    "float64": (8, _of_floats("<f8")),
    "mulaw": (1, _by_table(_mulaw())),
    "alaw": (1, _by_table(_alaw())),
}
"""Name -> bytes a sample, and bytes -> samples at full scale 1; least byte first, ``pcm8`` with 128 as zero."""


_WAV_START = 12
"""Bytes by which a WAV is known: a name, a size, a name."""
_WAV_NAMES = (b"RIFF", b"RF64")
_NO_WAV = (
    "of raw PCM, say how it is coded (--sample-rate, --encoding); anything else goes through "
    "ffmpeg -i ... -f wav - | aasist stream -"
)


class PcmDecoder:
    """Raw PCM in pieces of any number of bytes."""

    def __init__(self, encoding: str, channels: int = 1) -> None:
        """``encoding`` of `ENCODINGS`; ``channels`` interleaved. Raises `AudioError` ``unreadable`` or ``channels``."""
        if encoding not in ENCODINGS:
            raise AudioError("unreadable", f"the encoding must be one of {', '.join(ENCODINGS)}, got {encoding!r}")
        check_channels(channels)
        width, self._decode = ENCODINGS[encoding]
        self._channels, self._frame_bytes = channels, width * channels
        self._rest = b""
        self._start = b""

    def push(self, data: bytes) -> Float32:
        """Bytes -> the frames (n, C) that are whole by now; a part of one waits.

        Raises `AudioError` ``unreadable`` for what begins with a WAV header: taken for samples it would be judged at a rate that
        it need not have.
        """
        if len(self._start) < _WAV_START:
            self._start += data[: _WAV_START - len(self._start)]
            if self._start[:4] in _WAV_NAMES and self._start[8:] == b"WAVE":
                raise AudioError(
                    "unreadable",
                    "raw PCM was announced and WAV came: leave out sample rate and encoding where a WAV is taken, or send raw "
                    "samples (ffmpeg -f s16le)",
                )
        data = self._rest + data
        whole = len(data) - len(data) % self._frame_bytes
        self._rest = data[whole:]
        return self._decode(data[:whole]).reshape(-1, self._channels)


class WavHeader:
    """What stands before the samples of a WAV that is read once, from its start."""

    def __init__(self, file: BinaryIO) -> None:
        """Reads up to the first sample. Raises `AudioError` ``empty`` or ``unreadable``."""
        self._file, self._read_bytes = file, 0
        start = self._read(_WAV_START, f"ends before a WAV header could be read; {_NO_WAV}")
        if start[:4] not in _WAV_NAMES or start[8:] != b"WAVE":
            raise AudioError("unreadable", f"the stream begins with {start[:4]!r}, which is no WAV header; {_NO_WAV}")
        form = b""
        while True:
            name, size = struct.unpack("<4sI", self._read(8, "ends within its WAV header"))
            if name == b"data":
                break
            content = self._read(size + size % 2, "ends within its WAV header")
            if name == b"fmt ":
                form = content
        if len(form) < 16:
            raise AudioError("unreadable", "the WAV header does not say how its samples are coded")
        self.bytes: int | None = None if size in _UNKNOWN_SIZES or start[:4] == b"RF64" else size
        """Of samples; None where the header cannot know."""
        kind, self.channels, self.sample_rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
        if kind == 0xFFFE and len(form) >= 26:  # extensible: the kind stands at the head of a GUID
            (kind,) = struct.unpack_from("<H", form, 24)
        self.encoding = self._encoding(kind, bits)

    @staticmethod
    def _encoding(kind: int, bits: int) -> str:
        name = {1: f"pcm{bits}", 3: f"float{bits}", 6: "alaw", 7: "mulaw"}.get(kind, f"of kind {kind}")
        if name not in ENCODINGS:
            raise AudioError(
                "unreadable",
                f"samples {name} cannot be read from a stream, only {', '.join(ENCODINGS)}: convert it (ffmpeg -f wav -)",
            )
        return name

    def _read(self, size: int, complaint: str) -> bytes:
        self._read_bytes += size
        if self._read_bytes > MOST_HEADER_BYTES:
            raise AudioError("unreadable", f"the WAV header is longer than {MOST_HEADER_BYTES:,} bytes")
        data = b""
        while len(data) < size:  # a pipe gives what it has
            part = self._file.read(size - len(data))
            if not part:
                if self._read_bytes == size and not data:
                    raise AudioError("empty", "the stream is empty (0 bytes)")
                raise AudioError("unreadable", f"the stream {complaint}")
            data += part
        return data
