"""``aasist detect --plot``: a picture of each judged recording."""

from __future__ import annotations

import io
import os
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from aasist.cli import aasist
from aasist.cli.plot import COLUMNS, FRAME_SAMPLES, Strip

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
    assert f"{recording}: drawn in {plots / '001-human-librivox-en.flac.png'}" in result.stderr.splitlines()


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
    assert result.stderr.splitlines() == ["aasist: --plot needs the extra 'plots': pip install 'aasist[plots]'"]
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


def test_a_picture_can_be_drawn_from_bytes_as_from_a_path(loudness_onnx: Path, recording: Path, tmp_path: Path) -> None:
    from aasist.audio.read import ReadLimits
    from aasist.cli.plot import draw
    from aasist.runtime.detector import Detector

    verdict = Detector(loudness_onnx, threads=1).detect(recording)
    limits = ReadLimits()
    by_path = draw(verdict, str(recording), tmp_path, 0, channel=None, limits=limits)
    by_bytes = draw(verdict, io.BytesIO(recording.read_bytes()), tmp_path, 1, channel=None, limits=limits)
    assert by_path != by_bytes
    assert by_path.read_bytes() == by_bytes.read_bytes()
