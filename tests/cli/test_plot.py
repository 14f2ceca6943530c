"""``aasist detect --plot``: a picture of each judged recording."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from aasist.cli import aasist
from aasist.cli.plot import COLUMNS, FRAME_SAMPLES, Strip
from aasist.cli.plot_explanation import DRAWN_SPANS, attention_of, pooled_spans
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.runtime.detector import Detector
from aasist.trials.explanation import Explanation, SpanChange

PNG = b"\x89PNG\r\n\x1a\n"


def detect(model: Path, *arguments: str | os.PathLike[str], given: bytes | None = None) -> Result:
    words = ["detect", "--threads", "1", "--model", str(model), *map(os.fspath, arguments)]
    result = CliRunner().invoke(aasist, words, input=given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result


def size_of(png: Path) -> tuple[int, int]:
    content = png.read_bytes()
    assert content.startswith(PNG)
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def test_each_judged_recording_is_drawn_and_one_that_failed_is_not(
    loudness_onnx: Path, recording: Path, tmp_path: Path
) -> None:
    silent, plots = tmp_path / "silent.wav", tmp_path / "deep" / "plots"
    soundfile.write(silent, np.zeros(16_000), 16_000)
    result = detect(loudness_onnx, "--plot", plots, recording, tmp_path / "none.wav", silent)
    assert result.exit_code == 1
    assert sorted(path.name for path in plots.iterdir()) == ["001-human-librivox-en.flac.png", "003-silent.wav.png"]
    for png in plots.iterdir():
        width, height = size_of(png)
        assert width > 800
        assert height > 400
    complaint, *drawn, count = result.stderr.splitlines()
    assert "none.wav: no such file" in complaint
    names = ("001-human-librivox-en.flac.png", "003-silent.wav.png")
    assert drawn == [f"{path}: drawn in {plots / name}" for path, name in zip((recording, silent), names, strict=True)]
    assert count.startswith("3 recordings: ")


def test_matplotlib_says_nothing_of_its_fonts() -> None:
    """In a home without a cache of them it would, after a few seconds: a warning of its font manager stands for that."""
    code = (
        "import logging; from aasist.cli.plot import require_matplotlib; require_matplotlib(); "
        "from matplotlib import font_manager as f; f._log.warning('building the font cache')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_two_recordings_of_one_name_and_standard_input_get_pictures_of_their_own(
    loudness_onnx: Path, recording: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other" / recording.name
    other.parent.mkdir()
    shutil.copy(recording, other)
    result = detect(
        loudness_onnx, "--json", "--plot", tmp_path / "plots", recording, other, "-", given=recording.read_bytes()
    )
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "001-human-librivox-en.flac.png",
        "002-human-librivox-en.flac.png",
        "003-recording.png",
    ]
    assert all(line.startswith("{") for line in result.stdout.splitlines())


def test_a_name_of_signs_that_mean_something_to_a_shell_becomes_a_plain_one(
    loudness_onnx: Path, recording: Path, tmp_path: Path
) -> None:
    odd = tmp_path / "a;b $c\n'd'.flac"
    shutil.copy(recording, odd)
    detect(loudness_onnx, "--plot", tmp_path / "plots", odd)
    (png,) = (tmp_path / "plots").iterdir()
    assert png.name == "001-a_b_c_d_.flac.png"
    assert size_of(png)


def test_a_folder_that_cannot_be_made_is_wrong_usage(loudness_onnx: Path, recording: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "plots"):
        result = detect(loudness_onnx, "--plot", folder, recording)
        assert (result.exit_code, result.stdout) == (2, "")


def test_without_matplotlib_the_extra_is_named_for_each_recording_and_no_folder_is_left(
    loudness_onnx: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = detect(loudness_onnx, "--json", "--plot", tmp_path / "plots", recording, recording)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "aasist: --plot needs the extra 'plots': pip install '.[plots]' in the folder of aasist"
    ]
    assert result.stdout.count('"code": "missing_extra"') == 2
    assert not (tmp_path / "plots").exists()


def test_a_strip_keeps_extremes_however_the_samples_come_and_never_grows_past_its_limit() -> None:
    samples = np.random.default_rng(0).standard_normal(5_000).astype(np.float32)
    whole, pieces = Strip(), Strip()
    whole.push(samples)
    for piece in np.split(samples, [1, 700, 701, 3_000]):
        pieces.push(piece)
    frames = len(samples) // FRAME_SAMPLES
    assert len(whole.columns) == len(pieces.columns) == frames
    for number, (one, other) in enumerate(zip(whole.columns, pieces.columns, strict=True)):
        frame = samples[number * FRAME_SAMPLES : (number + 1) * FRAME_SAMPLES]
        assert one[:2] == other[:2] == (frame.min(), frame.max())
        np.testing.assert_array_equal(one[2], other[2])

    long = Strip()
    for _ in range(5):
        long.push(np.tile(samples[: FRAME_SAMPLES * 8], 125 * 2))
    assert COLUMNS <= len(long.columns) < 2 * COLUMNS
    assert long.frames_each == 4
    assert len(long.columns) * long.column_seconds == pytest.approx(5 * 2_000 * FRAME_SAMPLES / 16_000, rel=1e-3)
    assert max(column[1] for column in long.columns) == samples[: FRAME_SAMPLES * 8].max()


def spectrogram_of(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Brightness of the spectrogram that is drawn of samples at 16 kHz: (257, frames), 0 = dark, 1 = bright."""
    from aasist.cli.plot import picture
    from aasist.runtime.verdict import ModelIdentity, Verdict

    strip = Strip()
    strip.push(samples)
    seconds = len(samples) / 16_000
    verdict = Verdict(
        "a.wav", "undecided", None, None, 0.0, seconds, 0.0, 16_000, 1, (), (), ModelIdentity("fake", "0" * 64, "fp32")
    )
    (image,) = [image for axes in picture(verdict, strip).axes for image in axes.images]
    return np.clip(np.asarray(image.norm(image.get_array()), np.float64), 0.0, 1.0)


