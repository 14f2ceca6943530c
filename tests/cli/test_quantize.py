"""``aasist quantize`` in this process, on a model of seeded weights whose own scores label the corpus."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aasist.export.price import TimeRatio
from aasist.runtime import modelfile
from aasist.runtime.detector import Detector

from ..corpora import BONAFIDE, Recording, Signal, asvspoof2019_la, write_audio
from ..trials.test_scoring import speech
from .test_metrics import Outcome, invoke

TRIALS = 32
FEW = ("--windows", 8, "--threads", 1)


def clip(recording: Path, number: int) -> Signal:
    """A stretch of speech, more or less of its high frequencies taken away."""
    samples = speech(recording, number % 22, 0.8)
    taps = 1 + number % 7
    return np.convolve(samples, np.full(taps, 1 / taps), "same").astype(np.float32)


@pytest.fixture(scope="module")
def root(recording: Path, small_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ASVspoof 2019 LA, dev and eval: what the model scores above the median is bona fide."""
    detector = Detector(small_onnx, threads=1)
    clips = [clip(recording, number) for number in range(TRIALS)]
    llrs = [detector.detect((samples, 16_000)).llr or 0.0 for samples in clips]
    middle = float(np.median(llrs))
    assert np.std(llrs) > 0.01
    trials = {
        subset: [
            Recording(f"{prefix}{n:02}", samples, BONAFIDE if llr > middle else "A01", f"LA_{n % 6:04}")
            for n, (samples, llr) in enumerate(zip(clips, llrs, strict=True))
        ]
        for subset, prefix in (("dev", "LA_D_"), ("eval", "LA_E_"))
    }
    return asvspoof2019_la(tmp_path_factory.mktemp("LA"), trials)


def quantized(
    capsys: pytest.CaptureFixture[str], model: Path | str, output: Path, root: Path, *words: object
) -> Outcome:
    corpus = ("--corpus", "asvspoof2019-la", "--root", root)
    return invoke(capsys, "quantize", model, "-o", output, *corpus, *FEW, *words)  # type: ignore[arg-type]


