"""Decoding through FFmpeg (PyAV) what libsndfile refuses: m4a, webm, amr, 3gp, wma, the audio track of a video."""

import functools
import re
from collections.abc import Iterator
from typing import Any, NoReturn, cast

import av
import av.error
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.packet import Packet
from numpy.typing import NDArray

from aasist.audio.decode import PIECE_FRAMES, GuardedFile, Piece, Refused, check_channels
from aasist.audio.ogg import ends_stream
from aasist.errors import AudioError
from aasist.session import Float32

FORMATS = (
    "3gp,aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,gsm,loas,matroska,mov,mp3,mpc,mpc8,"
    "mpeg,mpegts,mxf,nut,ogg,oma,qcp,rm,tak,truehd,tta,voc,w64,wav,webm,wtv,wv,xwma"
)
"""Demuxers that may open a file. Left out: whatever reads another file or the network (hls, dash, concat, sdp, rtsp,
image sequences, devices), raw formats that fit any bytes, and game formats nobody records in."""

_HEAD_BYTES = 4_096
"""An MP3's first frame is shorter, wherever in it the count of frames stands."""

_FRAME_COUNT = re.compile(rb"(?:Xing|Info)\0{3}[\x01\x03\x05\x07\x09\x0b\x0d\x0f](?!\0{4})")
"""The tag in an MP3's first frame whose flags say that it counts the frames, and a count that is not the 0 of a writer
who could not come back."""

_TRUSTED_DURATIONS = ("mov", "matroska", "asf", "wav", "ogg", "flac")
"""Demuxers whose duration is written in the file; others guess it from the bit rate."""

_FULL_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "flt": 1.0, "dbl": 1.0}
_FULL_SCALE |= {f"{name}p": scale for name, scale in _FULL_SCALE.items()}
"""Sample formats, packed and planar, that PyAV hands to NumPy."""

_MAX_PLANES = 7
"""PyAV 18 counts the planes of a frame up to a null pointer that is only there below 8 channels: it reads past the
end and crashes on sound 7.1 audio. Frames with more are packed into one plane first."""

_FEWEST_BYTES_PER_SECOND = 100
"""AAC spends 280 bytes on a second of silence and AMR 600 on speech: a file below this does not last as it says."""

_AMR_PAUSES = {"amrnb": (8, 15), "amrwb": (9, 14, 15), "libopencore_amrnb": (8, 15), "libopencore_amrwb": (9, 14, 15)}
"""Frame types that a telephone sends in pauses instead of speech (comfort noise, speech lost, no data; 3GPP TS 26.101 and
26.201): FFmpeg's decoders refuse them, and a pause is what they stand for."""

_AMR_FRAMES_PER_SECOND = 50

_LOST_FRACTION = 0.01
"""Packets that may fail to decode before the file counts as damaged: the first one often does after a cut."""


@functools.cache
def _audio_decoders() -> str:
    """Every audio decoder in this build. With only these allowed, no video or subtitle decoder is run on the file."""
    names = []
    for name in av.codecs_available:
        try:
            if av.Codec(name, "r").type == "audio":
                names.append(name)
        except ValueError:  # an encoder only
            continue
    return ",".join(sorted(names))


def _refuse_open(*_: object) -> NoReturn:
    raise Refused("it refers to another file")


