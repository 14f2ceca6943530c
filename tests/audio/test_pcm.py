"""PCM that comes in pieces is what libsndfile reads of the same file."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from signals import sine

from aasist.audio.pcm import ENCODINGS, MOST_HEADER_BYTES, PcmDecoder, WavHeader
from aasist.errors import AudioError

SUBTYPES = {
    "PCM_16": "pcm16", "PCM_24": "pcm24", "PCM_32": "pcm32", "PCM_U8": "pcm8",
    "FLOAT": "float32", "DOUBLE": "float64", "ULAW": "mulaw", "ALAW": "alaw",
}  # fmt: skip


def wav(subtype: str, channels: int = 1, kind: str = "WAV") -> bytes:
    file = io.BytesIO()
    samples = np.stack([sine(8_000, 0.3, 200.0 + 100 * number, 0.9) for number in range(channels)], axis=1)
    soundfile.write(file, samples, 8_000, subtype=subtype, format=kind)
    return file.getvalue()


def streamed(content: bytes, size: int) -> tuple[WavHeader, np.ndarray]:
    file = io.BytesIO(content)
    header = WavHeader(file)
    decoder = PcmDecoder(header.encoding, header.channels)
    data = file.read(header.bytes)
    return header, np.concatenate([decoder.push(data[at : at + size]) for at in range(0, len(data), size)])


def test_every_encoding_is_tried_here() -> None:
    assert set(SUBTYPES.values()) == set(ENCODINGS)


@pytest.mark.parametrize("subtype", SUBTYPES)
@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_it_is_what_libsndfile_reads(subtype: str, channels: int, kind: str, size: int) -> None:
    content = wav(subtype, channels, kind)
    header, samples = streamed(content, size)
    expected, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    assert (header.sample_rate, header.channels, header.encoding) == (rate, channels, SUBTYPES[subtype])
    assert np.allclose(samples, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_size_that_the_writer_could_not_know_is_no_size(size: int) -> None:
    content = wav("PCM_16")
    at = content.index(b"data") + 4
    file = io.BytesIO(content[:at] + struct.pack("<I", size) + content[at + 4 :])
    assert WavHeader(file).bytes is None
    assert len(file.read()) == 2 * 2_400


def test_chunks_before_the_samples_are_passed_over() -> None:
    content = wav("PCM_16")
    more = content[:12] + b"LIST" + struct.pack("<I", 5) + b"hello\0" + content[12:]
    assert np.array_equal(streamed(more, 64)[1], streamed(content, 64)[1])


class Trickle(io.BytesIO):
    """A pipe that gives a byte at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(1, size or 0))


def test_a_header_may_come_a_byte_at_a_time() -> None:
    assert WavHeader(Trickle(wav("PCM_16"))).sample_rate == 8_000


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "empty", "0 bytes"),
        (b"RIFF", "unreadable", "ends before a WAV header"),
        (b"\0" * 100, "unreadable", "begins with .* of raw PCM, say how it is coded .*--sample-rate"),
        (wav("PCM_16")[:20], "unreadable", "ends within its WAV header"),
        (b"RIFF\0\0\0\0WAVEdata\0\0\0\0", "unreadable", "does not say how"),
        (b"RIFF\0\0\0\0WAVEjunk" + struct.pack("<I", MOST_HEADER_BYTES), "unreadable", "longer than"),
        (wav("IMA_ADPCM"), "unreadable", "cannot be read from a stream"),
    ],
)
def test_what_is_no_stream_of_wav_is_refused_in_words(content: bytes, code: str, words: str) -> None:
    with pytest.raises(AudioError, match=words) as caught:
        WavHeader(io.BytesIO(content))
    assert caught.value.code == code


@pytest.mark.parametrize("size", [1, 5, 1_000])
def test_a_wav_is_not_taken_for_raw_samples(size: int) -> None:
    decoder, content = PcmDecoder("pcm16"), wav("PCM_16")
    with pytest.raises(AudioError, match="raw PCM was announced and WAV came"):
        for first in range(0, 100, size):
            decoder.push(content[first : first + size])


@pytest.mark.parametrize(
    ("encoding", "channels", "code"), [("mp3", 1, "unreadable"), ("pcm16", 0, "channels"), ("pcm16", 33, "channels")]
)
def test_an_encoding_or_a_number_of_channels_that_is_not_known_is_refused(
    encoding: str, channels: int, code: str
) -> None:
    with pytest.raises(AudioError) as caught:
        PcmDecoder(encoding, channels)
    assert caught.value.code == code


@given(st.sampled_from(sorted(ENCODINGS)), st.integers(1, 3), st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes_in_any_pieces_are_whole_frames_and_the_rest_waits(
    encoding: str, channels: int, pieces: list[bytes]
) -> None:
    decoder = PcmDecoder(encoding, channels)
    with np.errstate(over="ignore", invalid="ignore"):
        frames = sum(len(decoder.push(piece)) for piece in pieces)
    assert frames == len(b"".join(pieces)) // (ENCODINGS[encoding][0] * channels)
