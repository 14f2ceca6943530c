"""An Ogg file that was cut off is judged as far as it goes, and says so."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from signals import encoded, voiced, written

from aasist.audio.decode import DecodeClock, GuardedFile, ReadLimits
from aasist.audio.ogg import ends_stream
from aasist.audio.read import open_audio

SECONDS = 6.0


@pytest.fixture(scope="module", params=["vorbis", "opus", "flac"])
def ogg(request: pytest.FixtureRequest) -> bytes:
    """A whole file: the first two are read by libsndfile, FLAC in Ogg by whichever takes it."""
    if request.param == "flac":
        return encoded(voiced(seconds=SECONDS), 16_000, "ogg", "flac")
    return written(voiced(seconds=SECONDS), 16_000, "OGG", request.param.upper())


def read_to_the_end(data: bytes) -> tuple[float, bool]:
    """Seconds that could be decoded, and whether the file counts as truncated."""
    with open_audio(data) as reader:
        samples = sum(len(block) for block in reader.blocks())
        return samples / 16_000, reader.quality.truncated


def test_a_whole_file_is_not_marked(ogg: bytes) -> None:
    assert read_to_the_end(ogg) == (pytest.approx(SECONDS, abs=0.05), False)


def test_a_file_cut_to_three_fifths_is_marked(ogg: bytes) -> None:
    seconds, truncated = read_to_the_end(ogg[: len(ogg) * 6 // 10])
    assert 0.3 * SECONDS < seconds < 0.8 * SECONDS
    assert truncated


def test_a_file_cut_between_two_pages_or_within_its_last_is_marked(ogg: bytes) -> None:
    """What is left between two pages is a sound file but for the mark of its end."""
    last = ogg.rindex(b"OggS")
    for end in (last, last + 20, len(ogg) - 1):
        assert read_to_the_end(ogg[:end])[1], end


def test_the_cut_is_found_through_ffmpeg_too(ogg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from aasist.audio import read as read_module
    from aasist.audio.decode import Refused

    def refuse(file: object) -> None:
        raise Refused("not today")

    monkeypatch.setattr(read_module, "LibsndfileDecoder", refuse)
    assert not read_to_the_end(ogg)[1]
    assert read_to_the_end(ogg[: len(ogg) * 6 // 10])[1]


def page(payload: bytes, *, last: bool) -> bytes:
    """One page (RFC 3533, section 6) without its checksum, which is not looked at."""
    full, rest = divmod(len(payload), 255)
    table = bytes([255] * full + [rest])
    return b"OggS\0" + bytes([4 if last else 0]) + bytes(20) + bytes([len(table)]) + table + payload


def guarded(data: bytes) -> GuardedFile:
    return GuardedFile(io.BytesIO(data), len(data), DecodeClock(ReadLimits(), len(data)))


@given(
    payloads=st.lists(st.binary(max_size=3_000), min_size=1, max_size=6),
    last=st.booleans(),
    cut=st.integers(0, 40),
)
def test_the_stream_ends_where_the_last_page_is_whole_and_says_so(payloads: list[bytes], last: bool, cut: int) -> None:
    pages = [page(payload, last=last and at == len(payloads) - 1) for at, payload in enumerate(payloads)]
    whole = b"".join(pages)
    file = guarded(whole[: len(whole) - cut])
    file.seek(7)
    position = file.tell()
    assert ends_stream(file) == (last and cut == 0)
    assert file.tell() == position


def test_a_page_of_the_greatest_length_is_seen_whole() -> None:
    longest = b"OggS\0\x04" + bytes(20) + bytes([255]) + bytes([255] * 255) + bytes(255 * 255)
    before = page(np.random.default_rng(0).bytes(60_000), last=False) * 4
    assert ends_stream(guarded(before + longest))
    assert not ends_stream(guarded(before + longest[:-1]))
    assert not ends_stream(guarded(b"no page at all" * 20_000))
