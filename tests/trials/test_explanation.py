"""What decided, with sessions that look at one thing only: the explanation must find it, and nothing else."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from aasist import Detector
from aasist.errors import AudioError, ModelError
from aasist.recipe import Architecture
from aasist.runtime import detector as detector_module
from aasist.runtime.modelfile import Calibration, ModelNotes
from aasist.runtime.models import OpenModel
from aasist.runtime.verdict import ModelIdentity
from aasist.session import SAMPLE_RATE, Float32, mel_edges_hz
from aasist.trials.explanation import (
    BandChange,
    ExplainedVerdict,
    Explanation,
    SpanChange,
    decisive_windows,
    explain,
)
from aasist.trials.occlusion import (
    FADE_SAMPLES,
    band_masks,
    filled,
    noise_like,
    span_masks,
    without_bands,
    without_spans,
)

Make = Callable[..., Detector]
EDGES_HZ = mel_edges_hz(70)


class Session:
    """Scores each window with a function of its samples (T,)."""

    precision = "fp32"

    def __init__(self, margin: Callable[[Float32], float]) -> None:
        self.margin = margin

    def run(self, windows: Float32) -> Float32:
        margins = np.array([self.margin(window) for window in windows])
        return np.stack([np.zeros_like(margins), margins], axis=1).astype(np.float32)


@pytest.fixture
def detector_of(monkeypatch: pytest.MonkeyPatch) -> Make:
    """A detector around a margin of one window, with windows of 2 s every 1.5 s and the identity as calibration."""

    def make(margin: Callable[[Float32], float], threads: int = 1, **notes: object) -> Detector:
        said = {"window_samples": 32_000, "hop_samples": 24_000, "calibration": Calibration(), **notes}
        identity = ModelIdentity("fake", "0" * 64, "fp32")
        opened = OpenModel(Session(margin), ModelNotes("fake", **said), identity)  # type: ignore[arg-type]
        monkeypatch.setattr(detector_module, "open_model", lambda model, **options: opened)
        return Detector("fake", threads=threads)

    return make


@pytest.fixture(scope="module")
def speech(recording: Path) -> Float32:
    """Five seconds of speech at 16 kHz."""
    samples, rate = soundfile.read(recording, dtype="float32")
    assert rate == SAMPLE_RATE
    return np.asarray(samples, np.float32)


def loudness(window: Float32) -> float:
    return 10 * float(np.abs(window, dtype=np.float64).mean())


def power_between(low_hz: float, high_hz: float) -> Callable[[Float32], float]:
    """Share of a window's energy that lies between two frequencies, times 10."""

    def margin(window: Float32) -> float:
        spectrum = np.abs(np.fft.rfft(window.astype(np.float64))) ** 2
        hertz = np.fft.rfftfreq(len(window), 1 / SAMPLE_RATE)
        return 10 * float(spectrum[(hertz > low_hz) & (hertz < high_hz)].sum()) / len(window)

    return margin


def test_a_session_that_looks_at_one_span_is_found_out(detector_of: Make, speech: Float32) -> None:
    first, last = 9_000, 11_000
    clip = speech[16_000:48_000]
    detector = detector_of(lambda window: loudness(window[first:last]))
    (start,) = (window.start for window in decisive_windows(detector, (clip, SAMPLE_RATE)).windows)
    explanation = explain(detector, (clip, SAMPLE_RATE))
    assert len(explanation.spans) == 8
    for span in explanation.spans:
        # A fade is centred on its edge: it reaches half its length into the neighbour.
        begins, ends = span.start * SAMPLE_RATE - start, span.end * SAMPLE_RATE - start
        seen = begins - FADE_SAMPLES / 2 < last and ends + FADE_SAMPLES / 2 > first
        assert (span.llr_change > 0.05) if seen else (span.llr_change == 0.0), span


@pytest.mark.parametrize("group", [0, 3, 8, 13])
def test_a_session_that_looks_at_one_band_is_found_out(group: int, detector_of: Make, speech: Float32) -> None:
    low, high = EDGES_HZ[group * 5 + 1], EDGES_HZ[group * 5 + 4]
    explanation = explain(detector_of(power_between(low, high)), (speech, SAMPLE_RATE), most_windows=1)
    assert len(explanation.bands) == 14
    changes = np.array([band.llr_change for band in explanation.bands])
    assert explanation.bands[group].low_hz < low < high < explanation.bands[group].high_hz
    assert changes[group] > 0
    assert np.abs(np.delete(changes, group)).max() < 0.02 * changes[group]


