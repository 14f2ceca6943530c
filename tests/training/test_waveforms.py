"""A recording becomes a crop as in the published code, and 16 bits of any format are what it is cut from."""

import errno
import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as some

from aasist.errors import AudioError
from aasist.training import waveforms
from aasist.training.recordings import DataError
from aasist.training.waveforms import Crop, cut, decoded, lengths_of, positions_of, trimmed

WINDOW = 64_600
RAMP = np.arange(-20_000, 20_000).astype(np.int16)


def published_pad(x: np.ndarray, start: int = 0, max_len: int = WINDOW) -> np.ndarray:
    """What clovaai/aasist's data_utils.py does, its random start given: told from its description, on floats."""
    if len(x) >= max_len:
        return x[start : start + max_len]
    return np.concatenate([x] * (max_len // len(x) + 1))[:max_len]


@pytest.mark.parametrize("count", [1, 30_000, 64_599, 64_600, 64_601, 100_000])
def test_the_first_window_is_the_published_one(count: int) -> None:
    samples = np.random.default_rng(count).integers(-(2**15), 2**15, count).astype(np.int16)
    window = cut(samples, WINDOW)
    assert window.shape == (WINDOW,) and window.dtype == np.float32
    assert (window == published_pad(samples / 2**15)).all()


def test_a_clip_of_a_window_and_one_sample_begins_at_its_first_as_published() -> None:
    """The published start is drawn below N - T: the last place is never taken, and of 64,601 samples there is one."""
    samples = np.arange(64_601).astype(np.int16)
    assert (cut(samples, WINDOW, 0.9999) == cut(samples, WINDOW)).all()
    assert (cut(samples[:-1], WINDOW, 0.9999) == published_pad(samples[:-1] / 2**15)).all()
    assert (cut(samples[:-2], WINDOW, 0.9999) == published_pad(samples[:-2] / 2**15)).all()


@given(some.integers(1, 200), some.integers(1, 200), some.floats(0, 1, exclude_max=True))
def test_a_random_crop_is_a_run_of_the_recording_or_of_its_repetition(count: int, length: int, where: float) -> None:
    samples = RAMP[:count]
    crop = np.rint(cut(samples, length, where) * 2**15)
    start = int(crop[0]) - int(samples[0])
    assert (crop == np.resize(np.roll(samples, -start), length)).all()
    assert start == 0 if count <= length else start <= count - length - 1
    turned = np.rint(cut(samples, length, where, turn=True) * 2**15)
    begun = int(turned[0]) - int(samples[0])
    assert begun == int(where * (count if count < length else count - length))
    assert (turned == np.resize(np.roll(samples, -begun), length)).all()


def test_all_starts_of_a_longer_clip_are_as_likely_but_for_the_last() -> None:
    places = positions_of(seed=1, epoch=0, places=np.arange(20_000))
    assert places.min() >= 0 and places.max() < 1 and abs(places.mean() - 0.5) < 0.01
    starts = [int(where * 10) for where in places]
    assert {*starts} == {*range(10)} and np.bincount(starts).min() > 1_800
    assert (positions_of(1, 0, np.array([5, 5, 6]))[[0, 0, 1]] == positions_of(1, 0, np.array([5, 5, 6]))[[0, 1, 1]])[0]
    assert positions_of(1, 0, np.array([5])) != positions_of(1, 1, np.array([5])) != positions_of(2, 0, np.array([5]))


def test_lengths_are_drawn_for_each_batch_and_whole_in_the_last_share() -> None:
    crop = Crop(lengths=(20_000, 24_000, 32_300), full_from=0.9)
    every = [lengths_of(crop, WINDOW, 50, seed=0, epoch=epoch, epochs=10) for epoch in range(10)]
    assert {*np.concatenate(every[:9]).tolist()} == {20_000, 24_000, 32_300}
    assert {*every[9].tolist()} == {WINDOW}
    half = lengths_of(crop, WINDOW, 50, seed=0, epoch=0, epochs=1)
    assert (half[:45] < WINDOW).all() and (half[45:] == WINDOW).all()
    assert {*lengths_of(Crop(), WINDOW, 4, seed=0, epoch=0, epochs=1).tolist()} == {WINDOW}


def test_sixteen_bits_come_out_to_the_bit(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 20_000).astype(np.int16)
    soundfile.write(tmp_path / "a.flac", samples, 16_000)
    soundfile.write(tmp_path / "a.wav", samples, 16_000)
    for name in ("a.flac", "a.wav"):
        assert (decoded(tmp_path / name, Crop()) == samples).all()


def test_other_rates_channels_and_formats_are_heard_at_16_khz_mono(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48_000 * 2) / 48_000)
    soundfile.write(tmp_path / "tone.ogg", np.stack([tone, tone], 1), 48_000)
    samples = decoded(tmp_path / "tone.ogg", Crop())
    assert samples.dtype == np.int16 and abs(len(samples) - 32_000) < 200
    spectrum = np.abs(np.fft.rfft(samples[:32_000] * np.hanning(len(samples[:32_000]))))
    assert abs(spectrum.argmax() * 16_000 / len(samples[:32_000]) - 440) < 2
    soundfile.write(tmp_path / "loud.wav", 4 * tone.astype(np.float32), 48_000, subtype="FLOAT")
    loud = decoded(tmp_path / "loud.wav", Crop())
    assert loud.max() == 2**15 - 1 and loud.min() == -(2**15)


def test_a_recording_is_heard_so_far_as_the_recipe_says(tmp_path: Path) -> None:
    samples = (np.arange(16_000 * 25) % 1_000).astype(np.int16)
    soundfile.write(tmp_path / "long.wav", samples, 16_000)
    heard = decoded(tmp_path / "long.wav", Crop(longest_seconds=12.5))
    assert (heard == samples[:200_000]).all() and len(heard) == 200_000


@pytest.mark.parametrize(
    ("name", "rate", "count"), [("a.wav", 16_000, 1), ("a.flac", 16_000, 300), ("a.wav", 44_100, 900)]
)
def test_no_recording_is_too_short(name: str, rate: int, count: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / name, np.full(count, 1_000, np.int16), rate)
    samples = decoded(tmp_path / name, Crop())
    assert len(samples) == round(count * 16_000 / rate) and samples.any()
    assert len(cut(samples, WINDOW)) == WINDOW


def failing(monkeypatch: pytest.MonkeyPatch, errors: list[Exception]) -> list[object]:
    """Let reading fail in turn as told, then go well; what was tried."""
    tried: list[object] = []
    real = waveforms.open_audio

    def opened(path: object, **options: object) -> object:
        tried.append(path)
        if errors:
            raise errors.pop(0)
        return real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(waveforms, "open_audio", opened)
    monkeypatch.setattr(waveforms, "RETRY_SECONDS", 0.0)
    return tried


def of_the_machine() -> list[Exception]:
    on_the_way = AudioError("unreadable", "reading the file failed: Input/output error")
    on_the_way.__cause__ = OSError(errno.EIO, "Input/output error")
    return [AudioError("timeout", "decoding was given up"), on_the_way, OSError(errno.EMFILE, "Too many open files")]


@pytest.mark.parametrize("number", range(3))
def test_what_the_machine_failed_at_is_tried_again_and_then_ends_the_run(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", RAMP, 16_000)
    tried = failing(monkeypatch, [of_the_machine()[number]])
    assert (decoded(tmp_path / "a.wav", Crop()) == RAMP).all() and len(tried) == 2
    tried = failing(monkeypatch, [of_the_machine()[number], of_the_machine()[number]])
    with pytest.raises(DataError, match=r"a\.wav: .*second try, and the recording may be sound: .* resume") as caught:
        decoded(tmp_path / "a.wav", Crop())
    assert caught.value.code == "reading" and len(tried) == 2


def test_what_is_wrong_with_a_recording_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in ("unreadable", "not_finite", "not_found"):
        tried = failing(monkeypatch, [AudioError(code, "no")])
        with pytest.raises(AudioError, match="no"):
            decoded(tmp_path / "a.wav", Crop())
        assert len(tried) == 1


def test_a_file_that_cannot_be_opened_for_now_is_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", RAMP, 16_000)
    monkeypatch.setattr(waveforms, "RETRY_SECONDS", 0.0)

    def full(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("aasist.audio.source.os.open", full)
    with pytest.raises(DataError, match="Too many open files"):
        decoded(tmp_path / "a.wav", Crop())
    monkeypatch.undo()
    with pytest.raises(AudioError, match="no such file"):
        decoded(tmp_path / "b.wav", Crop())


def test_a_machine_that_stands_still_for_a_minute_costs_no_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / "a.wav", RAMP, 16_000)
    seconds = itertools.count(step=5.0)
    monkeypatch.setattr("aasist.audio.decode.time.monotonic", lambda: next(seconds))
    assert (decoded(tmp_path / "a.wav", Crop()) == RAMP).all()
    assert next(seconds) > 60


@pytest.mark.parametrize("peak", [0.0, 1e-6])
def test_a_recording_of_zeros_is_refused_as_silent(peak: float, tmp_path: Path) -> None:
    samples = np.full(16_000, peak, np.float32)
    soundfile.write(tmp_path / "silent.wav", samples, 16_000, subtype="FLOAT")
    with pytest.raises(AudioError, match="every sample is zero; leave the recording out") as caught:
        decoded(tmp_path / "silent.wav", Crop())
    assert caught.value.code == "silent"


def test_quiet_ends_are_trimmed_by_frames_of_20_ms() -> None:
    speech = np.full(3_200, 10_000, np.int16)
    quiet = np.full(1_000, 50, np.int16)  # 46 dB under the speech
    samples = np.concatenate([quiet, speech, quiet])
    kept = trimmed(samples, 40.0)
    assert 3_200 <= len(kept) <= 3_200 + 2 * 320 and (kept == 10_000).sum() == 3_200
    assert len(trimmed(samples, 60.0)) == len(samples) // 320 * 320
    assert len(trimmed(speech[:100], 40.0)) == 100 and len(trimmed(np.zeros(640, np.int16), 40.0)) == 640
