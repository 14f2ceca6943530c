"""Channel codecs: samples encoded and decoded again, as a telephone, a messenger or a web page would have done."""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass
from typing import Any, cast

import av
import numpy as np
import soundfile
import soxr
from av.audio.stream import AudioStream

from aasist.errors import AasistError, AudioError
from aasist.session import SAMPLE_RATE, Float32

_FULL_SCALE = 2**15 - 1
"""Of 16-bit samples, for the encoders that take no others."""


class EncoderMissing(AasistError):
    """This installation cannot encode or decode with a codec; the message says what is missing."""

    def __init__(self, message: str) -> None:
        super().__init__("encoder_missing", message)


@dataclass(frozen=True)
class ChannelCodec:
    """A lossy coding at a rate and a bit rate.

    ``encoder`` and ``decoder`` are FFmpeg's names, ``container`` its muxer; or, with ``decoder`` None, ``encoder`` is a
    subtype of libsndfile, written to WAV. ``delay_samples`` (at ``rate_hz``) is what the container does not tell and
    the decoder does not cut off.
    """

    name: str
    encoder: str
    rate_hz: int
    decoder: str | None = None
    container: str = "wav"
    bits_per_second: int | None = None
    delay_samples: int = 0
    options: tuple[tuple[str, str], ...] = ()

    @property
    def library_version(self) -> str:
        """The library that codes and its version: another one may give other samples."""
        if self.decoder is None:
            return f"libsndfile {soundfile.__libsndfile_version__}"
        return "libavcodec " + ".".join(map(str, av.library_versions["libavcodec"]))


MU_LAW = ChannelCodec("mu-law", "ULAW", 8_000)
"""ITU-T G.711 mu-law, 64 kbit/s: the digital telephone network."""

GSM_FULL_RATE = ChannelCodec("GSM 06.10", "GSM610", 8_000)
"""ETSI GSM 06.10 full rate, 13 kbit/s."""


def amr_narrow_band(bits_per_second: int) -> ChannelCodec:
    """AMR-NB (3GPP TS 26.090) at one of its eight rates, 4,750 to 12,200 bit/s; it looks 5 ms ahead."""
    return ChannelCodec(
        "AMR-NB", "libopencore_amrnb", 8_000, "amrnb", "amr", bits_per_second=bits_per_second, delay_samples=40
    )


def mp3(bits_per_second: int) -> ChannelCodec:
    """MP3 by LAME at a constant rate. At 44.1 kHz, where the media sites code; the priming is in its Xing header."""
    return ChannelCodec("MP3", "libmp3lame", 44_100, "mp3", "mp3", bits_per_second=bits_per_second)


def aac(bits_per_second: int) -> ChannelCodec:
    """AAC-LC in MP4, whose edit list holds the priming. At 44.1 kHz: at 16 kHz AAC reaches 96 kbit/s and no more."""
    return ChannelCodec("AAC", "aac", 44_100, "aac", "ipod", bits_per_second=bits_per_second)


def opus(bits_per_second: int) -> ChannelCodec:
    """Opus (RFC 6716) in Ogg, tuned for speech as calls and voice messages are; at 48 kHz, which it decodes to."""
    options = (("application", "voip"),)
    return ChannelCodec("Opus", "libopus", 48_000, "opus", "ogg", bits_per_second=bits_per_second, options=options)


@functools.cache
def missing(codec: ChannelCodec) -> str | None:
    """Why ``codec`` cannot be used in this installation, or None: it can."""
    if codec.decoder is None:
        if codec.encoder in soundfile.available_subtypes("WAV"):
            return None
        return f"{codec.name} needs a libsndfile that writes {codec.encoder}; {codec.library_version} does not"
    for name, mode, does in ((codec.encoder, "w", "encoder"), (codec.decoder, "r", "decoder")):
        try:
            av.Codec(name, cast(Any, mode))
        except ValueError:  # UnknownCodecError is one
            return f"{codec.name} needs FFmpeg's {does} {name!r}, which this build of PyAV ({av.__version__}) lacks"
    if codec.container not in av.formats_available:
        return f"{codec.name} needs FFmpeg's container {codec.container!r}, which this build of PyAV lacks"
    return None


