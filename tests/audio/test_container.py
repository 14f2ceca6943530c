"""What FFmpeg does not say by itself: that an MP3 or an AMR file is not all there, and where a telephone was silent."""

from pathlib import Path

import numpy as np
import pytest
from signals import encoded, voiced, written

from aasist.audio.container import ContainerDecoder
from aasist.audio.decode import DecodeClock, GuardedFile, ReadLimits
from aasist.audio.listen import Listener
from aasist.audio.read import AudioReader, open_audio
from aasist.audio.source import open_source
from aasist.errors import AudioError
from aasist.session import Float32

SECONDS = 6.0


def heard(data: bytes) -> tuple[Float32, AudioReader]:
    """The samples of a whole file at 16 kHz, and its reader, read to the end."""
    with open_audio(data) as reader:
        return np.concatenate(list(reader.blocks())), reader


def warnings_of(data: bytes) -> list[str]:
    """The codes that a verdict on the file would carry as warnings."""
    with open_audio(data) as reader:
        listener = Listener(reader, window_samples=64_600, hop_samples=32_300)
        list(listener)
    return [warning.code for warning in listener.summary.warnings]


@pytest.fixture(scope="module", params=["libsndfile", "FFmpeg"])
def mp3(request: pytest.FixtureRequest) -> bytes:
    """An MP3 that counts its frames: under ``Xing`` by one writer, under ``Info`` behind an ID3 tag by the other."""
    if request.param == "libsndfile":
        data = written(voiced(seconds=SECONDS), 16_000, "MP3")
        assert b"Xing" in data[:200]
    else:
        data = encoded(voiced(seconds=SECONDS), 16_000, "mp3", "libmp3lame", bit_rate=48_000)
        assert data.startswith(b"ID3")
        assert b"Info" in data[:200]
    return data


def without_count(mp3: bytes) -> bytes:
    """The MP3 less its tag and first frame, as streams and old writers leave it."""
    first = mp3.index(b"\xff\xf3")
    return mp3[mp3.index(b"\xff\xf3", first + 4) :]


def test_a_whole_mp3_carries_no_warning_of_damage(mp3: bytes) -> None:
    _, reader = heard(mp3)
    assert (reader.container, reader.duration_seconds) == ("mp3", pytest.approx(SECONDS, abs=0.05))
    assert not reader.quality.truncated
    assert "truncated" not in warnings_of(mp3)