def test_what_speaks_for_spoof_has_a_negative_change(detector_of: Make, speech: Float32) -> None:
    louder = explain(detector_of(loudness), (speech, SAMPLE_RATE))
    quieter = explain(detector_of(lambda window: -loudness(window)), (speech, SAMPLE_RATE))
    assert max(span.llr_change for span in louder.spans) > 0.1
    np.testing.assert_allclose(
        [part.llr_change for part in (*louder.spans, *louder.bands)],
        [-part.llr_change for part in (*quieter.spans, *quieter.bands)],
        atol=1e-6,
    )


def test_a_session_that_always_says_the_same_is_explained_by_nothing(detector_of: Make, speech: Float32) -> None:
    explanation = explain(detector_of(lambda window: 3.0), (speech, SAMPLE_RATE))
    assert explanation.llr == 3.0
    assert {part.llr_change for part in (*explanation.spans, *explanation.bands)} == {0.0}
    assert explanation.in_words() == ""


def test_digital_silence_within_the_speech_decides_nothing(detector_of: Make, speech: Float32) -> None:
    clip = speech[16_000:48_000].copy()
    clip[11_000:21_000] = 0.0
    explanation = explain(detector_of(loudness), (clip, SAMPLE_RATE))
    inside = [span.llr_change for span in explanation.spans if span.start >= 0.7 and span.end <= 1.3]
    assert inside == [0.0, 0.0]
    assert max(span.llr_change for span in explanation.spans) > 0.01


def test_changes_agree_with_a_loop_over_spans_and_windows(detector_of: Make, speech: Float32) -> None:
    detector = detector_of(lambda window: loudness(window[::3]), calibration=Calibration(slope=2.0, offset=-0.5))
    source = (speech, SAMPLE_RATE)
    explanation = explain(detector, source, span_seconds=0.4)
    windows = decisive_windows(detector, source).windows
    assert len(windows) > 2
    assert explanation.spans[0].start == round(windows[0].start / SAMPLE_RATE, 3)
    for span, after in zip(explanation.spans, (*explanation.spans[1:], None), strict=True):
        assert after is None or after.start == span.end
        first, last = round(span.start * SAMPLE_RATE), round(span.end * SAMPLE_RATE)
        shares = [min(last, w.start + w.length) - max(first, w.start) for w in windows]
        changes = []
        for window, share in zip(windows, shares, strict=True):
            if share < max(shares):
                continue
            samples, noise = window.samples.astype(np.float64), noise_like(window.samples)
            places = window.start + np.arange(window.length) + 0.5
            into = np.clip((places - first) / FADE_SAMPLES + 0.5, 0, 1) if first > window.start else 1.0
            out = np.clip((last - places) / FADE_SAMPLES + 0.5, 0, 1) if last < window.start + window.length else 1.0
            weights = (1 - np.cos(np.pi * into)) / 2 * (1 - np.cos(np.pi * out)) / 2
            occluded = (1 - weights) * samples + weights * noise
            changes.append(2.0 * (loudness(window.samples[::3]) - loudness(occluded[::3].astype(np.float32))))
        # Spans are given to the millisecond, which moves an edge by up to 8 samples.
        assert span.llr_change == pytest.approx(np.mean(changes), abs=0.02)


def test_the_windows_farthest_from_the_threshold_are_explained_and_coverage_says_how_many(
    detector_of: Make, speech: Float32
) -> None:
    detector = detector_of(loudness, window_samples=8_000, hop_samples=6_000, threshold=0.4)
    verdict = detector.detect((speech, SAMPLE_RATE))
    llrs = [window.llr for window in verdict.windows]
    farthest = sorted(sorted(range(len(llrs)), key=lambda at: -abs(llrs[at] - 0.4))[:3])
    decisive = decisive_windows(detector, (speech, SAMPLE_RATE), most=3)
    assert [round(window.start / SAMPLE_RATE, 3) for window in decisive.windows] == [
        verdict.windows[at].start for at in farthest
    ]
    explanation = explain(detector, (speech, SAMPLE_RATE), most_windows=3)
    assert (explanation.explained_windows, explanation.windows) == (3, len(llrs))
    assert explanation.coverage == 3 / len(llrs)
    assert explanation.llr == pytest.approx(verdict.llr)
    for span in explanation.spans:
        assert any(w.start - 1e-3 <= span.start and span.end <= w.end + 1e-3 for w in verdict.windows)


