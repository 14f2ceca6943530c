"""The page in a browser judges as the command does, and says what it cannot judge."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soxr

from aasist import Detector
from aasist.audio.listen import Listener
from aasist.audio.read import open_audio, read
from aasist.session import SAMPLE_RATE, Float32

from .conftest import EXAMPLE_FILES as RECORDINGS
from .conftest import ROOT, Page

EXAMPLES = ROOT / "examples"

TOLERANCE = 1e-3
"""Of score and llr, between WebAssembly and the processor's own instructions."""


@pytest.fixture(scope="module")
def small() -> Detector:
    return Detector("small", threads=1)


def judged_alike(page: Page, small: Detector, recording: Path) -> dict:
    """Asserts that page and command give one verdict -> the page's."""
    verdict, expected = page.judge(recording), small.detect(recording).to_dict(timeline=True)
    assert verdict["label"] == expected["label"]
    assert verdict["score"] == pytest.approx(expected["score"], abs=TOLERANCE)
    assert verdict["llr"] == pytest.approx(expected["llr"], abs=TOLERANCE)
    for spans in ("windows", "segments"):
        assert len(verdict[spans]) == len(expected[spans])
        for mine, theirs in zip(verdict[spans], expected[spans], strict=True):
            assert mine == pytest.approx(theirs, abs=TOLERANCE + 1e-9)  # times are given to the millisecond
    for key in ("duration_seconds", "speech_seconds", "sample_rate", "channels", "threshold"):
        assert verdict[key] == pytest.approx(expected[key], abs=TOLERANCE)
    assert [warning["code"] for warning in verdict["warnings"]] == [warning["code"] for warning in expected["warnings"]]
    assert verdict["model"] == expected["model"]
    return verdict


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_the_page_judges_an_example_as_the_command_does(recording, page, small, wav):
    recording = wav(read(recording))
    verdict = judged_alike(page, small, recording)
    with open_audio(recording) as reader:
        notes = small.notes
        windows = list(Listener(reader, window_samples=notes.window_samples, hop_samples=notes.hop_samples))
    assert len(windows) > 1
    llrs = [window["llr"] for window in verdict["windows"]]
    assert llrs == pytest.approx(small.llrs_of(np.stack([w.samples for w in windows])).tolist(), abs=TOLERANCE)


def test_a_long_recording_in_two_channels_with_silence_around_is_heard_alike_and_faster_than_it_plays(page, small, wav):
    parts = [read(path) for path in RECORDINGS]
    quiet = np.zeros(5 * SAMPLE_RATE, np.float32)
    joined = np.concatenate([quiet, *(part for speech in parts for part in (speech, quiet[: len(speech)])), quiet])
    stereo = np.stack((joined, 0.5 * joined), axis=1)
    before = page.chromium.cpu_seconds()
    verdict = judged_alike(page, small, wav(stereo))
    seconds, cpu = verdict["duration_seconds"], page.chromium.cpu_seconds() - before
    wall = verdict["judging_seconds"]
    print(
        f"{seconds:.1f} s of audio: {cpu:.2f} s of processor time ({cpu / seconds:.3f} of real time), {wall:.2f} s by the clock"
    )
    # On one thread the processor's time is the clock's, where nothing else runs.
    assert cpu < seconds


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_coding_of_wav_is_heard_alike(subtype, page, small, wav):
    judged_alike(page, small, wav(read(RECORDINGS[0])[: 3 * SAMPLE_RATE], subtype=subtype))


@pytest.mark.parametrize("rate", [8_000, 22_050, 24_000, 44_100, 48_000])
def test_wav_at_another_rate_is_resampled_as_sharply_as_by_the_command(rate, page, small, wav):
    samples = soxr.resample(read(EXAMPLES / "human-librivox-en.flac"), SAMPLE_RATE, rate, quality="HQ")
    recording = wav(samples, rate=rate)
    verdict, expected = page.judge(recording), small.detect(recording)
    assert [w["code"] for w in verdict["warnings"]] == [*(w.code for w in expected.warnings), "resampled"]
    assert verdict["llr"] == pytest.approx(expected.llr, abs=0.01)
    assert (verdict["label"], verdict["sample_rate"]) == (expected.label, rate)
    assert verdict["duration_seconds"] == pytest.approx(expected.duration_seconds, abs=TOLERANCE)