def test_the_spectrogram_of_silence_is_dark_and_that_of_a_tone_is_bright_where_the_tone_is() -> None:
    time = np.arange(32_000) / 16_000
    tone = (0.5 * np.sin(2 * np.pi * 1_000 * time)).astype(np.float32)
    for faint in (0.0, 1e-9, 1e-6):
        assert spectrogram_of(np.float32(faint) * tone).max() < 0.05
    drawn = spectrogram_of(tone)
    assert drawn[32].min() > 0.95, "1 kHz is the 32nd of 256 steps to 8 kHz"
    assert drawn[100:].max() < 0.2
    assert 0.5 < spectrogram_of(np.float32(0.001) * tone)[32].min() < 0.95, "what is faint is drawn between the two"


def test_a_picture_can_be_drawn_from_bytes_as_from_a_path(loudness_onnx: Path, recording: Path, tmp_path: Path) -> None:
    from aasist.audio.read import ReadLimits
    from aasist.cli.plot import draw

    verdict = Detector(loudness_onnx, threads=1).detect(recording)
    limits = ReadLimits()
    by_path = draw(verdict, str(recording), tmp_path, 0, channel=None, limits=limits)
    by_bytes = draw(verdict, io.BytesIO(recording.read_bytes()), tmp_path, 1, channel=None, limits=limits)
    assert by_path != by_bytes
    assert by_path.read_bytes() == by_bytes.read_bytes()


def test_explain_adds_an_object_to_each_line_and_leaves_the_rest_as_it_is(
    loudness_onnx: Path, recording: Path, tmp_path: Path
) -> None:
    none, output = tmp_path / "none.wav", tmp_path / "out.jsonl"
    plain = detect(loudness_onnx, "--json", recording, none)
    explained = detect(loudness_onnx, "--json", "--explain", "-o", output, recording, none)
    assert explained.stderr == plain.stderr
    assert explained.exit_code == plain.exit_code == 1
    assert explained.stdout == output.read_text()
    judged, failed = map(json.loads, explained.stdout.splitlines())
    explanation = judged.pop("explanation")
    assert failed.pop("explanation") is None
    assert [judged, failed] == [json.loads(line) for line in plain.stdout.splitlines()]
    assert list(explanation) == ["llr", "windows", "explained_windows", "coverage", "spans", "bands"]
    assert explanation["explained_windows"] == 10 < explanation["windows"]
    assert max(span["llr_change"] for span in explanation["spans"]) > 0


