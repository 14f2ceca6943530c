"""Any recording comes out as mono float32 at 16 kHz, whatever it was stored as and however it is given."""

import io
import os
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from signals import Signal, encoded, sine, voiced, written

from aasist.audio import read as read_module
from aasist.audio.read import open_audio, read
from aasist.errors import AudioError

TONE_HZ, LEVEL = 440.0, 0.5


def tone_of(samples: Signal) -> tuple[float, float]:
    """(frequency in Hz, amplitude) of the strongest tone in 16 kHz samples, away from their ends."""
    middle = (
        samples[len(samples) // 4 : -len(samples) // 4]
        * np.hanning(len(samples) - 2 * (len(samples) // 4))[: len(samples[len(samples) // 4 : -len(samples) // 4])]
    )
    spectrum = np.abs(np.fft.rfft(middle, 1 << 17))
    peak = int(spectrum.argmax())
    return peak * 16_000 / (1 << 17), 4 * float(spectrum[peak]) / len(middle)


def assert_tone(samples: Signal, tolerance: float) -> None:
    hz, level = tone_of(samples)
    assert samples.dtype == np.float32
    assert abs(hz - TONE_HZ) < 2.0
    assert abs(level - LEVEL) < tolerance * LEVEL


@pytest.mark.parametrize(
    ("file_format", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 0.02),
        ("WAV", "PCM_16", 0.005),
        ("WAV", "PCM_24", 0.005),
        ("WAV", "PCM_32", 0.005),
        ("WAV", "FLOAT", 0.005),
        ("WAV", "DOUBLE", 0.005),
        ("WAV", "ULAW", 0.02),
        ("WAV", "ALAW", 0.02),
        ("WAV", "IMA_ADPCM", 0.02),
        ("WAVEX", "PCM_16", 0.005),
        ("RF64", "PCM_16", 0.005),
        ("W64", "PCM_16", 0.005),
        ("FLAC", "PCM_S8", 0.02),
        ("FLAC", "PCM_16", 0.005),
        ("FLAC", "PCM_24", 0.005),
        ("OGG", "VORBIS", 0.05),
        ("OGG", "OPUS", 0.05),
        ("MP3", None, 0.05),
        ("AIFF", "PCM_16", 0.005),
        ("AU", "ULAW", 0.02),
        ("CAF", "ALAC_16", 0.005),
        ("NIST", "PCM_16", 0.005),
        ("VOC", "PCM_16", 0.005),
    ],
)
def test_a_tone_survives_every_format_of_libsndfile(file_format: str, subtype: str | None, tolerance: float) -> None:
    samples = read(written(sine(16_000, 2.0, TONE_HZ, LEVEL), 16_000, file_format, subtype))
    assert_tone(samples, tolerance)
    assert abs(len(samples) - 32_000) <= 1_152 + 512


@pytest.mark.parametrize(
    ("container", "codec", "coded_rate", "bit_rate"),
    [
        ("ipod", "aac", 44_100, None),
        ("ipod", "alac", 44_100, None),
        ("mp4", "aac", 48_000, None),
        ("mov", "pcm_s24le", 48_000, None),
        ("webm", "libopus", 48_000, None),
        ("matroska", "flac", 32_000, None),
        ("amr", "libopencore_amrnb", 8_000, 12_200),
        ("amr", "libvo_amrwbenc", 16_000, None),
        ("3gp", "libopencore_amrnb", 8_000, 12_200),
        ("3gp", "aac", 16_000, None),
        ("asf", "wmav2", 44_100, 64_000),
        ("adts", "aac", 22_050, None),
        ("mp3", "libmp3lame", 24_000, None),
        ("mp2", "mp2", 48_000, None),
        ("ac3", "ac3", 48_000, None),
        ("eac3", "eac3", 48_000, None),
        ("avi", "pcm_s16le", 44_100, None),
        ("flv", "libmp3lame", 44_100, None),
        ("mpegts", "aac", 48_000, None),
        ("wv", "wavpack", 44_100, None),
        ("tta", "tta", 44_100, None),
        ("wav", "g726", 8_000, None),
        ("wav", "pcm_s64le", 16_000, None),
        ("gsm", "libgsm", 8_000, None),
    ],
)
def test_a_tone_survives_every_container_of_ffmpeg(
    container: str, codec: str, coded_rate: int, bit_rate: int | None
) -> None:
    data = encoded(
        sine(48_000, 2.0, TONE_HZ, LEVEL), 48_000, container, codec, coded_rate=coded_rate, bit_rate=bit_rate
    )
    with open_audio(data) as reader:
        samples = np.concatenate(list(reader.blocks()))
        assert reader.sample_rate == coded_rate
        assert reader.duration_seconds == pytest.approx(2.0, abs=0.1)
        assert not reader.quality.truncated
    assert_tone(samples, 0.2)  # AMR codes a tone as a voice: 1.4 dB down


@pytest.mark.parametrize("rate", [4_000, 8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000, 192_000])
def test_frequency_level_and_length_survive_every_rate(rate: int) -> None:
    with open_audio((sine(rate, 2.0, TONE_HZ, LEVEL), rate)) as reader:
        samples = np.concatenate(list(reader.blocks()))
        assert reader.sample_rate == rate
        assert reader.duration_seconds == pytest.approx(2.0)
    assert abs(len(samples) - 32_000) <= 1
    assert_tone(samples, 0.005)


def test_nothing_above_8_khz_folds_back() -> None:
    samples = read((sine(48_000, 2.0, 11_000.0, LEVEL), 48_000))
    assert np.abs(samples[1_000:-1_000]).max() < 1e-4


@pytest.mark.parametrize("channels", [1, 2, 6, 8, 32])
def test_channels_are_mixed_by_their_mean_or_one_is_picked(channels: int) -> None:
    levels = np.linspace(0.1, 0.8, channels, dtype=np.float32)
    data = written(sine(16_000, 1.0, TONE_HZ, 1.0)[:, None] * levels, 16_000, "WAV", "PCM_16")
    assert tone_of(read(data))[1] == pytest.approx(levels.mean(), rel=0.01)
    last = read(data, channel=channels - 1)
    assert tone_of(last)[1] == pytest.approx(levels[-1], rel=0.01)
    with open_audio(data) as reader:
        assert reader.channels == channels


def test_eight_planar_channels_through_ffmpeg_are_read() -> None:
    """PyAV crashes on such frames when they are taken plane by plane."""
    import av  # here, as only this test encodes more than one channel

    file = io.BytesIO()
    packed = np.repeat(sine(48_000, 1.0, TONE_HZ, LEVEL), 8)[None]
    with av.open(file, "w", format="ipod") as output:
        stream = output.add_stream("aac", rate=48_000, layout="7.1")
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout="7.1")
        frame.sample_rate = 48_000
        resampler = av.AudioResampler(format="fltp", layout="7.1", rate=48_000, frame_size=1024)
        for part in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    with open_audio(file.getvalue()) as reader:
        samples = np.concatenate(list(reader.blocks()))
        assert reader.channels == 8
    assert tone_of(samples)[0] == pytest.approx(TONE_HZ, abs=2.0)


@pytest.mark.parametrize(
    ("dtype", "scale", "zero"), [("int16", 2**15, 0), ("int32", 2**31, 0), ("uint8", 2**7, 128), ("float64", 1, 0)]
)
def test_samples_in_memory_are_scaled_by_their_type(dtype: str, scale: int, zero: int) -> None:
    signal = sine(16_000, 1.0, TONE_HZ, LEVEL)
    stored = (signal.astype(np.float64) * scale + zero).astype(dtype)
    assert np.abs(read((stored, 16_000)) - signal).max() <= 1.5 / scale + 1e-6


def test_floats_beyond_full_scale_keep_their_scale() -> None:
    loud = sine(16_000, 1.0, TONE_HZ, 4.0)
    assert np.array_equal(read(written(loud, 16_000, "WAV", "FLOAT")), loud)


def test_a_source_is_a_path_bytes_a_file_a_pipe_or_samples(tmp_path: Path) -> None:
    signal = voiced()
    data = written(signal, 16_000, "WAV", "FLOAT")
    path = tmp_path / "speech.wav"
    path.write_bytes(data)
    assert np.array_equal(read(path), signal)
    assert np.array_equal(read(str(path)), signal)
    assert np.array_equal(read(data), signal)
    assert np.array_equal(read((signal, 16_000)), signal)
    with path.open("rb") as file:
        file.read(11)  # where it stands does not matter
        assert np.array_equal(read(file), signal)
        assert not file.closed
    inlet, outlet = os.pipe()
    with os.fdopen(inlet, "rb") as pipe:
        writer = threading.Thread(target=lambda: _write_all(outlet, data))
        writer.start()
        assert np.array_equal(read(pipe), signal)
        writer.join()


def _write_all(handle: int, data: bytes) -> None:
    with os.fdopen(handle, "wb") as outlet:
        outlet.write(data)


def test_text_files_and_other_objects_are_mistakes_of_the_caller() -> None:
    with pytest.raises(TypeError, match="binary"):
        read(io.StringIO("RIFF"))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a recording is"):
        read(5)  # type: ignore[arg-type]


def test_blocks_are_ten_seconds_but_the_last() -> None:
    with open_audio((sine(44_100, 25.0), 44_100)) as reader:
        lengths = [len(block) for block in reader.blocks()]
    assert lengths[:-1] == [160_000, 160_000]
    assert lengths[-1] == pytest.approx(80_000, abs=1)


@settings(max_examples=10, deadline=None)
@given(piece=st.integers(64, 40_000), rate=st.sampled_from([8_000, 16_000, 44_100]))
def test_the_audio_does_not_depend_on_how_it_is_cut_into_pieces(piece: int, rate: int) -> None:
    signal = voiced(rate, 1.0)
    whole = read((signal, rate))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aasist.audio.source.PIECE_FRAMES", piece)
        patch.setattr(read_module, "BLOCK_SAMPLES", 4_000)
        pieces = read((signal, rate))
    assert len(pieces) == len(whole)
    assert np.abs(pieces - whole).max() < 1e-6


def test_a_recording_is_read_once_and_closing_twice_is_harmless() -> None:
    reader = open_audio((sine(16_000, 1.0), 16_000))
    assert sum(len(block) for block in reader.blocks()) == 16_000
    with pytest.raises(RuntimeError, match="once"):
        next(reader.blocks())
    reader.close()
    reader.close()


def open_files() -> int:
    """Files this process holds open, where the system tells."""
    listing = Path("/proc/self/fd")
    return len(list(listing.iterdir())) if listing.exists() else 0


def test_no_file_stays_open(tmp_path: Path) -> None:
    paths = {}
    for name, data in {
        "good.wav": written(voiced(), 16_000, "WAV"),
        "good.m4a": encoded(voiced(), 16_000, "ipod", "aac"),
        "bad.wav": b"RIFF" + bytes(500),
        "short.wav": written(voiced(seconds=0.1), 16_000, "WAV"),
    }.items():
        paths[name] = tmp_path / name
        paths[name].write_bytes(data)
    before = open_files()
    for path in paths.values():
        try:
            read(path)
        except AudioError:
            continue
    assert open_files() == before
    assert {path.name for path in tmp_path.iterdir()} == set(paths)


def test_a_file_cut_short_is_judged_as_far_as_it_goes_and_marked() -> None:
    for file_format, subtype in (("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("AIFF", "PCM_16")):
        data = written(voiced(seconds=3.0), 16_000, file_format, subtype)
        with open_audio(data[: len(data) // 2]) as reader:
            samples = sum(len(block) for block in reader.blocks())
            assert 0.5 * 16_000 < samples < 2.5 * 16_000, file_format
            assert reader.quality.truncated, file_format


def test_a_whole_file_is_not_marked_as_truncated() -> None:
    for file_format in ("WAV", "FLAC", "OGG", "MP3", "AIFF"):
        with open_audio(written(voiced(), 16_000, file_format)) as reader:
            assert sum(len(block) for block in reader.blocks()) > 0
            assert not reader.quality.truncated, file_format


@pytest.mark.parametrize("claimed", [0xFFFF_FFFF, 0x7FFF_FFFF, 0])
def test_a_header_written_by_a_pipe_promises_nothing(claimed: int) -> None:
    data = bytearray(written(voiced(), 16_000, "WAV", "PCM_16"))
    place = data.index(b"data") + 4
    data[place : place + 4] = claimed.to_bytes(4, "little")
    try:
        with open_audio(bytes(data)) as reader:
            assert sum(len(block) for block in reader.blocks()) == 24_000
            assert not reader.quality.truncated
    except AudioError as error:
        assert claimed == 0, error
        assert error.code == "no_audio"


def test_the_audio_track_of_a_video_is_read() -> None:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        video = output.add_stream("mpeg4", rate=10)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = output.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for index in range(20):
            picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 10 * index, np.uint8), format="rgb24")
            output.mux(video.encode(picture))
        output.mux(video.encode(None))
        pcm = (sine(16_000, 2.0, TONE_HZ, LEVEL) * 32_767).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = 16_000
        output.mux(audio.encode(frame))
        output.mux(audio.encode(None))
    assert_tone(read(file.getvalue()), 0.01)


OUTER = [(0, 0), (1, 0), (0, 1), (777, 4_321), (16_384, 16_383), (40_000, 20_000), (480_001, 441_000)]
"""Samples of silence before and after: none, one, within a piece, on the borders of pieces, beyond a block of 10 s."""


def without_outer_silence(signal: Signal, rate: int) -> tuple[Signal, float, float]:
    """What is left, how far into the recording it starts in seconds, and how long the recording is in seconds."""
    with open_audio((signal, rate)) as reader:
        blocks = list(reader.blocks(without_outer_silence=True))
        assert all(len(block) == read_module.BLOCK_SAMPLES for block in blocks[:-1])
        return np.concatenate([np.zeros(0, np.float32), *blocks]), reader.lead_seconds, reader.duration_seconds


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_outer_silence_is_left_out_before_resampling_however_much_there_is(rate: int) -> None:
    signal = voiced(rate, 1.5)
    signal[0] = signal[-1] = 0.01
    alone, lead, _ = without_outer_silence(signal, rate)
    assert lead == 0.0
    assert np.array_equal(alone, read((signal, rate)))
    for before, after in OUTER:
        left, lead, duration = without_outer_silence(np.pad(signal, (before, after)), rate)
        assert lead == pytest.approx(before / rate, abs=1e-9)
        assert duration == pytest.approx((before + len(signal) + after) / rate)
        # Pieces lie elsewhere in a padded recording; the resampler rounds by where it is cut.
        assert len(left) == len(alone)
        assert np.abs(left - alone).max() < 1e-6


runs_of_samples = st.lists(st.tuples(st.booleans(), st.integers(1, 5_000)), min_size=1, max_size=12)


@settings(max_examples=40, deadline=None)
@given(runs=runs_of_samples, piece=st.integers(100, 3_000))
def test_only_the_zeros_at_either_end_are_left_out_wherever_blocks_and_pieces_begin(
    runs: list[tuple[bool, int]], piece: int
) -> None:
    signal = np.concatenate([np.full(length, 0.1 * sounding, np.float32) for sounding, length in runs])
    signal = np.pad(signal, (0, max(0, 8_000 - len(signal))))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("aasist.audio.source.PIECE_FRAMES", piece)
        patch.setattr(read_module, "BLOCK_SAMPLES", 1_000)
        left, lead, duration = without_outer_silence(signal, 16_000)
    assert np.array_equal(left, np.trim_zeros(signal))
    assert duration == len(signal) / 16_000
    if signal.any():
        assert lead * 16_000 == pytest.approx(np.flatnonzero(signal)[0])


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_a_recording_of_zeros_alone_gives_no_block_and_keeps_its_length(rate: int) -> None:
    left, lead, duration = without_outer_silence(np.zeros(25 * rate, np.float32), rate)
    assert (len(left), lead, duration) == (0, 0.0, 25.0)


def test_twenty_minutes_of_zeros_within_a_recording_are_kept_and_never_held_at_once(tmp_path: Path) -> None:
    path, voice = tmp_path / "muted.flac", voiced(8_000, 1.0)
    voice[0] = voice[-1] = 0.01
    with soundfile.SoundFile(path, "w", 8_000, 1, "PCM_16", format="FLAC") as file:
        for part in (np.zeros(20_000), voice, *[np.zeros(480_000)] * 20, voice, np.zeros(30_000)):
            file.write(part)
    held = seconds = sounding = 0.0
    tracemalloc.start()
    try:
        with open_audio(path) as reader:
            for block in reader.blocks(without_outer_silence=True):
                seconds += len(block) / 16_000
                sounding += np.count_nonzero(np.abs(block) > 1e-3) > 0
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reader.lead_seconds == 2.5
    assert seconds == pytest.approx(1_202.0, abs=0.01)
    assert sounding == 2, "the voice is in the first block and in the last"
    assert reader.duration_seconds == pytest.approx(2.5 + 1_202.0 + 3.75)
    assert held < 16e6, "at 16 kHz the zeros alone are 77 MB"