class ContainerDecoder:
    """Pieces of the best audio track of one file through FFmpeg."""

    def __init__(self, file: GuardedFile) -> None:
        """Raises `Refused` when FFmpeg does not know the format, `AudioError` ``no_audio`` without an audio track."""
        self._guard = file
        self.damaged = False
        self._repacker: tuple[tuple[str, int, str, int], av.AudioResampler] | None = None
        file.seek(0)
        try:
            opened = av.open(
                file,
                "r",
                container_options={
                    "format_whitelist": FORMATS,
                    "codec_whitelist": _audio_decoders(),
                    "protocol_whitelist": "none",
                },
                metadata_errors="replace",
                timeout=file.clock.floor_seconds,
                io_open=_refuse_open,
            )
        except Exception as error:  # beside FFmpegError PyAV raises anything from ValueError to MemoryError
            file.raise_if_failed()
            if isinstance(error, av.error.ExitError):  # FFmpeg's own clock
                raise file.clock.timeout() from None
            raise Refused(_reason(error)) from None
        self._input = opened
        try:
            track = self._input.streams.best("audio")
            if track is None:
                kinds = sorted({stream.type for stream in self._input.streams})
                if "audio" in kinds:
                    raise Refused("no decoder for its audio track")
                raise AudioError("no_audio", f"the file holds no audio track, only {', '.join(kinds) or 'a header'}")
            self._track = cast(AudioStream, track)
            check_channels(max(self._track.codec_context.channels, 1))  # 0: not known before a frame is decoded
            self._track.codec_context.thread_count = 1
            self.container = self._input.format.name.split(",")[0]
            self.codec = self._track.codec_context.name
            self.promised_seconds = self._promised_seconds()
        except (AudioError, Refused):
            self.close()
            raise
        except Exception as error:  # as above
            self.close()
            raise Refused(_reason(error)) from None

    def _promised_seconds(self) -> float | None:
        if self.container not in _TRUSTED_DURATIONS and not (self.container == "mp3" and self._has_frame_count()):
            return None
        track = self._track
        if track.duration and track.time_base:
            return float(track.duration * track.time_base)
        only_audio = all(other.type == "audio" for other in self._input.streams)
        return self._input.duration / av.time_base if self._input.duration and only_audio else None

    def _has_frame_count(self) -> bool:
        """Whether the first frame of an MP3 says how many there are; without it FFmpeg guesses from the bit rate."""
        position = self._guard.tell()
        self._guard.seek(0)
        head = self._guard.read(_HEAD_BYTES)
        if head.startswith(b"ID3") and len(head) >= 10:  # the tag's size: four times seven bits
            size = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
            self._guard.seek(size)
            head = self._guard.read(_HEAD_BYTES)
        self._guard.seek(position)
        return _FRAME_COUNT.search(head) is not None

    def pieces(self) -> Iterator[Piece]:
        """Pieces until the end; packets that fail are skipped and, beyond a few, set ``damaged``.

        FFmpeg's frames are short (20 ms): they are gathered, as each piece costs the reader a fixed amount.
        """
        gathered: list[Float32] = []
        frames, key = 0, (0, 0)
        for samples, rate in self._frames():
            if gathered and (key != (rate, samples.shape[1]) or frames >= PIECE_FRAMES):
                yield Piece(np.concatenate(gathered), key[0])
                gathered, frames = [], 0
            key = (rate, samples.shape[1])
            gathered.append(samples)
            frames += len(samples)
        if gathered:
            yield Piece(np.concatenate(gathered), key[0])

    def _frames(self) -> Iterator[tuple[Float32, int]]:
        packets = lost = 0
        demuxed = self._input.demux(self._track)
        while True:
            self._guard.raise_if_failed()
            try:
                packet = next(demuxed)
            except StopIteration:
                break
            except av.error.ExitError:
                raise self._guard.clock.timeout() from None
            except Exception:  # as above
                self.damaged = True
                break
            packets += 1
            try:
                decoded = [(self._as_float(frame), frame.sample_rate) for frame in packet.decode()]
            except Exception:  # as above
                if (pause := self._amr_pause(packet)) is not None:
                    yield pause
                else:
                    lost += 1
                continue
            yield from ((samples, rate) for samples, rate in decoded if len(samples))
        self._guard.raise_if_failed()
        cut = self.container == "ogg" and not ends_stream(self._guard)
        self.damaged = self.damaged or cut or lost > max(1.0, _LOST_FRACTION * packets)

    def _amr_pause(self, packet: "Packet[AudioStream]") -> tuple[Float32, int] | None:
        """The silence that a frame of a pause stands for; None for any other packet."""
        kinds = _AMR_PAUSES.get(self.codec)
        if kinds is None or packet.size < 1 or bytes(packet)[0] >> 3 & 0xF not in kinds:
            return None
        context = self._track.codec_context
        rate = context.sample_rate
        return np.zeros((rate // _AMR_FRAMES_PER_SECOND, max(context.channels, 1)), np.float32), rate

    def reaches(self, seconds: float) -> bool:
        """Whether the header promises more than ``seconds`` and the file is large enough for its promise."""
        promised = self.promised_seconds or 0.0
        return promised > seconds and self._guard.size_bytes > promised * _FEWEST_BYTES_PER_SECOND

    def _as_float(self, frame: AudioFrame) -> Float32:
        """One decoded frame -> (n, C) float32, full scale 1."""
        channels = frame.layout.nb_channels
        check_channels(channels)  # a flipped bit in a packet can claim 60
        if channels > _MAX_PLANES or frame.format.name not in _FULL_SCALE:
            return self._repacked(frame, channels)
        data: NDArray[Any] = frame.to_ndarray()
        data = data.T if frame.format.is_planar else data.reshape(-1, channels)
        full_scale = _FULL_SCALE[frame.format.name]
        if full_scale == 1.0:
            return np.ascontiguousarray(data, dtype=np.float32)
        zero = 128 if data.dtype.kind == "u" else 0
        return np.asarray((data.astype(np.float32) - zero) / np.float32(full_scale), dtype=np.float32)

    def _repacked(self, frame: AudioFrame, channels: int) -> Float32:
        key = (frame.layout.name, channels, frame.format.name, frame.sample_rate)
        if self._repacker is None or self._repacker[0] != key:
            self._repacker = key, av.AudioResampler(format="flt")
        parts = [part.to_ndarray().reshape(-1, channels) for part in self._repacker[1].resample(frame)]
        return np.concatenate([np.zeros((0, channels), np.float32), *parts])

    def close(self) -> None:
        """Free FFmpeg's state; the file itself belongs to the caller."""
        self._input.close()


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split()).rstrip(".") or type(error).__name__
