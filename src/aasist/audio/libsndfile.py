"""Decoding through libsndfile: wav, flac, ogg, aiff, au, nist and its other formats; not mp3 and caf."""

import re
from collections.abc import Iterator

import numpy as np
import soundfile

from aasist.audio.decode import PIECE_FRAMES, GuardedFile, Piece, Refused
from aasist.audio.ogg import ends_stream

_READ_FRAMES = 2_048
"""Frames asked for at once: an error in the data loses the rest of one request, so requests are small."""

_CLAIM = re.compile(r"^\s*(?:data|SSND|Data Size)\s*:\s*(\d+) \(should be (\d+)\)", re.MULTILINE)
_LOUD_STARTS = (b"ID3", b"caff", b"\xf0\x7e")
"""First bytes of the formats whose flaws libsndfile prints: mp3 (as are bare MPEG frames) to stderr, ALAC in caf and
MIDI sample dumps to stdout, among our results. FFmpeg reads the first two in silence."""

_UNKNOWN_SIZES = (2**31, 2**32)
"""A writer that cannot seek back (a pipe) leaves a size near one of these: it promises nothing."""


class _ForwardFile(soundfile.SoundFile):  # type: ignore[misc]  # the library has no types
    """A `SoundFile` that never seeks: after each read the parent seeks to where it already is, which makes compressed
    formats decode again and fail at the first damage."""

    def seekable(self) -> bool:
        return False


class LibsndfileDecoder:
    """Pieces of one file through libsndfile."""

    def __init__(self, file: GuardedFile) -> None:
        """Raises `Refused` when libsndfile does not know the format."""
        self._guard = file
        file.seek(0)
        head = file.read(4)
        if head.startswith(_LOUD_STARTS) or (head[:1] == b"\xff" and head[1:2] >= b"\xe0"):
            raise Refused("this format is left to FFmpeg")
        file.seek(0)
        try:
            self._file = _ForwardFile(file)
        except (soundfile.SoundFileError, ValueError, TypeError, OSError) as error:
            raise Refused(_reason(error)) from None
        self.container = self._file.format.lower()
        self.codec = self._file.subtype.lower()
        self.rate = self._file.samplerate
        self.channels = self._file.channels
        self.promised_seconds = self._promised_seconds()
        self.damaged = False

    def _promised_seconds(self) -> float | None:
        """The header's claim. libsndfile corrects the sizes of uncompressed data silently: its log keeps the claim."""
        frames = float(self._file.frames)
        if claim := _CLAIM.search(self._file.extra_info):
            claimed_bytes, real_bytes = int(claim[1]), int(claim[2])
            if any(abs(claimed_bytes - unknown) < 2**16 for unknown in _UNKNOWN_SIZES):
                return None
            frames *= claimed_bytes / max(real_bytes, 1)
        return frames / self.rate if 0 < frames < 2**62 and self.rate > 0 else None

    def pieces(self) -> Iterator[Piece]:
        """Pieces until the end of the data, or until its first error, which sets ``damaged``."""
        while not self.damaged:
            block = np.empty((PIECE_FRAMES, self.channels), np.float32)
            filled = 0
            while filled < PIECE_FRAMES and not self.damaged:
                try:
                    read = len(self._file.read(out=block[filled : filled + _READ_FRAMES], always_2d=True))
                except soundfile.SoundFileError:
                    self.damaged = True
                    break
                filled += read
                if read == 0:
                    break
            self._guard.raise_if_failed()
            if filled == 0:
                self.damaged = self.damaged or (self.container == "ogg" and not ends_stream(self._guard))
                return
            yield Piece(block[:filled], self.rate)

    def reaches(self, seconds: float) -> bool:
        """Whether a frame can be decoded beyond ``seconds``: looked up with a second decoder, as a failed seek spoils
        one."""
        frame = int(seconds * self.rate) + 1
        if self._file.frames <= frame:
            return False
        position = self._guard.tell()
        self._guard.seek(0)
        try:
            with _ForwardFile(self._guard) as probe:
                probe.seek(frame)
                return len(probe.read(1)) > 0
        except (soundfile.SoundFileError, ValueError, OSError):
            return False
        finally:
            self._guard.seek(position)

    def close(self) -> None:
        """Free libsndfile's state; the file itself belongs to the caller."""
        self._file.close()


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", None) or str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__