def test_explain_says_in_the_table_what_decided(loudness_onnx: Path, recording: Path, tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    soundfile.write(silent, np.zeros(16_000), 16_000)
    lines = detect(loudness_onnx, "--explain", recording, silent).stdout.splitlines()
    assert [line.strip()[:14] for line in lines].count("most for real:") == 1
    assert "most for" not in detect(loudness_onnx, recording, silent).stdout


def test_an_explained_picture_is_larger_and_is_drawn_for_any_length(
    loudness_onnx: Path, recording: Path, tmp_path: Path
) -> None:
    samples, rate = soundfile.read(recording, dtype="float32")
    short, long, silent = tmp_path / "short.wav", tmp_path / "long.wav", tmp_path / "silent.wav"
    soundfile.write(short, samples[16_000:26_000], rate)
    soundfile.write(long, np.tile(samples, 12), rate)
    soundfile.write(silent, np.zeros(16_000), rate)
    result = detect(loudness_onnx, "--explain", "--plot", tmp_path / "plots", short, long, silent)
    assert (result.exit_code, result.stderr.count("drawn in")) == (0, 3)
    plain = detect(loudness_onnx, "--plot", tmp_path / "plain", short)
    assert plain.exit_code == 0
    plain_size = size_of(tmp_path / "plain" / "001-short.wav.png")
    for png in (tmp_path / "plots").iterdir():
        assert size_of(png) > plain_size


def test_what_cannot_be_explained_is_a_failure_and_is_judged_all_the_same(
    loudness_onnx: Path, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aasist.errors import AudioError
    from aasist.trials import explanation

    def fails(*arguments: object, **options: object) -> None:
        raise AudioError("unreadable", "gone meanwhile")

    monkeypatch.setattr(explanation, "explain", fails)
    result = detect(loudness_onnx, "--json", "--explain", recording)
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [f"aasist: {recording}: could not be explained: gone meanwhile"]
    verdict = json.loads(result.stdout)
    assert (verdict["explanation"], verdict["error"]) == (None, None)


def test_attention_is_drawn_for_a_checkpoint_and_for_nothing_else(
    small_model: Aasist, loudness_onnx: Path, recording: Path, tmp_path: Path
) -> None:
    threads, path = torch.get_num_threads(), tmp_path / "small.safetensors"
    checkpoint.save(small_model, path)
    try:
        assert attention_of(Detector(loudness_onnx, threads=1), str(recording)) == ()
        attentions = attention_of(Detector(path, threads=1), str(recording))
        assert len(attentions) == 10
        assert attentions[0].start_seconds < attentions[-1].start_seconds < 5.3
        assert detect(path, "--explain", "--plot", tmp_path / "plots", recording).exit_code == 0
        assert size_of(tmp_path / "plots" / "001-human-librivox-en.flac.png")
    finally:
        torch.set_num_threads(threads)


def test_spans_too_narrow_to_see_share_a_place_with_the_largest_change_of_them() -> None:
    spans = tuple(SpanChange(at / 4, at / 4 + 0.25, 0.01 * (at % 24) * (-1) ** at) for at in range(240))
    starts, ends, changes = pooled_spans(Explanation(0.0, 1, 1, spans, ()), 600.0)
    np.testing.assert_allclose(ends - starts, 600 / DRAWN_SPANS)
    np.testing.assert_allclose(starts, np.arange(30) * 2.0)
    for start, change in zip(starts, changes, strict=True):
        within = [span.llr_change for span in spans if start <= span.start < start + 2]
        assert change == max(within, key=abs)
    wide = pooled_spans(Explanation(0.0, 1, 1, spans, ()), 60.0)
    np.testing.assert_array_equal(np.stack(wide, axis=1), np.array(spans))
