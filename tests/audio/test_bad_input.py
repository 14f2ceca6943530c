"""Whatever cannot be judged is refused with its code and one line, soon, and nothing else is raised or opened."""

import io
import os
import re
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st
from signals import encoded, sine, voiced, written

from aasist.audio.decode import DecodeClock, GuardedFile
from aasist.audio.libsndfile import LibsndfileDecoder
from aasist.audio.read import ReadLimits, Source, open_audio, read
from aasist.errors import AudioError


def refusal(source: Source, *, channel: int | None = None, limits: ReadLimits | None = None) -> AudioError:
    """The error that reading ``source`` to its end raises; its message must be one line without addresses."""
    with pytest.raises(AudioError) as caught:
        read(source, channel=channel, limits=limits)
    message = caught.value.message
    assert message
    assert "\n" not in message
    assert not re.search(r"0x[0-9a-f]{6,}|<.* object", message)
    return caught.value


def test_a_missing_file_is_not_found(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.wav").code == "not_found"
    assert refusal(tmp_path / ("x" * 400)).code == "not_found"
    assert refusal(str(tmp_path / "a\0b.wav")).code == "not_found"


def test_a_link_to_itself_is_not_found(tmp_path: Path) -> None:
    loop = tmp_path / "loop.wav"
    loop.symlink_to(loop)
    assert refusal(loop).code == "not_found"


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    assert refusal(tmp_path).code == "is_directory"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_fifo_a_socket_and_a_device_are_refused_without_waiting(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.wav"
    os.mkfifo(fifo)
    started = time.monotonic()
    assert refusal(fifo).code == "not_a_file"
    assert refusal("/dev/zero").code == "not_a_file"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket.wav"))
        assert refusal(tmp_path / "socket.wav").code == "not_a_file"
    assert time.monotonic() - started < 2.0


def test_a_file_without_read_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.wav"
    path.write_bytes(written(voiced(), 16_000, "WAV"))
    path.chmod(0)

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    if os.access(path, os.R_OK):  # root reads everything
        monkeypatch.setattr(os, "open", denied)
    assert refusal(path).code == "permission"


def test_an_empty_file_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    path.touch()
    assert refusal(path).code == "empty"
    assert refusal(b"").code == "empty"
    assert refusal(io.BytesIO()).code == "empty"


@pytest.mark.parametrize("file_format", ["WAV", "AIFF", "AU", "CAF", "OGG"])
def test_a_file_without_samples_holds_no_audio(file_format: str) -> None:
    assert refusal(written(np.zeros(0, np.float32), 16_000, file_format)).code in ("no_audio", "unreadable")


def test_an_array_without_samples_holds_no_audio() -> None:
    assert refusal((np.zeros(0, np.float32), 16_000)).code == "no_audio"


def test_a_video_without_audio_track_holds_no_audio() -> None:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        video = output.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for index in range(10):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), index, np.uint8), format="rgb24")
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
    error = refusal(file.getvalue())
    assert error.code == "no_audio"
    assert "video" in error.message


