"""The page in a browser judges as the command does, says what it cannot judge, and talks to no one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
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


@pytest.fixture
def wav(tmp_path: Path) -> Callable[..., Path]:
    """Writes samples (N,) or (N, C) as WAV of 16-bit PCM at 16 kHz."""

    def write(samples: Float32, name: str = "recording.wav", rate: int = SAMPLE_RATE, subtype: str = "PCM_16") -> Path:
        soundfile.write(tmp_path / name, samples, rate, subtype=subtype)
        return tmp_path / name

    return write


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


def test_no_request_leaves_the_origin_and_none_is_made_for_a_recording(page, wav):
    page.open()
    loaded = list(page.served.requests)
    assert {method for method, _ in loaded} == {"GET"}
    page.chromium.call(
        "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1
    )
    try:
        assert page.judge(wav(read(RECORDINGS[0])))["label"] == "bonafide"
        page.judge(RECORDINGS[0])
    finally:
        page.chromium.call(
            "Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1
        )
    assert page.served.requests == loaded
    addresses = [event["request"]["url"] for event in page.chromium.seen("Network.requestWillBeSent")]
    assert len(addresses) >= 15
    elsewhere = [url for url in addresses if not url.startswith((page.served.address, "data:", "blob:"))]
    assert not elsewhere
    # A violation of the policy, a failed request and an exception would all be in the log.
    assert [entry["entry"]["text"] for entry in page.chromium.seen("Log.entryAdded")] == []
    assert page.chromium.seen("Runtime.exceptionThrown") == []


def test_the_policy_of_the_page_forbids_to_send_anything_elsewhere(page):
    other = page.served.address.replace("127.0.0.1", "localhost")
    tries = {
        "fetch": f"fetch('{other}').then(() => 'sent', () => 'refused')",
        "image": f"new Promise(done => {{ const i = new Image(); i.onload = () => done('sent'); i.onerror = () => done('refused'); i.src = '{other}x.png'; }})",
        "beacon": f"new Promise(done => {{ document.addEventListener('securitypolicyviolation', () => done('refused'), {{once: true}}); navigator.sendBeacon('{other}', 'x'); setTimeout(() => done('sent'), 3000); }})",
        "code": "(() => { try { eval('1'); return 'ran'; } catch { return 'refused'; } })()",
    }
    before = list(page.served.requests)
    assert {name: page.chromium.evaluate(code) for name, code in tries.items()} == dict.fromkeys(tries, "refused")
    assert page.served.requests == before


def test_a_dropped_file_is_judged_and_two_at_once_are_not(page, wav):
    recording = wav(read(RECORDINGS[0]), "dropped.wav")
    page.drop(recording)
    assert page.verdict()["path"] == "dropped.wav"
    assert page.chromium.evaluate("document.querySelector('#file').files[0].name") == "dropped.wav"
    page.drop(recording, RECORDINGS[1])
    page.chromium.until("!document.querySelector('#error').hidden")
    assert "one recording at a time, got 2" in page.text("#error")


def test_judging_can_be_stopped_and_another_recording_takes_over(page, wav):
    long = wav(np.tile(read(RECORDINGS[0]), 20), "long.wav")
    page.chromium.choose("#file", long)
    page.chromium.until("document.querySelector('#progress').value > 0")
    page.chromium.evaluate("document.querySelector('#cancel').click()")
    assert page.text("#status") == "Stopped."
    page.chromium.choose("#file", long)
    page.chromium.until("document.querySelector('#progress').value > 0")
    assert page.judge(wav(read(RECORDINGS[0]), "short.wav"))["path"] == "short.wav"
    time.sleep(0.5)
    assert page.text("#status") == "short.wav: judged."
    assert page.chromium.evaluate("document.querySelector('#progress').hidden")


def test_the_verdict_stands_in_words_for_eyes_and_for_screen_readers(page, wav):
    page.judge(wav(read(EXAMPLES / "spoof-espeak-de.wav")))
    assert page.text("#words") == "Spoof: it sounds synthetic, converted or cloned"
    assert "does not prove that it is fake" in page.text("#sentence")
    assert "A score is evidence, not proof." in page.text("main")
    assert "its equal error rate is 34.7 %" in page.text("#figures")
    assert page.chromium.evaluate("document.activeElement.id") == "words"
    label = page.chromium.evaluate("document.querySelector('#timeline').getAttribute('aria-label')")
    assert label.startswith("Along time: ") and "spoof, score 0.0" in label
    names = {
        node["role"]["value"]: node.get("name", {}).get("value", "")
        for node in page.chromium.call("Accessibility.getFullAXTree")["nodes"]
        if not node.get("ignored")
    }
    assert {"status", "image", "heading"} <= set(names)
    page.chromium.evaluate("document.activeElement.blur(); document.querySelector('#file').focus()")
    named = page.chromium.evaluate("document.querySelector('#file').labels[0].innerText")
    assert named == "Choose a recording, or drop one here"


def colours(page: Page) -> set[tuple[int, ...]]:
    """What is drawn on the timeline."""
    pixels = page.chromium.evaluate(
        "(() => { const c = document.querySelector('#timeline');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; const seen = new Set();"
        "for (let i = 0; i < d.length; i += 4) seen.add([...d.slice(i, i + 4)].join()); return [...seen]; })()"
    )
    return {tuple(map(int, pixel.split(","))) for pixel in pixels}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits_a_phone_and_a_desk_by_day_and_by_night(width, dark, page, wav, tmp_path):
    page.chromium.screen(width, 844, dark=dark)
    page.judge(
        wav(
            read(EXAMPLES / "spoof-kokoro-en.m4a"),
            "a-name-that-is-as-long-as-those-which-recorders-give_2026-11-30_1.wav",
        )
    )
    page.chromium.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert page.chromium.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.chromium.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(21, 24, 27)") is dark
    real, fake = ((23, 58, 61, 255), (69, 39, 15, 255)) if dark else ((217, 238, 238, 255), (250, 227, 211, 255))
    assert {real, fake} <= colours(page)  # this recording has both, a window of each
    page.chromium.evaluate("document.querySelectorAll('details').forEach(part => part.open = false)")
    if folder := os.environ.get("AASIST_PICTURES"):
        (Path(folder) / f"page-{width}-{'dark' if dark else 'light'}.png").write_bytes(page.chromium.picture())
