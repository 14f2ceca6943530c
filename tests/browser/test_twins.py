"""Each part of the page's detector meets the part of the package that it is the twin of."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest

from aasist.audio.levels import SourceMeter
from aasist.audio.quality import QualityMeter, judge
from aasist.audio.speech import CHUNK_SAMPLES, Smoother, speech_mask
from aasist.audio.windows import WindowPlacer
from aasist.runtime.hysteresis import merged
from aasist.runtime.verdict import Span, score_of
from aasist.session import SAMPLE_RATE

from .conftest import EXAMPLE_FILES, Page, recording_of


def called(page: Page, module: str, expression: str, **values: Any) -> Any:
    """The value of an expression over a module's names (``m.``) and the values given."""
    names = "".join(f"const {name} = {json.dumps(value)};" for name, value in values.items())
    return page.chromium.evaluate(
        f"(async () => {{ {names} const m = await import('/{module}.js'); return {expression}; }})()"
    )


def random_mask(random: np.random.Generator, chunks: int, burst: int) -> np.ndarray:
    """Speech and silence in turns of random lengths."""
    turns = random.integers(1, burst, chunks)
    return np.repeat(np.arange(chunks) % 2 == random.integers(2), turns)[:chunks]


@pytest.mark.parametrize("seed", range(12))
def test_windows_lie_where_the_command_lays_them(seed, page):
    random = np.random.default_rng(seed)
    for _ in range(20):
        count = int(random.integers(1, 120_000))
        window, hop = (int(random.integers(1_000, 20_000)), int(random.integers(500, 16_000)))
        mask = random_mask(random, -(-count // CHUNK_SAMPLES), int(random.choice([3, 20, 200])))
        placer = WindowPlacer(window, hop)
        samples = np.arange(1, count + 1, dtype=np.float32)
        expected = [*placer.push(samples, mask), *placer.finish()]
        got = called(
            page, "windows", "m.placed(count, Uint8Array.from(mask), window, hop)",
            count=count, mask=mask.astype(int).tolist(), window=window, hop=hop,
        )  # fmt: skip
        assert [(w["start"], w["length"]) for w in got] == [(w.start, w.length) for w in expected]
        if got:
            cut = called(
                page, "windows", "Array.from(m.cut(Float32Array.from({length: count}, (_, i) => i + 1), place, window))",
                count=count, place=got[-1], window=window,
            )  # fmt: skip
            assert cut == expected[-1].samples.tolist()


def test_probabilities_are_smoothed_as_by_the_command(page):
    random = np.random.default_rng(1)
    for spread in (0.05, 0.3, 1.0):
        steps = np.cumsum(random.normal(0, spread, 4_000))
        probabilities = (0.5 + 0.5 * np.sin(steps)).astype(np.float32)
        smoother = Smoother()
        expected = np.concatenate([smoother.push(probabilities), smoother.finish()])
        got = called(page, "speech", "Array.from(m.smoothed(Float32Array.from(p)))", p=probabilities.tolist())
        assert got == expected.astype(int).tolist()


def test_speech_is_found_across_spans_and_behind_silence_as_by_the_command(page):
    """6 minutes, 12 s of it silence in front: stripes, spans, warm-ups and the gate all take part."""
    speech = np.concatenate([recording_of(path) for path in EXAMPLE_FILES])
    samples = np.concatenate(
        [np.zeros(12 * SAMPLE_RATE + 100, np.float32), np.tile(speech, 8)[: 348 * SAMPLE_RATE + 77]]
    )
    pcm = np.round(samples * 2**15).clip(-(2**15), 2**15 - 1).astype(np.int16)
    expected = speech_mask(pcm.astype(np.float32) / 2**15)
    got = page.chromium.evaluate(
        "(async () => { const { speechMask } = await import('/speech.js');"
        "const { openModels } = await import('/runtime.js'); const { speech } = await openModels();"
        f"const pcm = new Int16Array(Uint8Array.fromBase64('{base64.b64encode(pcm.tobytes()).decode()}').buffer);"
        "return Array.from(await speechMask(Float32Array.from(pcm, (x) => x / 32768), speech)); })()"
    )
    assert len(got) == len(expected)
    # A chunk whose probability lies on the threshold to six digits may fall on either side.
    assert np.mean(np.array(got, bool) != expected) < 1e-3
    assert 0.3 < expected.mean() < 0.95


@pytest.mark.parametrize("kind", ["speech", "clipped", "telephone", "noisy", "tone"])
def test_quality_is_measured_as_by_the_command(kind, page):
    random = np.random.default_rng(2)
    speech = recording_of(EXAMPLE_FILES[0])[: 4 * SAMPLE_RATE]
    if kind == "clipped":
        speech = np.clip(20 * speech, -0.8, 0.9)
    elif kind == "telephone":
        spectrum = np.fft.rfft(speech)
        spectrum[round(3_400 * len(speech) / SAMPLE_RATE) :] = 0
        speech = np.fft.irfft(spectrum, len(speech))
    elif kind == "noisy":
        speech = speech + random.normal(0, 0.05, len(speech))
    elif kind == "tone":
        speech = 3 * np.sin(np.arange(len(speech)) * 0.3)
    speech = np.asarray(speech, np.float32)
    mask = random_mask(random, -(-len(speech) // CHUNK_SAMPLES), 20)
    source, meter = SourceMeter(), QualityMeter()
    source.push(speech[:, None])
    meter.push(speech, mask)
    seconds = len(speech) / SAMPLE_RATE
    expected = meter.quality(source.levels(), seconds)
    got = called(
        page, "quality",
        "(async () => { const x = Float32Array.from(samples); const { levels } = await import('/levels.js');"
        "const q = m.measured(x, Uint8Array.from(mask), levels([x]), {durationSeconds: seconds, truncated: false});"
        "return [q, m.judged(q, 2)]; })()",
        samples=speech.tolist(), mask=mask.astype(int).tolist(), seconds=seconds,
    )  # fmt: skip
    quality, findings = got
    assert quality["peakDbfs"] == pytest.approx(expected.peak_dbfs, abs=1e-4)
    assert quality["clippedFraction"] == pytest.approx(expected.clipped_fraction, abs=1e-6)
    assert quality["snrDb"] == pytest.approx(expected.snr_db, abs=1e-3)
    assert quality["bandwidthHz"] == expected.bandwidth_hz
    warnings, undecided = judge(expected, 2.0)
    assert [f["message"] for f in findings["warnings"]] == [f.message for f in warnings]
    assert [f["message"] for f in findings["undecided"]] == [f.message for f in undecided]


def test_windows_are_merged_as_by_the_command(page):
    random = np.random.default_rng(3)
    for _ in range(20):
        starts = np.sort(random.integers(0, 30, random.integers(1, 12))).astype(float)
        windows = [
            Span(s, s + 4.0, score_of(x), x)
            for s, x in zip(starts, random.normal(0, 1, len(starts)).tolist(), strict=True)
        ]
        got = called(
            page, "verdict", "m.merged(w, 0.2)", w=[{"start": w.start, "end": w.end, "llr": w.llr} for w in windows]
        )
        expected = merged(windows, 0.2)
        assert [(s["start"], s["end"]) for s in got] == [(s.start, s.end) for s in expected]
        assert [s["llr"] for s in got] == pytest.approx([s.llr for s in expected], abs=1e-12)
        assert [s["score"] for s in got] == pytest.approx([s.score for s in expected], abs=1e-12)