@pytest.mark.parametrize("file_format", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("kept", [1, 4, 11, 12, 20, 36, 43])
def test_a_truncated_header_is_unreadable(file_format: str, kept: int) -> None:
    assert refusal(written(voiced(), 16_000, file_format)[:kept]).code in ("unreadable", "no_audio")


@settings(max_examples=60, deadline=None)
@given(data=st.binary(min_size=1, max_size=3_000))
@example(data=b"RIFF\xff\xff\xff\xffWAVE")
@example(data=b"fLaC" + bytes(100))
@example(data=b"OggS" + bytes(100))
@example(data=b"ID3" + bytes(100))
@example(data=b"\xff\xfb\x90\x00" * 200)
@example(data=b"\0\0\0\x18ftypM4A " + bytes(100))
def test_arbitrary_bytes_are_refused_or_give_finite_audio(data: bytes) -> None:
    try:
        samples = read(data)
    except AudioError as error:
        assert error.code
        assert "\n" not in error.message
    else:
        assert len(samples) >= 8_000
        assert np.isfinite(samples).all()


def test_random_bytes_named_wav_are_unreadable(tmp_path: Path) -> None:
    for seed in range(20):
        path = tmp_path / f"{seed}.wav"
        path.write_bytes(np.random.default_rng(seed).bytes(20_000))
        assert refusal(path).code in ("unreadable", "no_audio", "too_short")


PLAYLISTS = {
    "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{target}\n#EXT-X-ENDLIST\n",
    "list.m3u": "{target}\n",
    "list.pls": "[playlist]\nFile1={target}\nNumberOfEntries=1\n",
    "list.cue": 'REM GENRE speech\nFILE "{target}" WAVE\n  TRACK 01 AUDIO\n',
    "list.ffconcat": "ffconcat version 1.0\nfile '{target}'\n",
    "list.sdp": "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nm=audio 5004 RTP/AVP 0\r\n",
    "list.xspf": '<?xml version="1.0"?>\n<playlist><trackList><track>{target}</track></trackList></playlist>',
    "list.mpd": '<?xml version="1.0"?>\n<MPD><BaseURL>{target}</BaseURL></MPD>',
    "list.asx": '<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
}


@pytest.mark.parametrize("name", PLAYLISTS)
def test_a_playlist_is_refused_and_what_it_names_is_never_opened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "speech.wav"
    target.write_bytes(written(voiced(), 16_000, "WAV"))
    playlist = tmp_path / name
    playlist.write_text(PLAYLISTS[name].format(target=target))
    disguised = tmp_path / "disguised.wav"
    disguised.write_bytes(playlist.read_bytes())
    opened: list[str] = []
    really_open = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest: (opened.append(str(path)), really_open(path, *rest))[1])

    before = target.stat().st_atime_ns
    assert refusal(playlist).code == "playlist"
    assert refusal(disguised).code == ("playlist" if name != "list.m3u" else "unreadable")
    assert str(target) not in opened
    assert target.stat().st_atime_ns == before


def test_a_playlist_given_as_bytes_after_blank_lines_is_refused() -> None:
    assert refusal(b"\xef\xbb\xbf\n\n #EXTM3U\nfile:///etc/passwd\n").code == "playlist"
    assert refusal(b"\n\nhttp://localhost:1/stream.mp3\n").code == "playlist"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30])
def test_samples_that_are_no_numbers_are_refused(value: float) -> None:
    signal = voiced(seconds=2.0)
    signal[-5] = value
    assert refusal((signal, 16_000)).code == "not_finite"
    assert refusal(written(signal, 16_000, "WAV", "FLOAT")).code == "not_finite"
    assert refusal((signal.astype(np.float64), 44_100)).code == "not_finite"


@pytest.mark.parametrize("rate", [1, 3_999, 192_001, 2_000_000])
def test_rates_outside_4_to_192_khz_are_refused(rate: int) -> None:
    assert refusal((sine(16_000, 1.0), rate)).code == "sample_rate"
    assert refusal(written(sine(16_000, 1.0), rate, "WAV", "PCM_16")).code == "sample_rate"


@pytest.mark.parametrize("rate", [0, -16_000, 16_000.5, True, "16000", None])
def test_a_rate_that_is_no_whole_positive_number_is_refused(rate: object) -> None:
    assert refusal((sine(16_000, 1.0), rate)).code == "sample_rate"  # type: ignore[arg-type]


def test_more_than_32_channels_are_refused() -> None:
    assert refusal((np.zeros((16_000, 33), np.float32), 16_000)).code == "channels"
    assert refusal((np.zeros((2, 16_000), np.float32), 16_000)).code == "channels"
    assert refusal(written(np.zeros((16_000, 40), np.float32), 16_000, "WAV", "PCM_16")).code == "channels"


@pytest.mark.parametrize("shape", [(0,), (0, 2), (16_000, 0), (0, 40), (2, 0)])
def test_empty_samples_are_told_which_shape_was_wanted(shape: tuple[int, ...]) -> None:
    error = refusal((np.zeros(shape, np.float32), 16_000))
    assert error.code == "no_audio"
    assert error.message == f"samples must be (N,) or (N, C) and not empty, got shape {shape}"


def test_samples_with_the_channels_first_are_told_to_be_transposed() -> None:
    error = refusal((np.zeros((2, 16_000), np.float32), 16_000))
    assert (error.code, error.message) == ("channels", "samples must be (N, C), got (2, 16000): transpose them")


