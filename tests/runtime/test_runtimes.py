"""Which runtimes are here, which one a model runs in, and that a verdict is the same in all of them."""

from __future__ import annotations

import importlib.machinery
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aasist import Detector
from aasist.audio.read import read
from aasist.cli.options import RuntimeOptions
from aasist.errors import MissingExtra, ModelError
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.recipe import Architecture
from aasist.runtime import modelfile, runtimes
from aasist.runtime.modelfile import Calibration, ModelNotes, StatedFor
from aasist.runtime.models import open_model, shipped, shipped_folder
from aasist.runtime.notes import PRECISIONS
from aasist.runtime.runtimes import (
    AUTO,
    LLR_TOLERANCE,
    RUNTIMES,
    installed,
    open_session,
    precision_in,
    precisions,
    runtime_for,
)

pytestmark = pytest.mark.usefixtures("same_threads")
IR = b'<?xml version="1.0"?><net></net>'


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if neither OpenVINO nor torch were installed."""
    real = importlib.util.find_spec

    def find_spec(name: str) -> importlib.machinery.ModuleSpec | None:
        return None if name in {"openvino", "torch"} else real(name)

    monkeypatch.setattr(runtimes, "find_spec", find_spec)


def test_the_command_offers_the_runtimes_and_precisions_there_are() -> None:
    from aasist.cli.detect import detect

    offered = {option.name: option.type for option in detect.params}
    assert tuple(offered["runtime"].choices) == (AUTO, *RUNTIMES)  # type: ignore[attr-defined]
    assert tuple(offered["precision"].choices) == PRECISIONS  # type: ignore[attr-defined]
    assert RuntimeOptions().given() == {"runtime": AUTO, "precision": None}


def test_what_is_installed_is_told_without_importing_it(without: None) -> None:
    assert installed() == ("onnxruntime",)


@pytest.mark.parametrize(("content", "expected"), [(b"\x08\x0a", "onnxruntime"), (IR, "openvino")])
def test_auto_is_what_a_file_is_made_for(content: bytes, expected: str) -> None:
    if expected not in installed():
        pytest.skip(f"{expected} is not installed")
    assert runtime_for(content) == expected


def test_auto_takes_openvino_for_onnx_where_there_is_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "is_installed", lambda runtime: runtime != "onnxruntime")
    assert runtime_for(b"\x08\x0a") == "openvino"
    monkeypatch.setattr(runtimes, "is_installed", lambda runtime: False)
    with pytest.raises(ModelError, match="pip install onnxruntime"):
        runtime_for(b"\x08\x0a")


@pytest.mark.parametrize(
    ("content", "runtime", "said"),
    [
        (b"\x08\x0a", "torch", "an ONNX file runs in onnxruntime or openvino, not in torch"),
        (IR, "onnxruntime", "runs in openvino alone, not in onnxruntime"),
        (IR, "torch", "runs in openvino alone, not in torch"),
    ],
)
def test_a_file_in_a_runtime_that_cannot_run_it_is_refused_with_what_can(
    content: bytes, runtime: str, said: str
) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        runtime_for(content, runtime)
    assert caught.value.code == "runtime"


def test_a_runtime_that_is_not_installed_is_an_error_that_names_its_extra(without: None, loudness_onnx: Path) -> None:
    with pytest.raises(MissingExtra, match=r"pip install '\.\[openvino\]'"):
        open_model(loudness_onnx, threads=1, runtime="openvino")
    with pytest.raises(MissingExtra, match=r"the runtime torch needs the extra 'train'"):
        precisions("torch")


def test_words_that_name_no_runtime_or_precision_are_refused(loudness_onnx: Path) -> None:
    with pytest.raises(ValueError, match="runtime must be one of auto, onnxruntime, openvino, torch, got 'tvm'"):
        Detector(loudness_onnx, runtime="tvm")
    with pytest.raises(ValueError, match="runtime must be one of"):
        runtime_for(b"\x08", "tvm")
    with pytest.raises(ValueError, match="precision must be one of fp32, bf16, fp16, int8 or None, got 'fp8'"):
        Detector(loudness_onnx, precision="fp8")


@pytest.mark.parametrize(
    ("runtime", "of_file", "wanted", "said"),
    [
        ("onnxruntime", "fp32", "bf16", "the next best is fp32"),
        ("torch", "fp32", "bf16", "the next best is fp32"),
        ("onnxruntime", "fp32", "int8", "make a file in int8 with 'aasist quantize'"),
        ("onnxruntime", "fp32", "fp16", "make a file in fp16 with 'aasist quantize'"),
        ("onnxruntime", "int8", "fp32", "take its fp32 file to run it in fp32"),
        ("openvino", "fp16", "bf16", "take its fp32 file to run it in bf16"),
    ],
)
def test_a_precision_that_cannot_be_had_is_refused_with_what_can(
    runtime: str, of_file: str, wanted: str, said: str
) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        precision_in(runtime, of_file, wanted)
    assert caught.value.code == "precision"


def test_a_processor_without_bf16_is_said_to_be_one_and_fp32_is_offered(
    monkeypatch: pytest.MonkeyPatch, loudness_onnx: Path
) -> None:
    if "openvino" not in installed():
        pytest.skip("openvino is not installed")
    from aasist.runtime import openvino

    monkeypatch.setattr(openvino, "has_bf16", lambda: False)
    assert precisions("openvino") == ("fp32",)
    with pytest.raises(ModelError, match=r"this processor has no arithmetic for it \(AMX, .*; the next best is fp32"):
        Detector(loudness_onnx, runtime="openvino", precision="bf16")
    monkeypatch.setattr(openvino, "has_bf16", lambda: True)
    assert precisions("openvino") == ("fp32", "bf16")
    assert precision_in("openvino", "fp32", "bf16") == "bf16"


@pytest.mark.parametrize("of_file", PRECISIONS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_files_own_precision_is_kept_whatever_the_runtime(runtime: str, of_file: str) -> None:
    assert precision_in(runtime, of_file, None) == precision_in(runtime, of_file, of_file) == of_file


def test_a_checkpoint_runs_in_torch_alone(small_model: Aasist, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    checkpoint.save(small_model, path)
    assert open_model(path, threads=1, runtime="torch").identity == open_model(path, threads=1).identity
    for runtime in ("onnxruntime", "openvino"):
        with pytest.raises(
            ModelError, match=f"runs in torch alone, not in {runtime}: .*'aasist export {path} -o small.onnx'"
        ):
            open_model(path, threads=1, runtime=runtime)
    with pytest.raises(ModelError, match="the next best is fp32"):
        open_model(path, threads=1, precision="bf16")


def test_a_shipped_name_in_torch_is_its_checkpoint_with_the_notes_of_its_file() -> None:
    in_torch, in_onnx = (open_model("efficient", threads=1, runtime=runtime) for runtime in ("torch", "onnxruntime"))
    assert in_torch.notes == in_onnx.notes
    assert in_torch.identity.name == "efficient"
    assert in_torch.identity.sha256 == shipped()["efficient"]["checkpoint_sha256"] != in_onnx.identity.sha256


def test_a_session_is_opened_on_bytes_in_each_runtime_for_files(loudness_onnx: Path) -> None:
    content, notes = modelfile.read(loudness_onnx)
    windows = np.random.default_rng(0).standard_normal((3, notes.window_samples)).astype(np.float32)
    expected = 10 * np.abs(windows).mean(axis=1)
    for runtime in set(installed()) - {"torch"}:
        session = open_session(content, notes=notes, runtime=runtime, threads=1, runs=2)
        assert session.precision == "fp32"
        np.testing.assert_allclose(session.run(windows)[:, 1], expected, rtol=1e-5)


STATED = StatedFor("bf16", Calibration(3.0, 1.0), threshold=0.5, operating_point="a rule")


def test_notes_for_another_precision_are_those_stated_for_it_and_go_through_a_file(
    loudness_onnx: Path, tmp_path: Path
) -> None:
    content, notes = modelfile.read(loudness_onnx)
    both, path = notes.stating(STATED), tmp_path / "both.onnx"
    modelfile.write(path, content, both)
    read = modelfile.read(path)[1]
    assert read == both and read.stated == (STATED,)
    assert read.at("fp32") is read and read.at("int8") is read
    in_bf16 = read.at("bf16")
    assert (in_bf16.precision, in_bf16.calibration, in_bf16.threshold) == ("bf16", Calibration(3.0, 1.0), 0.5)
    assert in_bf16.operating_point == "a rule" and in_bf16.name == notes.name
    again = read.stating(StatedFor("bf16", threshold=-1.0)).stating(StatedFor("fp32", Calibration(9.0, 0.0)))
    assert [one.threshold for one in again.stated] == [-1.0]
    assert again.calibration == Calibration(9.0, 0.0) and again.precision == "fp32"


def test_notes_without_other_precisions_are_readable_by_older_versions() -> None:
    assert "stated" not in ModelNotes(name="x").to_json()
    assert "stated" in ModelNotes(name="x", stated=(STATED,)).to_json()


def test_notes_of_weights_alone_are_those_of_their_architecture(small_model: Aasist) -> None:
    architecture = small_model.architecture
    notes = ModelNotes.of(architecture)
    assert (notes.name, notes.window_samples) == (architecture.name, architecture.window_samples)
    assert notes.hop_samples == architecture.window_samples // 2
    assert Architecture.from_json(notes.variant) == architecture
    assert notes.calibration is None and notes.precision == "fp32"


@pytest.mark.parametrize(
    "stated",
    [
        (STATED, STATED),
        (StatedFor("fp32"),),
        (StatedFor("fp4"),),
        (StatedFor("bf16", threshold=float("nan")),),
        (StatedFor("bf16", calibration=(1.0, 0.0)),),  # type: ignore[arg-type]
    ],
)
def test_what_is_stated_twice_or_cannot_be_kept_to_is_refused(stated: tuple[StatedFor, ...]) -> None:
    with pytest.raises(ModelError) as caught:
        ModelNotes(name="x", stated=stated)
    assert caught.value.code == "model"


@pytest.mark.parametrize("text", ['{"name": "x", "stated": 3}', '{"name": "x", "stated": [3]}', '{"name": "x", "stated": [{"precision": "bf16", "colour": 1}]}'])  # fmt: skip
def test_text_that_states_nothing_readable_is_refused(text: str) -> None:
    with pytest.raises(ModelError):
        ModelNotes.from_json(text)


def test_a_run_in_a_precision_that_was_not_calibrated_is_said_in_the_verdict(
    loudness_onnx: Path, recording: Path
) -> None:
    detector = Detector(loudness_onnx, threads=1)
    assert "precision" not in {note.code for note in detector.detect(recording).warnings}
    detector.session.precision = "bf16"
    (note,) = [note for note in detector.detect(recording).warnings if note.code == "precision"]
    assert "chosen in fp32 and not in bf16" in note.message


def test_a_detector_that_is_pickled_keeps_runtime_and_precision() -> None:
    detector = Detector("small", threads=1, runtime="torch", precision="fp32")
    again = pickle.loads(pickle.dumps(detector))
    assert again.model == detector.model
    assert type(again.session).__name__ == "TorchSession"


@pytest.mark.parametrize("name", sorted(shipped()))
def test_every_runtime_gives_the_verdict_of_every_other_within_the_stated_tolerance(name: str, recording: Path) -> None:
    """Over the example recordings, real and made."""
    examples = sorted(path for path in recording.parent.iterdir() if path.suffix in {".flac", ".wav", ".opus", ".m4a"})
    assert len(examples) >= 8
    default = [Detector(name).detect(path) for path in examples]
    assert {verdict.label for verdict in default} > {"spoof"}
    for runtime in installed():
        for precision in precisions(runtime):
            detector = Detector(name, runtime=runtime, precision=precision)
            assert detector.model.precision == precision
            for path, expected in zip(examples, default, strict=True):
                verdict = detector.detect(path)
                assert verdict.llr is not None and expected.llr is not None
                assert abs(verdict.llr - expected.llr) <= LLR_TOLERANCE[precision], (runtime, precision, path)
                assert len(verdict.windows) == len(expected.windows)
                if abs(expected.llr - expected.threshold) > LLR_TOLERANCE[precision]:
                    assert verdict.label == expected.label, (runtime, precision, path)


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_rounded_file_gives_the_verdict_of_every_runtime_within_the_stated_tolerance(
    precision: str, recording: Path, tmp_path: Path
) -> None:
    """`small` with its weights in float16, and with all its convolutions in int8, over the example recordings."""
    from aasist.export.half import halved
    from aasist.export.layers import of_kind
    from aasist.export.quantize import Rounding

    examples = sorted(path for path in recording.parent.iterdir() if path.suffix in {".flac", ".wav", ".opus"})
    content, notes = modelfile.read(shipped_folder() / str(shipped()["small"]["file"]))
    if precision == "fp16":
        rounded = halved(content)
    else:
        windows = np.stack([np.resize(read(path), notes.window_samples) for path in examples])
        rounding = Rounding(content, windows, bits=7)
        rounded = rounding.rounded(of_kind(rounding.layers, "convolution"))
    path = tmp_path / f"small-{precision}.onnx"
    modelfile.write(path, rounded, replace(notes, precision=precision))
    expected = [Detector(path, threads=1, runtime="onnxruntime").detect(example).llr for example in examples]
    assert None not in expected
    for runtime in installed():
        if runtime == "torch":
            continue  # takes checkpoints alone
        detector = Detector(path, threads=1, runtime=runtime)
        assert detector.model.precision == precision
        found = [detector.detect(example).llr for example in examples]
        np.testing.assert_allclose(found, expected, rtol=0, atol=LLR_TOLERANCE[precision])  # type: ignore[arg-type]