def test_of_windows_that_say_the_same_the_earlier_are_explained(detector_of: Make, speech: Float32) -> None:
    detector = detector_of(lambda window: 1.0, window_samples=8_000, hop_samples=6_000)
    starts = [window.start for window in decisive_windows(detector, (speech, SAMPLE_RATE), most=100).windows]
    assert [w.start for w in decisive_windows(detector, (speech, SAMPLE_RATE), most=2).windows] == starts[:2]


def test_a_recording_shorter_than_a_window_is_occluded_in_every_repeat(detector_of: Make, speech: Float32) -> None:
    clip = speech[16_000:26_000]
    seen: list[Float32] = []

    def margin(window: Float32) -> float:
        seen.append(window)
        return 0.0

    explain(detector_of(margin), (clip, SAMPLE_RATE))
    assert len(seen) > 10
    for window in seen:
        np.testing.assert_array_equal(window, np.resize(window[:10_000], 32_000))


def test_threads_and_the_kind_of_source_change_nothing(detector_of: Make, speech: Float32, recording: Path) -> None:
    expected = explain(detector_of(loudness), (speech, SAMPLE_RATE))
    threaded = detector_of(loudness, threads=3)
    assert explain(threaded, recording) == explain(threaded, io.BytesIO(recording.read_bytes())) == expected


def test_progress_is_told_in_seconds_that_grow(detector_of: Make, speech: Float32) -> None:
    told: list[float] = []
    explain(detector_of(loudness), (speech, SAMPLE_RATE), progress=told.append)
    assert told == [2.0 * (number + 1) for number in range(len(told))]
    assert len(told) > 2


def test_a_recording_without_speech_has_an_empty_explanation(detector_of: Make) -> None:
    explanation = explain(detector_of(loudness), (np.zeros(SAMPLE_RATE, np.float32), SAMPLE_RATE))
    assert explanation == Explanation(None, 0, 0, (), ())
    assert (explanation.coverage, explanation.in_words()) == (0.0, "")


def test_the_object_is_json_without_nan_and_stands_in_the_verdicts_own(detector_of: Make, speech: Float32) -> None:
    detector = detector_of(loudness)
    verdict = detector.detect((speech, SAMPLE_RATE))
    explanation = explain(detector, (speech, SAMPLE_RATE))
    whole = json.loads(ExplainedVerdict.of(verdict, explanation).to_json())
    said = whole.pop("explanation")
    assert whole == json.loads(verdict.to_json())
    assert said == json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    assert set(said["spans"][0]) == {"start", "end", "llr_change"}
    assert set(said["bands"][0]) == {"low_hz", "high_hz", "llr_change"}
    assert list(json.loads(ExplainedVerdict.of(verdict, None).to_json(timeline=True)))[-2:] == [
        "explanation",
        "windows",
    ]


def test_words_name_the_strongest_span_and_band_of_either_side() -> None:
    spans = (SpanChange(0.0, 0.25, -0.3), SpanChange(0.25, 0.5, 0.1), SpanChange(0.5, 0.75, -0.2))
    bands = (BandChange(0.0, 1_767.8, -0.25), BandChange(1_767.8, 8_000.0, -0.5))
    words = "most for real: 0.25 to 0.50 s (+0.10); most for fake: 0.00 to 0.25 s (-0.30), 1,768 to 8,000 Hz (-0.50)"
    assert Explanation(-1.0, 1, 1, spans, bands).in_words() == words


def test_a_model_with_few_bands_is_explained_in_as_many_groups(detector_of: Make, speech: Float32) -> None:
    few = Architecture(bands=12).to_json()
    bands = explain(detector_of(loudness, variant=few), (speech, SAMPLE_RATE), most_windows=1).bands
    assert [band.low_hz for band in bands] == [round(edge, 1) for edge in mel_edges_hz(12)[:-1]]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"span_seconds": 0.001}, "a span must be 0.02 s or longer, got 0.001"),
        ({"span_seconds": float("nan")}, "a span must be"),
        ({"bands": 0}, "bands must be 1 to 70, as many as the model has, got 0"),
        ({"bands": 71}, "bands must be 1 to 70"),
        ({"most_windows": 0}, "1 window or more, got 0"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, float], said: str, detector_of: Make) -> None:
    with pytest.raises(ValueError, match=said):
        explain(detector_of(loudness), (np.zeros(16_000, np.float32), SAMPLE_RATE), **options)