@pytest.mark.parametrize(("samples", "came"), [([0.0] * 16_000, "list"), (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\)")])
def test_what_is_no_array_of_samples_is_named(samples: object, came: str) -> None:
    error = refusal((samples, 16_000))  # type: ignore[arg-type]
    assert re.search(rf"NumPy array of shape \(N,\) or \(N, C\), got .*{came}", error.message)


@pytest.mark.parametrize("given", [(), (np.zeros(16_000),), (np.zeros(16_000), 16_000, 1)], ids=len)
def test_samples_without_their_rate_or_with_more_than_it_are_a_mistake_of_the_caller(given: object) -> None:
    with pytest.raises(TypeError, match=r"samples are given as \(samples, rate\), got [013] things"):
        read(given)  # type: ignore[arg-type]


def test_an_address_is_not_fetched_and_says_so() -> None:
    error = refusal("https://localhost/call.mp3")
    assert error.code == "not_found"
    assert "download it first" in error.message


@pytest.mark.parametrize("channel", [-1, 2, 99])
def test_a_channel_that_is_not_there_is_refused(channel: int) -> None:
    assert refusal((np.zeros((16_000, 2), np.float32), 16_000), channel=channel).code == "channel"


@pytest.mark.parametrize("samples", [np.zeros((2, 2, 2)), np.zeros(9, complex), np.zeros(9, np.int64), np.float32(1)])
def test_arrays_that_are_no_samples_are_unreadable(samples: object) -> None:
    assert refusal((samples, 16_000)).code == "unreadable"  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [1 / 16_000, 0.05, 0.49])
def test_less_than_half_a_second_is_too_short(seconds: float) -> None:
    signal = sine(16_000, seconds)
    assert refusal((signal, 16_000)).code == "too_short"
    assert refusal(written(signal, 16_000, "WAV")).code == "too_short"


def test_half_a_second_is_enough() -> None:
    assert len(read((sine(16_000, 0.5), 16_000))) == 8_000


def test_a_header_that_claims_3_gb_over_10_seconds_costs_no_memory() -> None:
    data = bytearray(written(sine(16_000, 10.0), 16_000, "WAV", "PCM_16"))
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", 3_000_000_000)
    with open_audio(bytes(data)) as reader:
        assert sum(len(block) for block in reader.blocks()) == 160_000
        assert reader.duration_seconds == 10.0
        assert reader.quality.truncated


def test_a_file_over_the_byte_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "sparse.wav"
    with path.open("wb") as file:
        file.truncate(5 * 2**30)
    assert refusal(path).code == "too_large"
    assert refusal(written(voiced(), 16_000, "WAV"), limits=ReadLimits(max_bytes=1_000)).code == "too_large"


def test_a_pipe_is_bounded_by_the_byte_limit() -> None:
    class Endless(io.RawIOBase):
        given = 0

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1, /) -> bytes:
            Endless.given += size
            return bytes(size)

    assert refusal(Endless(), limits=ReadLimits(max_bytes=3_000_000)).code == "too_large"  # type: ignore[arg-type]
    assert Endless.given <= 4_100_000


def test_a_recording_over_the_limit_on_seconds_is_too_long() -> None:
    limits = ReadLimits(max_seconds=2.0)
    assert refusal((sine(16_000, 3.0), 16_000), limits=limits).code == "too_long"
    assert len(read((sine(16_000, 2.0), 16_000), limits=limits)) == 32_000


def bomb(path: Path, hours: int) -> Path:
    """Hours of silence at 8 kHz, a flac of 100 kB an hour."""
    hour = np.zeros(8_000 * 3_600, np.int16)
    with soundfile.SoundFile(path, "w", 8_000, 1, "PCM_16", format="FLAC") as file:
        for _ in range(hours):
            file.write(hour)
    return path


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = bomb(tmp_path / "bomb.flac", 3)
    assert path.stat().st_size < 400_000
    started = time.monotonic()
    assert refusal(path, limits=ReadLimits(max_seconds=7_200.0)).code == "too_long"
    assert time.monotonic() - started < 2.0


def test_a_decompression_bomb_that_hides_its_length_stops_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LibsndfileDecoder, "reaches", lambda *_: False)
    seconds = 0.0
    with open_audio(bomb(tmp_path / "bomb.flac", 1), limits=ReadLimits(max_seconds=600.0)) as reader:
        with pytest.raises(AudioError) as caught:
            for block in reader.blocks():
                assert len(block) <= 160_000
                seconds += len(block) / 16_000
        assert reader.duration_seconds < 610.0
    assert caught.value.code == "too_long"
    assert 0 < seconds <= 600.0