@pytest.mark.parametrize("recording", [r for r in RECORDINGS if r.suffix != ".wav"], ids=lambda path: path.name)
def test_other_formats_go_through_the_browser_and_say_so(recording, page, small):
    verdict, expected = page.judge(recording), small.detect(recording)
    assert verdict["warnings"][-1]["code"] == "decoded"
    assert "decoded by the browser: the command may give another score." in page.text("#warnings")
    assert verdict["duration_seconds"] == pytest.approx(expected.duration_seconds, abs=0.05)
    assert verdict["label"] == expected.label
    assert verdict["score"] == pytest.approx(expected.score, abs=0.05)


def noise(seconds: float) -> Float32:
    return np.random.default_rng(0).normal(0, 0.05, round(seconds * SAMPLE_RATE)).astype(np.float32)


@pytest.mark.parametrize(
    ("made", "code"),
    [
        (lambda speech: np.zeros(2 * SAMPLE_RATE, np.float32), "silence"),
        (lambda speech: noise(3), "no_speech"),
        (lambda speech: speech[SAMPLE_RATE : SAMPLE_RATE + 12_000], "little_speech"),
        (lambda speech: np.clip(30 * speech, -0.99, 0.99), "clipped"),
        (lambda speech: speech + 2 * noise(len(speech) / SAMPLE_RATE), "noisy"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_decided_is_undecided_with_the_reason_of_the_command(made, code, page, small, wav):
    recording = wav(made(read(EXAMPLES / "human-librivox-en.flac")).astype(np.float32))
    expected = small.detect(recording)
    verdict = page.judge(recording)
    assert code in {warning["code"] for warning in verdict["warnings"]}
    assert [(w["code"], w["message"]) for w in verdict["warnings"]] == [(w.code, w.message) for w in expected.warnings]
    assert (verdict["label"], verdict["llr"] is None) == (expected.label, expected.llr is None)


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"", "empty", "empty (0 bytes)"),
        (b"no recording at all\n" * 99, "unreadable", "not a recording that this browser can decode"),
        (b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0", "unreadable", "aasist detect"),
    ],
    ids=["empty", "text", "half a header"],
)
def test_a_bad_file_gives_its_message(content, code, words, page, tmp_path):
    (tmp_path / "bad.wav").write_bytes(content)
    got, message = page.refusal(tmp_path / "bad.wav")
    assert got == code
    assert words in message and message.startswith("bad.wav: ")


@pytest.mark.parametrize(
    ("seconds", "rate", "channels", "code", "words"),
    [
        (0.3, SAMPLE_RATE, 1, "too_short", "0.30 s of audio is too short to judge; 0.5 s is needed"),
        (630.0, 8_000, 1, "too_long", "up to 10 minutes, the recording has 10.5"),
        (1.0, 2_000, 1, "sample_rate", "4,000 to 192,000 Hz, got 2,000 Hz"),
        (1.0, SAMPLE_RATE, 33, "channels", "1 to 32 channels, got 33"),
        (1.0, SAMPLE_RATE, 1, "not_finite", "NaN"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_a_recording_outside_the_limits_gives_its_message(seconds, rate, channels, code, words, page, wav):
    samples = np.full((round(seconds * rate), channels), np.nan if code == "not_finite" else 0.1, np.float32)
    got, message = page.refusal(wav(samples, rate=rate, subtype="FLOAT" if code == "not_finite" else "PCM_U8"))
    assert got == code
    assert words in message


def test_a_file_over_the_limit_of_bytes_is_refused_unread(page, tmp_path):
    with open(tmp_path / "large.wav", "wb") as file:
        os.truncate(file.fileno(), (128 << 20) + 1)
    code, message = page.refusal(tmp_path / "large.wav")
    assert (code, "up to 128 MiB, this one has 129 MiB" in message) == ("too_large", True)