def test_what_cannot_be_read_or_scored_is_an_error_as_in_detect(detector_of: Make, recording: Path) -> None:
    with pytest.raises(AudioError, match="no such file"):
        explain(detector_of(loudness), recording.with_name("none.flac"))
    with pytest.raises(ModelError, match="not a finite number"):
        explain(detector_of(lambda window: float("nan")), recording)


@given(cuts=st.lists(st.integers(1, 4_999), max_size=8, unique=True).map(sorted))
def test_masks_of_neighbouring_spans_are_between_0_and_1_and_sum_to_1(cuts: list[int]) -> None:
    edges = np.array([0, *cuts, 5_000])
    masks = span_masks(edges[:-1], edges[1:], 5_000)
    np.testing.assert_allclose(masks.sum(axis=0), 1.0, atol=1e-6)
    if np.diff(edges).min() >= FADE_SAMPLES:
        assert masks.min() >= 0.0
        assert masks.max() <= 1.0
    assert np.abs(np.diff(masks, axis=1)).max() <= np.pi / 2 / FADE_SAMPLES + 1e-6


@given(groups=st.integers(1, 70), bins=st.integers(50, 5_000))
def test_masks_of_bands_sum_to_1_and_lie_between_their_edges(groups: int, bins: int) -> None:
    edges = EDGES_HZ[np.linspace(0, 70, groups + 1).round().astype(int)]
    masks = band_masks(edges, EDGES_HZ, bins)
    np.testing.assert_allclose(masks.sum(axis=0), 1.0, atol=1e-9)
    assert masks.min() > -1e-12
    hertz = np.linspace(0, 8_000, bins)
    for mask, low, high in zip(masks, edges[:-1], edges[1:], strict=True):
        width = EDGES_HZ[70] - EDGES_HZ[69]
        assert not mask[(hertz < low - width) | (hertz > high + width)].any()


@settings(max_examples=20)
@given(hz=st.floats(60, 7_900))
def test_a_tone_goes_with_its_own_band_and_stays_with_every_other(hz: float) -> None:
    groups = EDGES_HZ[::5]
    near = np.abs(groups - hz) < 150
    tone = np.sin(2 * np.pi * hz * np.arange(16_000) / SAMPLE_RATE).astype(np.float32)
    kept = without_bands(tone, groups, EDGES_HZ)
    own = int(np.searchsorted(groups, hz)) - 1
    for group, samples in enumerate(kept):
        left = np.square(samples[4_000:12_000]).mean() / np.square(tone[4_000:12_000]).mean()
        if group == own and not near.any():
            assert left < 1e-3
        elif abs(group - own) > 1:
            assert left == pytest.approx(1.0, abs=1e-3)


@settings(max_examples=20)
@given(level=st.floats(1e-4, 0.3), seed=st.integers(0, 100))
def test_the_noise_of_a_noise_has_its_level_and_is_the_same_each_time(level: float, seed: int) -> None:
    samples = (level * np.random.default_rng(seed).standard_normal(32_000)).astype(np.float32)
    noise = noise_like(samples)
    assert 20 * np.log10(noise.std() / level) == pytest.approx(-0.5, abs=0.6)
    np.testing.assert_array_equal(noise, noise_like(samples))
    assert not noise_like(np.zeros(700, np.float32)).any()


def test_the_noise_has_the_spectrum_of_the_quietest_frames(speech: Float32) -> None:
    hum = 0.01 * np.sin(2 * np.pi * 1_000 * np.arange(32_000) / SAMPLE_RATE)
    samples = (hum + np.where(np.arange(32_000) < 16_000, 0.0, speech[16_000:48_000])).astype(np.float32)
    spectrum = np.abs(np.fft.rfft(noise_like(samples))) ** 2
    assert spectrum[1_900:2_101].sum() > 0.95 * spectrum.sum()


def test_an_occluded_span_holds_the_noise_and_the_rest_is_untouched(speech: Float32) -> None:
    noise = noise_like(speech)
    (occluded,) = without_spans(speech, noise, span_masks(np.array([20_000]), np.array([24_000]), len(speech)))
    np.testing.assert_allclose(occluded[20_040:23_960], noise[20_040:23_960], rtol=0, atol=1e-7)
    np.testing.assert_array_equal(occluded[:19_960], speech[:19_960])
    np.testing.assert_array_equal(occluded[24_040:], speech[24_040:])
    np.testing.assert_array_equal(filled(occluded[None, :100], 250)[0], np.resize(occluded[:100], 250))


def test_an_explanation_needs_no_torch() -> None:
    code = "import sys, aasist.trials.explanation; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