def test_a_header_that_lies_about_hours_is_not_believed() -> None:
    """STREAMINFO claims 10 days; the three seconds that are there get judged."""
    data = bytearray(written(sine(16_000, 3.0), 16_000, "FLAC", "PCM_16"))
    data[21] |= 0x03
    with open_audio(bytes(data)) as reader:
        assert sum(len(block) for block in reader.blocks()) == 48_000
        assert reader.quality.truncated


def test_decoding_is_given_up_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(voiced(seconds=2.0), 16_000, "ipod", "aac")
    wav = written(voiced(seconds=2.0), 16_000, "WAV")
    monkeypatch.setattr(DecodeClock, "left_seconds", property(lambda _: -1.0))
    assert refusal(data).code == "timeout"
    assert refusal(wav).code == "timeout"


@pytest.mark.parametrize("place", ["open", "demux"])
def test_what_ffmpeg_gives_up_for_time_is_neither_unreadable_nor_cut_short(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encoded(voiced(seconds=2.0), 16_000, "ipod", "aac")
    real = av.open

    class Stuck:
        """An open container whose next packet never comes."""

        def __init__(self, opened: object) -> None:
            self.opened = opened

        def __getattr__(self, name: str) -> object:
            return getattr(self.opened, name)

        def demux(self, *_: object) -> Iterator[object]:
            raise av.error.ExitError(1, "Immediate exit requested")
            yield

    def opened(*arguments: object, **options: object) -> object:
        if place == "open":
            raise av.error.ExitError(1, "Immediate exit requested")
        return Stuck(real(*arguments, **options))  # type: ignore[arg-type, call-overload]

    monkeypatch.setattr("aasist.audio.container.av.open", opened)
    assert refusal(data).code == "timeout"


def test_the_time_a_consumer_takes_does_not_count() -> None:
    limits = ReadLimits(max_decode_seconds=0.5)
    with open_audio(written(sine(16_000, 25.0), 16_000, "WAV"), limits=limits) as reader:
        for _ in reader.blocks():
            time.sleep(0.3)
        assert reader.duration_seconds == 25.0


def test_a_file_that_reads_the_same_bytes_for_ever_earns_no_time() -> None:
    clock = DecodeClock(ReadLimits(), 1_000)
    clock.read_bytes = 10**12
    assert clock.left_seconds < 3.1


def test_a_disk_that_fails_is_reported_and_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    whole = io.BytesIO(written(sine(16_000, 20.0), 16_000, "WAV"))

    class Failing(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def seekable(self) -> bool:
            return True

        def seek(self, offset: int, whence: int = 0, /) -> int:
            return whole.seek(offset, whence)

        def tell(self) -> int:
            return whole.tell()

        def read(self, size: int = -1, /) -> bytes:
            if whole.tell() > 300_000:
                raise OSError(5, "Input/output error")
            return whole.read(size)

    error = refusal(Failing())  # type: ignore[arg-type]
    assert error.code == "unreadable"
    assert "Input/output error" in error.message
    assert capfd.readouterr() == ("", "")


def test_decoders_print_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    mp3 = bytearray(written(voiced(), 16_000, "MP3"))
    mp3[900:1_000] = bytes(100)
    m4a = bytearray(encoded(voiced(), 16_000, "ipod", "aac"))
    m4a[500:900] = bytes(400)
    sds = bytearray(written(voiced(), 16_000, "SDS", "PCM_16"))
    sds[3_000:3_100] = bytes(100)
    for data in (mp3, m4a, sds):
        try:
            read(bytes(data))
        except AudioError as error:
            assert error.code
    assert capfd.readouterr() == ("", "")


def test_seeks_outside_the_file_stay_inside() -> None:
    guard = GuardedFile(io.BytesIO(b"0123456789"), 10, DecodeClock(ReadLimits(), 10))
    assert guard.seek(-5) == 0
    assert guard.seek(99) == 10
    assert guard.seek(-3, os.SEEK_END) == 7
    assert guard.read(99) == b"789"