def test_an_mp3_cut_to_three_fifths_is_judged_with_a_warning(mp3: bytes) -> None:
    cut = mp3[: len(mp3) * 6 // 10]
    samples, _ = heard(cut)
    assert 0.5 * SECONDS < len(samples) / 16_000 < 0.7 * SECONDS
    assert warnings_of(cut).count("truncated") == 1


def test_an_mp3_with_zeros_written_into_its_middle_is_judged_with_a_warning(mp3: bytes) -> None:
    damaged = bytearray(mp3)
    middle = len(mp3) // 2
    damaged[middle : middle + len(mp3) // 6] = bytes(len(mp3) // 6)
    samples, reader = heard(bytes(damaged))
    assert 0.7 * SECONDS < len(samples) / 16_000 < 0.9 * SECONDS
    assert reader.quality.truncated


@pytest.mark.parametrize("share", [1.0, 0.6])
def test_an_mp3_that_does_not_count_its_frames_promises_nothing_and_carries_no_warning(
    share: float, mp3: bytes
) -> None:
    bare = without_count(mp3)
    assert not any(tag in bare[:4_096] for tag in (b"Xing", b"Info"))
    samples, reader = heard(bare[: int(share * len(bare))])
    assert len(samples) / 16_000 == pytest.approx(share * SECONDS, abs=0.3)
    assert not reader.quality.truncated


def promised(data: bytes) -> float | None:
    limits = ReadLimits()
    file, size_bytes, _ = open_source(data, limits)
    decoder = ContainerDecoder(GuardedFile(file, size_bytes, DecodeClock(limits, size_bytes)))
    try:
        return decoder.promised_seconds
    finally:
        decoder.close()


def test_only_a_tag_that_really_counts_the_frames_is_a_promise(mp3: bytes) -> None:
    """The tag may lack the count, or hold the 0 of a writer that could not come back; and ``Info`` may be a word."""
    tag = next(at for word in (b"Xing", b"Info") if (at := mp3.find(word)) >= 0)
    assert promised(mp3) == pytest.approx(SECONDS, abs=0.05)
    for place, content in ((tag + 7, bytes([mp3[tag + 7] & ~1])), (tag + 8, bytes(4)), (tag, bytes(4))):
        changed = bytearray(mp3)
        changed[place : place + len(content)] = content
        assert promised(bytes(changed)) is None, (place, content)
    bare = without_count(mp3)
    size = len(title := b"\0Information")
    frame = b"TIT2" + size.to_bytes(4, "big") + b"\0\0" + title
    assert promised(b"ID3\x03\0\0\0\0\0" + bytes([len(frame)]) + frame + bare) is None


def speech_frames(seconds: float) -> list[bytes]:
    """AMR-NB frames of speech at 12.2 kbit/s, 20 ms each."""
    data = encoded(voiced(8_000, seconds), 8_000, "amr", "libopencore_amrnb", coded_rate=8_000, bit_rate=12_200)
    assert data.startswith(b"#!AMR\n")
    return [data[start : start + 32] for start in range(6, len(data), 32)]


NARROW_PAUSES = {"no data": bytes([15 << 3 | 4]), "comfort noise": bytes([8 << 3 | 4]) + bytes(5)}


@pytest.mark.parametrize("kind", NARROW_PAUSES)
@pytest.mark.parametrize("before", [0, 50])
def test_a_pause_of_a_telephone_is_read_as_silence_of_its_length(kind: str, before: int) -> None:
    """A phone that transmits discontinuously writes a frame of one byte (no data) or six (comfort noise) for 20 ms."""
    speech, pause = speech_frames(4.0), NARROW_PAUSES[kind]
    data = b"#!AMR\n" + b"".join([*speech[:before], *[pause] * 100, *speech[before:]])
    samples, reader = heard(data)
    assert "amrnb" in reader.codec
    assert reader.duration_seconds == pytest.approx((len(speech) + 100) * 0.02)
    assert not reader.quality.truncated
    start = 320 * before
    assert np.abs(samples[start + 400 : start + 100 * 320 - 400]).max() < 1e-3
    alone, _ = heard(b"#!AMR\n" + b"".join(speech))
    assert np.abs(samples[start + 100 * 320 + 400 :]).max() > 0.5 * np.abs(alone[start:]).max()


@pytest.mark.parametrize("pause", [bytes([15 << 3 | 4]), bytes([14 << 3 | 4]), bytes([9 << 3 | 4]) + bytes(5)])
def test_pauses_of_wide_band_amr_are_read_too(pause: bytes) -> None:
    """No data, speech lost and comfort noise, among frames of 23.85 kbit/s."""
    speech = (bytes([8 << 3 | 4]) + bytes(60)) * 50
    _, reader = heard(b"#!AMR-WB\n" + speech + pause * 100 + speech)
    assert (reader.sample_rate, reader.duration_seconds) == (16_000, pytest.approx(4.0))
    assert not reader.quality.truncated


def test_frames_of_a_kind_that_amr_does_not_have_still_count_as_damage() -> None:
    speech = speech_frames(4.0)
    _, reader = heard(b"#!AMR\n" + b"".join([*speech[:100], *[bytes([11 << 3 | 4])] * 10, *speech[100:]]))
    assert reader.quality.truncated


def test_random_bytes_under_the_name_of_amr_are_no_recording(tmp_path: Path) -> None:
    for seed in range(10):
        path = tmp_path / f"{seed}.amr"
        path.write_bytes(np.random.default_rng(seed).bytes(20_000))
        with pytest.raises(AudioError) as caught, open_audio(path) as reader:
            list(reader.blocks())
        assert caught.value.code in ("unreadable", "no_audio", "too_short")
