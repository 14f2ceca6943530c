"""A listener gives the windows of a recording in order and, at the end, what was heard."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
from signals import Signal, sine, voiced, written

from aasist.audio import speech
from aasist.audio.listen import Heard, Listener
from aasist.audio.read import Source, open_audio, read
from aasist.audio.windows import Window
from aasist.errors import AudioError

WINDOW, HOP = 64_600, 32_300


def heard(source: Source, *, channel: int | None = None, threads: int = 1) -> tuple[list[Window], Heard]:
    with open_audio(source, channel=channel) as reader:
        listener = Listener(reader, window_samples=WINDOW, hop_samples=HOP, threads=threads)
        windows = list(listener)
    return windows, listener.summary


def codes(summary: Heard) -> tuple[set[str], set[str]]:
    return {each.code for each in summary.warnings}, {each.code for each in summary.undecided_reasons}


@pytest.fixture(scope="module")
def clip(recordings: list[Path]) -> Signal:
    """A clip of three seconds or more, cut to whole chunks."""
    samples = next(samples for samples in map(read, recordings) if len(samples) >= 48_000)
    return samples[: len(samples) // 512 * 512]


def test_windows_hold_the_audio_at_their_start(recordings: list[Path]) -> None:
    for path in recordings[:5]:
        samples = read(path)
        windows, summary = heard(path)
        assert windows
        for window in windows:
            real = samples[window.start : window.start + window.length]
            # The resampler's last bit depends on where its buffers happen to lie in memory.
            assert np.allclose(window.samples[: window.length], real, rtol=0, atol=1e-6)
        assert summary.duration_seconds == pytest.approx(len(samples) / 16_000)
        assert 0 < summary.speech_seconds <= summary.duration_seconds
        assert summary.quality.truncated is False


def test_silence_gives_no_window_and_stays_undecided() -> None:
    windows, summary = heard((np.zeros(160_000, np.float32), 16_000))
    assert windows == []
    assert codes(summary) == (set(), {"silence"})
    assert summary.speech_seconds == 0.0


def test_noise_gives_no_window_and_stays_undecided() -> None:
    noise = (0.1 * np.random.default_rng(0).standard_normal(160_000)).astype(np.float32)
    windows, summary = heard((noise, 16_000))
    assert windows == []
    assert codes(summary)[1] == {"no_speech"}


def test_little_speech_is_scored_and_stays_undecided(clip: Signal) -> None:
    mask = speech.speech_mask(clip)
    first = int(mask.argmax()) * 512
    short = np.pad(clip[first : first + 9_600], (16_000, 16_000))
    windows, summary = heard((short, 16_000))
    assert len(windows) == 1
    assert 0 < summary.speech_seconds < 1.0
    assert "little_speech" in codes(summary)[1]


def test_hard_clipping_stays_undecided(clip: Signal) -> None:
    level = np.sqrt(np.mean(clip**2))
    windows, summary = heard((np.clip(clip / level * 3, -0.99, 0.99), 16_000))
    assert windows
    assert summary.quality.clipped_fraction > 0.1
    assert "clipped" in codes(summary)[1]


def test_a_telephone_recording_is_warned_of(clip: Signal) -> None:
    import soxr

    telephone = np.asarray(soxr.resample(clip, 16_000, 8_000), np.float32)
    _, summary = heard(written(telephone, 8_000, "WAV", "ULAW"))
    assert (summary.sample_rate, summary.channels) == (8_000, 1)
    assert "narrow_band" in codes(summary)[0]


def test_padding_with_silence_moves_no_window_against_the_speech(clip: Signal) -> None:
    padding = 512 * 200
    near, _ = heard((np.pad(clip, (512 * 10, 70_000)), 16_000))
    far, _ = heard((np.pad(clip, (512 * 10 + padding, 170_000)), 16_000))
    assert [window.start + padding for window in near] == [window.start for window in far]
    for one, other in zip(near, far, strict=True):
        assert np.array_equal(one.samples, other.samples)


def test_one_channel_can_be_listened_to(clip: Signal) -> None:
    both = np.stack((np.zeros_like(clip), clip), axis=1)
    assert heard((both, 16_000), channel=0)[0] == []
    windows, summary = heard((both, 16_000), channel=1)
    assert windows
    assert summary.channels == 2


def test_long_recordings_are_heard_in_order_with_bounded_memory(clip: Signal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many spans: the windows still tile the speech, and the same for any number of threads."""
    monkeypatch.setattr(speech, "_SPAN_SAMPLES", 2 * speech._STRIPE_SAMPLES)
    samples = np.tile(np.pad(clip, (0, 16_000)), 1 + 60 * 16_000 // len(clip))
    windows, summary = heard((samples, 16_000))
    starts = [window.start for window in windows]
    assert starts == sorted(set(starts))
    assert summary.duration_seconds == pytest.approx(len(samples) / 16_000)
    covered = np.zeros(len(samples), np.bool_)
    for window in windows:
        covered[window.start : window.start + window.length] = True
    mask = np.repeat(speech.speech_mask(samples), 512)[: len(samples)]
    assert covered[mask].mean() > 0.95
    assert starts == [window.start for window in heard((samples, 16_000), threads=2)[0]]


def test_errors_come_through_while_listening() -> None:
    file = io.BytesIO()
    signal = voiced(seconds=2.0)
    signal[-1] = np.nan
    soundfile.write(file, signal, 16_000, format="WAV", subtype="FLOAT")
    with pytest.raises(AudioError) as caught:
        heard(file.getvalue())
    assert caught.value.code == "not_finite"


def test_the_summary_is_there_only_at_the_end() -> None:
    with open_audio((sine(16_000, 1.0), 16_000)) as reader:
        listener = Listener(reader, window_samples=WINDOW, hop_samples=HOP)
        with pytest.raises(RuntimeError, match="all its windows"):
            assert listener.summary
        list(listener)
        assert listener.summary.duration_seconds == 1.0