def coded(samples: Float32, codec: ChannelCodec) -> Float32:
    """Samples (N,) at 16 kHz -> (N,) at 16 kHz: resampled to the codec's rate, through it, and back, in time with the
    original to within 2 ms. Raises as `coded_at_rate` does."""
    if codec.rate_hz == SAMPLE_RATE:
        return coded_at_rate(samples, codec)
    return converted(coded_at_rate(converted(samples, SAMPLE_RATE, codec.rate_hz), codec), codec.rate_hz, fit=samples)


def coded_at_rate(samples: Float32, codec: ChannelCodec) -> Float32:
    """Samples (N,) at the codec's rate -> what its decoder gives (N,), the codec's delay cut off.

    Encoders take samples up to full scale: louder ones are clipped. So is what is decoded, as in 16 bits: decoders to
    float exceed full scale, that of AMR by up to 6 dB. Raises `EncoderMissing`, `AudioError` ``not_finite`` and, when
    the libraries fail, `AasistError` ``codec_failed``.
    """
    if (reason := missing(codec)) is not None:
        raise EncoderMissing(reason)
    if not np.isfinite(samples).all():
        raise AudioError("not_finite", f"{codec.name}: expected finite samples, got NaN or infinity among them")
    # Far beyond full scale LAME aborts the process, and libsndfile reads past its mu-law table.
    given = np.clip(samples, -1.0, 1.0).astype(np.float32)
    try:
        decoded = _through_ffmpeg(given, codec) if codec.decoder else _through_libsndfile(given, codec)
    except (av.FFmpegError, soundfile.SoundFileError, ValueError) as error:
        raise AasistError("codec_failed", f"{codec.name} could not code {len(samples)} samples: {error}") from error
    if not np.isfinite(decoded).all():
        raise AasistError("codec_failed", f"{codec.name} decoded {len(samples)} samples to values that are not finite")
    return fitted(np.clip(decoded[codec.delay_samples :], -1.0, 1.0), len(samples))


def converted(samples: Float32, from_hz: int, to_hz: int = SAMPLE_RATE, *, fit: Float32 | None = None) -> Float32:
    """Samples (N,) at ``from_hz`` -> (round(N * to_hz / from_hz),), one at the least, at ``to_hz``; or, with ``fit``,
    as many as that array has."""
    length = max(1, round(len(samples) * to_hz / from_hz)) if fit is None else len(fit)
    return fitted(np.asarray(soxr.resample(samples, from_hz, to_hz, quality="HQ"), np.float32), length)


def fitted(samples: Float32, length: int) -> Float32:
    """Samples (N,) cut at the end, or filled up with zeros, to (length,)."""
    return samples[:length] if len(samples) >= length else np.pad(samples, (0, length - len(samples)))


def _through_libsndfile(samples: Float32, codec: ChannelCodec) -> Float32:
    file = io.BytesIO()
    soundfile.write(file, samples, codec.rate_hz, format="WAV", subtype=codec.encoder)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    return cast(Float32, decoded)


def _through_ffmpeg(samples: Float32, codec: ChannelCodec) -> Float32:
    file = io.BytesIO()
    with av.open(file, "w", format=codec.container) as output:
        stream = cast(
            AudioStream,
            output.add_stream(cast(Any, codec.encoder), rate=codec.rate_hz, layout="mono", options=dict(codec.options)),
        )
        context = stream.codec_context
        context.thread_count = 1
        if codec.bits_per_second is not None:
            stream.bit_rate = codec.bits_per_second
        accepted = {form.name for form in context.codec.audio_formats or ()}
        form = next(name for name in ("fltp", "flt", "s16") if name in accepted)  # one of them in every encoder above
        context.format = form
        context.open()
        data = np.rint(samples * _FULL_SCALE).astype(np.int16) if form == "s16" else samples
        size = context.frame_size or 1_024
        for start in range(0, len(data), size):
            frame = av.AudioFrame.from_ndarray(data[None, start : start + size], format=form, layout="mono")
            frame.sample_rate, frame.pts = codec.rate_hz, start
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    file.seek(0)
    parts = [np.zeros(0, np.float32)]
    with av.open(file, "r") as coded_file:
        stream = coded_file.streams.audio[0]
        stream.codec_context.thread_count = 1
        for frame in coded_file.decode(stream):
            if frame.sample_rate != codec.rate_hz:
                raise ValueError(f"decoded at {frame.sample_rate} Hz, not at {codec.rate_hz}")
            plane: Any = frame.to_ndarray()[0]
            parts.append(plane / np.float32(2**15) if plane.dtype == np.int16 else plane)
    return np.concatenate(parts).astype(np.float32)