def test_int8_carries_its_own_calibration_and_says_what_it_saves_and_costs(
    small_onnx: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, report = tmp_path / "int8.onnx", tmp_path / "report.json"
    words = ("--tolerance", 1, "--rest", "fp16", "--test", "eval", "--json", "--out", report)
    done = quantized(capsys, small_onnx, output, root, *words)
    told = done.json
    assert json.loads(report.read_text()) == told
    content, notes = modelfile.read(output)
    assert (notes.precision, notes.name) == ("int8", "small")
    assert notes.quantised == told["quantised"]
    assert "7 bits" in notes.quantised
    assert notes.weight_bits == 7
    assert f"  quantised: {notes.quantised}" in invoke(capsys, "models", output).out.splitlines()
    assert (told["bytes"]["before"], told["bytes"]["after"]) == (small_onnx.stat().st_size, len(content))
    assert (told["windows"]["ranges"], told["windows"]["held_out"]) == (8, 8)
    assert {row["layer"] for row in told["sweep"]["layers"]} >= {"sinc", "graph", "readout", "blocks.1.conv2"}
    assert [row["subset"] for row in told["accuracy"]] == ["dev", "eval"]
    assert all(row["eer_before"] == 0 and row["eer_after"] < 0.3 for row in told["accuracy"])
    assert told["time_ratio"]["median"] > 0

    # The map in the file is the old one followed by the one that was fitted to the new scores.
    old = modelfile.read(small_onnx)[1]
    assert old.calibration is not None
    assert notes.calibration is not None
    fit = told["calibration"]
    assert notes.calibration.slope == pytest.approx(fit["slope"] * old.calibration.slope)
    assert notes.threshold == pytest.approx(0.0)
    assert [point.name for point in notes.points] == ["eer"]

    # It detects, by path and from a pickled detector.
    flac = next((root / "ASVspoof2019_LA_dev" / "flac").iterdir())
    verdict = Detector(output, threads=1).detect(str(flac))
    assert verdict.model.precision == "int8"
    again = pickle.loads(pickle.dumps(Detector(output, threads=1))).detect(str(flac))
    assert again.llr == verdict.llr
    assert invoke(capsys, "detect", flac, "--model", output, "--json").json["model"]["precision"] == "int8"

    # What is int8 is not rounded once more.
    complaint = quantized(capsys, output, tmp_path / "twice.onnx", root).complaint
    assert "int8: give the fp32 file that it was made from" in complaint


def test_float16_halves_the_file_and_needs_no_sweep(
    small_onnx: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "fp16.onnx"
    done = quantized(capsys, small_onnx, output, root, "--precision", "fp16")
    assert done.code == 0
    notes = modelfile.read(output)[1]
    assert notes.precision == "fp16"
    assert "turned to float32" in notes.quantised
    lines = done.out.splitlines()
    assert lines[0].split() == ["fp32", "fp16", "difference"]
    assert any(line.startswith("EER, dev") for line in lines)
    assert lines[-1] == f"{output}: the calibrated fp16 model"
    verdict = Detector(output, threads=1).detect((0.1 * np.ones(8_000, np.float32), 16_000))
    assert verdict.model.precision == "fp16"


def test_ranges_may_come_from_recordings_elsewhere(
    small_onnx: Path, root: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        write_audio(tmp_path / "calls" / f"{number}.flac", clip(recording, number))
    output = tmp_path / "int8.onnx"
    words = ("--recordings", tmp_path / "calls", "--tolerance", 1, "--json")
    told = quantized(capsys, small_onnx, output, root, *words).json
    assert (told["windows"]["ranges"], told["windows"]["held_out"]) == (5, 8)


def test_what_cannot_be_rounded_is_refused_and_nothing_is_written(
    small_onnx: Path, loudness_onnx: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.onnx"
    assert "no encoder of convolutions" in quantized(capsys, loudness_onnx, output, root).complaint
    foreign = tmp_path / "foreign.onnx"
    foreign.write_bytes(b"\x08\x0a")
    assert "make one with 'aasist export'" in quantized(capsys, foreign, output, root).complaint
    complaint = quantized(capsys, small_onnx, output, root, "--tolerance", 1e-9).complaint
    assert "no convolution bears int8" in complaint
    assert "take --precision fp16" in complaint
    assert not output.exists()


def test_eight_bits_are_refused_where_this_processor_would_cut_off_their_sums(
    small_onnx: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aasist.cli.rounding.saturates", lambda: True)
    output = tmp_path / "out.onnx"
    done = quantized(capsys, small_onnx, output, root, "--weight-bits", 8)
    assert done.code == 1
    assert "take --weight-bits 7, or quantize where the file will run" in done.complaint
    assert not output.exists()


def test_a_corpus_without_speech_is_refused(
    small_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    silence = np.zeros(16_000, np.float32)
    trials = [Recording(f"LA_D_{n}", silence, "-" if n % 2 else "A01") for n in range(10)]
    root = asvspoof2019_la(tmp_path / "LA", {"dev": trials})
    complaint = quantized(capsys, small_onnx, tmp_path / "out.onnx", root).complaint
    assert "5 bona fide trials gave 0 windows of speech, and 4 is the least" in complaint


def test_a_corpus_too_small_to_measure_on_is_refused(
    small_onnx: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = [Recording(f"LA_D_{n}", clip(recording, n), "-" if n % 2 else "A01") for n in range(10)]
    root = asvspoof2019_la(tmp_path / "LA", {"dev": trials})
    complaint = quantized(capsys, small_onnx, tmp_path / "out.onnx", root).complaint
    assert "10 trials gave 10 windows of speech, 16 is the least" in complaint


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--tolerance", 0), "--tolerance must be a number above 0"),
        (("--tolerance", "nan"), "--tolerance must be a number above 0"),
        (("--most-eer", 1), "--most-eer must be a fraction"),
        (("--precision", "fp16", "--weight-bits", 8), "--weight-bits: with --precision int8 alone"),
        (("--precision", "fp16", "--rest", "fp16", "--most-eer", 0), "--most-eer, --rest: with --precision int8 alone"),
        (("--precision", "fp16", "--tolerance", 0.1), "--tolerance: with --precision int8 alone"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    words: tuple[object, ...],
    message: str,
    small_onnx: Path,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    done = quantized(capsys, small_onnx, tmp_path / "out.onnx", root, *words)
    assert done.code == 2
    assert message in done.err[-1]


@pytest.mark.parametrize("name", ["out.xml", "out.safetensors", "out"])
def test_a_file_that_would_not_be_read_as_onnx_is_refused(
    name: str, small_onnx: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = quantized(capsys, small_onnx, tmp_path / name, root)
    assert done.code == 2
    assert "name a file that ends in .onnx" in done.err[-1]


def test_openvinos_format_is_not_rounded(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    complaint = quantized(capsys, tmp_path / "model.xml", tmp_path / "out.onnx", root).complaint
    assert "give the ONNX file or the checkpoint that it was made of" in complaint


@pytest.mark.parametrize(("quartiles", "said"), [((0.8, 0.9), True), ((0.8, 1.1), False)])
def test_int8_that_is_slower_here_is_said_to_be(
    quartiles: tuple[float, float],
    said: bool,
    small_onnx: Path,
    root: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ratio = TimeRatio(sum(quartiles) / 2, quartiles, 21, 1)
    monkeypatch.setattr("aasist.cli.rounding.time_ratio", lambda *_, **__: ratio)
    done = quantized(capsys, small_onnx, tmp_path / "out.onnx", root)
    assert ("Slower than fp32 on this processor" in done.out) is said


def test_the_model_is_never_replaced(
    small_onnx: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.onnx"
    shutil.copy(small_onnx, model)
    before = model.read_bytes()
    done = quantized(capsys, model, model, root)
    assert done.code == 2
    assert "it would be replaced" in done.err[-1]
    assert model.read_bytes() == before


def test_a_device_and_a_missing_folder_are_refused_before_the_work(
    small_onnx: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_rounded(*_: object) -> None:
        raise AssertionError("the work was begun")

    monkeypatch.setattr("aasist.cli.rounding.write_rounded", write_rounded)
    done = quantized(capsys, small_onnx, Path("/dev/null"), root)
    assert "cannot write /dev/null: it is a device, a file was wanted" in done.misuse
    done = quantized(capsys, small_onnx, tmp_path / "o.onnx", root, "--out", tmp_path / "no" / "r.json")
    assert "no such folder, or no permission" in done.misuse


def test_without_a_corpus_there_is_nothing_to_calibrate_on(
    small_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    done = invoke(capsys, "quantize", small_onnx, "-o", tmp_path / "out.onnx")
    assert done.code == 2
    assert "--corpus and --root" in done.err[-1]


def test_layers_go_back_to_float_until_the_error_rate_is_within_its_budget(
    small_onnx: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from aasist.cli import rounding

    seen: list[float] = []
    real = rounding._accuracy

    def worse(*given: object) -> object:
        """As if the first attempt had cost five points."""
        found = real(*given)  # type: ignore[arg-type]
        seen.append(found.eer.difference)
        cost = 0.05 if len(seen) == 1 else 0.0
        return replace(found, eer=replace(found.eer, difference=cost))

    monkeypatch.setattr(rounding, "_accuracy", worse)
    words = ("--tolerance", 1, "--most-eer", 0.01, "--json")
    told = quantized(capsys, small_onnx, tmp_path / "out.onnx", root, *words).json
    rows = [row for row in told["sweep"]["layers"] if row["kind"] == "convolution"]
    back = [row for row in rows if not row["rounded"]]
    assert len(seen) == 2
    assert len(back) == 1
    assert back[0]["mean_llr"] == max(row["mean_llr"] for row in rows)
