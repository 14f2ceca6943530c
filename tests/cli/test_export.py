"""``aasist export`` of every kind of model to every format, and ``aasist models FILE``, which reads them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest
from click.testing import CliRunner, Result

from aasist.cli import aasist
from aasist.cli.calibrate import _write_model
from aasist.errors import ModelError
from aasist.export import onnx as exporting
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.runtime import modelfile, runtimes
from aasist.runtime.modelfile import Calibration, ModelNotes
from aasist.runtime.models import shipped, shipped_folder
from aasist.runtime.runtimes import LLR_TOLERANCE, installed

needs_openvino = pytest.mark.skipif("openvino" not in installed(), reason="openvino is not installed (extra: openvino)")


def call(*words: object) -> Result:
    result = CliRunner().invoke(aasist, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit | ModelError), result.exc_info
    return result


def described(*paths: Path | str) -> list[dict[str, Any]]:
    result = call("models", "--json", *paths)
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def llr_of(model: Path, recording: Path, *options: str) -> float:
    (line,) = call("detect", "--json", "--threads", 1, "--model", model, *options, recording).stdout.splitlines()
    verdict = json.loads(line)
    assert verdict["error"] is None
    return float(verdict["llr"])


@pytest.fixture
def made(small_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The small model's graph without the minute that it takes."""
    monkeypatch.setattr(exporting, "to_onnx", lambda model: onnx.load(str(small_onnx)))


@pytest.mark.usefixtures("made")
@needs_openvino
def test_a_checkpoint_goes_to_both_formats_which_judge_alike(
    small_model: Aasist, recording: Path, tmp_path: Path
) -> None:
    source, in_onnx, in_openvino = (tmp_path / name for name in ("small.safetensors", "small.onnx", "small.xml"))
    checkpoint.save(small_model, source)
    result = call("export", source, "-o", in_onnx, "--openvino", in_openvino, "--slope", 2, "--offset", -1)
    assert result.exit_code == 0, result.stderr
    assert [line.split(": ")[0] for line in result.stdout.splitlines()] == [str(in_onnx), str(in_openvino)]
    assert {path.name for path in tmp_path.iterdir()} == {"small.safetensors", "small.onnx", "small.xml", "small.bin"}

    of_onnx, of_openvino = described(in_onnx, in_openvino)
    assert (of_onnx["format"], of_openvino["format"]) == ("onnx, opset 20", "openvino")
    assert of_onnx["notes"] == of_openvino["notes"]
    assert of_onnx["notes"]["calibration"] == {"slope": 2.0, "offset": -1.0}
    for description, runtime in ((of_onnx, "onnxruntime"), (of_openvino, "openvino")):
        parity = description["parity"]
        assert (parity["reference"], parity["runtime"]) == ("torch", runtime)
        assert 0 <= parity["largest_difference"] <= parity["tolerance"] == 1e-4
        assert parity["versions"][runtime]
    for secret in (str(tmp_path), "site-packages", ".py"):
        assert secret.encode() not in in_openvino.read_bytes()

    expected = llr_of(in_onnx, recording)
    assert llr_of(in_openvino, recording) == pytest.approx(expected, abs=LLR_TOLERANCE["fp32"])
    assert llr_of(in_onnx, recording, "--runtime", "openvino") == pytest.approx(expected, abs=LLR_TOLERANCE["fp32"])
    words = call("models", in_openvino).stdout
    assert "parity: within" in words and "in openvino" in words and "digest holds" in words


@needs_openvino
def test_an_onnx_file_of_ours_becomes_openvinos_and_keeps_what_it_says(small_onnx: Path, tmp_path: Path) -> None:
    target = tmp_path / "small.xml"
    result = call("export", small_onnx, "--openvino", target)
    assert result.exit_code == 0, result.stderr
    (description,) = described(target)
    assert description["notes"]["version"] == "7" and description["notes"]["threshold"] == 0.25
    assert description["parity"]["reference"] == "onnxruntime"
    assert description["parity"]["opset"] == 20


@needs_openvino
def test_a_graph_that_openvino_runs_otherwise_is_refused_and_nothing_is_written(
    small_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aasist.export import openvino as writing

    content, notes = modelfile.read(small_onnx)
    with pytest.raises(ModelError, match="the graph in openvino differs from onnxruntime by"):
        writing.export_ir(
            content, tmp_path / "x.xml", notes, lambda windows: windows[:, :2] + 9, named="onnxruntime", threads=1
        )
    with pytest.raises(ModelError, match=r"must end in \.xml"):
        writing.export_ir(content, tmp_path / "x.onnx", notes, lambda windows: windows, named="torch", threads=1)
    with pytest.raises(ModelError, match="run the ONNX file itself with --runtime openvino"):
        rounded = replace(notes, precision="int8")
        writing.export_ir(content, tmp_path / "x.xml", rounded, lambda windows: windows, named="torch", threads=1)
    assert list(tmp_path.iterdir()) == []


def test_a_shipped_name_is_exported_with_the_notes_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = shipped_folder() / shipped()["small"]["file"]
    monkeypatch.setattr(exporting, "to_onnx", lambda model: onnx.load(str(file)))
    target = tmp_path / "mine.onnx"
    assert call("export", "small", "-o", target, "--licence", "CC0").exit_code == 0
    assert modelfile.read(target)[1] == replace(modelfile.read(file)[1], licence="CC0")


def test_models_says_what_is_in_a_shipped_name_and_in_a_file(loudness_onnx: Path) -> None:
    of_name, of_file = described("efficient", loudness_onnx)
    assert of_name["sha256"] == shipped()["efficient"]["sha256"]
    assert of_name["notes"]["variant"]["name"] == "efficient"
    assert of_file["notes"]["name"] == "loudness" and of_file["parity"] is None
    words = call("models", "efficient", loudness_onnx).stdout
    for part in (
        "--threshold miss-1",
        "llr = 1 x margin -0.1",
        "windows of 0.50 s every 0.25 s",
        "parity: none in the file",
    ):
        assert part in words


def test_models_says_what_holds_in_each_precision(loudness_onnx: Path, tmp_path: Path) -> None:
    content, notes = modelfile.read(loudness_onnx)
    target = tmp_path / "both.onnx"
    stated = modelfile.StatedFor("bf16", Calibration(3.0, 0.5), threshold=0.75, operating_point="by hand")
    modelfile.write(target, content, notes.stating(stated))
    words = call("models", target).stdout
    assert "in fp32: llr = 1 x margin -0.1, threshold +0.000" in words
    assert "in bf16: llr = 3 x margin +0.5, threshold +0.750 (by hand)" in words


def test_models_says_of_each_file_that_is_none_what_to_do(loudness_onnx: Path, tmp_path: Path) -> None:
    content = loudness_onnx.read_bytes()
    proto = onnx.load_from_string(content)
    del proto.metadata_props[:]
    files = {
        "cut.onnx": (content[:300], "damaged one: a field runs past the end; copy it anew"),
        "foreign.onnx": (proto.SerializeToString(), "make one with 'aasist export'"),
        "altered.onnx": (content.replace(b"loudness", b"Loudness"), "take the original, or export it again"),
        "half.onnx": (modelfile.with_notes(content, ModelNotes(name="x"))[:-90], "damaged"),
        "weights.safetensors": (b"weights", "'aasist export' makes a model file of it"),
        "text.onnx": (b"# notes\n", "not an ONNX file"),
        "empty.onnx": (b"", "the file is empty"),
    }
    for name, (wrong, _) in files.items():
        (tmp_path / name).write_bytes(wrong)
    result = call("models", *(tmp_path / name for name in files), loudness_onnx, tmp_path / "none.onnx")
    assert result.exit_code == 1
    assert "loudness" in result.stdout
    lines = result.stderr.splitlines()
    for line, (name, (_, said)) in zip(lines, files.items(), strict=False):
        assert name in line and said in line
    assert "no such model" in lines[-1] and len(lines) == len(files) + 1


def test_a_foreign_block_of_metadata_is_refused_with_the_keys_it_has(loudness_onnx: Path, tmp_path: Path) -> None:
    content = loudness_onnx.read_bytes()
    proto = onnx.load_from_string(content)
    for entry in proto.metadata_props:
        if entry.key == modelfile.NOTES_KEY:
            entry.value = '{"name": "theirs", "colour": "red"}'
    del proto.metadata_props[1:]
    noted = proto.SerializeToString()
    path = tmp_path / "theirs.onnx"
    path.write_bytes(noted + modelfile.metadata_entry(modelfile.DIGEST_KEY, modelfile.digest(noted)))
    with pytest.raises(ModelError, match=r"keys that this version does not know \(colour\): update aasist"):
        modelfile.read(path)


def test_a_graph_of_a_later_opset_says_which_it_is_and_what_export_writes(
    loudness_onnx: Path, recording: Path, tmp_path: Path
) -> None:
    proto = onnx.load(str(loudness_onnx))
    proto.opset_import[0].version = 999
    path = tmp_path / "later.onnx"
    modelfile.write(path, proto.SerializeToString(), modelfile.read(loudness_onnx)[1])
    result = call("detect", "--model", path, recording)
    assert result.exit_code == 1
    assert "written in opset 999, and 'aasist export' writes 20: export it anew, or update the runtime" in result.stderr


WRONG = {
    "nowhere": (["x.pth"], "Give -o FILE.onnx, or --openvino FILE.xml"),
    "-o safetensors": (["x.pth", "-o", "a.safetensors"], "name a file that ends in .onnx, got a.safetensors"),
    "-o xml": (["x.pth", "-o", "a.xml"], "OpenVINO's format is --openvino a.xml"),
    "--openvino onnx": (["x.pth", "--openvino", "a.onnx"], "must name a file that ends in .xml"),
    "one file twice": (
        ["x.pth", "-o", "a.bin", "--openvino", "a.xml"],
        "-o and --openvino (the weights) both name a.bin",
    ),
    "weights in its place": (["a.bin", "--openvino", "a.xml"], "is what was given: it would be replaced"),
    "a missing folder": (["x.pth", "--openvino", "none/a.xml"], "no such folder"),
}


def test_the_folder_of_a_run_and_the_cascade_are_no_checkpoints_and_what_is_one_is_said(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").write_bytes(b"")
    folder = call("export", tmp_path, "-o", tmp_path / "a.onnx")
    assert folder.exit_code == 1
    assert str(folder.exception).endswith("it is a folder: name the checkpoint in it, best.safetensors")
    assert "name it (efficient, small)" in str(call("export", "cascade", "-o", tmp_path / "a.onnx").exception)
    recording = tmp_path / "a.flac"
    recording.write_bytes(b"fLaC")
    assert "a.flac: not a checkpoint (.safetensors, .pth, .pt)" in str(
        call("export", recording, "-o", tmp_path / "a.onnx").exception
    )


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
def test_outputs_that_cannot_be_are_wrong_usage(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if words[0] == "a.bin":
        Path("a.bin").write_bytes(b"x")
    result = call("export", *words)
    assert result.exit_code == 2
    assert said in result.stderr


def test_an_onnx_file_cannot_be_written_as_onnx_and_openvino_missing_names_its_extra(
    loudness_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = call("export", loudness_onnx, "-o", tmp_path / "a.onnx")
    assert isinstance(result.exception, ModelError) and "not a checkpoint" in result.exception.message
    monkeypatch.setattr(runtimes, "is_installed", lambda runtime: runtime != "openvino")
    result = CliRunner().invoke(aasist, ["export", str(loudness_onnx), "--openvino", str(tmp_path / "a.xml")])
    assert "pip install '.[openvino]'" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


def test_a_calibration_in_another_precision_is_stated_beside_that_of_the_file(
    loudness_onnx: Path, tmp_path: Path
) -> None:
    class Chosen:
        threshold = 0.25

        def __str__(self) -> str:
            return "by hand"

    target, before = tmp_path / "both.onnx", modelfile.read(loudness_onnx)[1]
    _write_model(str(loudness_onnx), target, 2.0, 1.0, Chosen(), (), "bf16")  # type: ignore[arg-type]
    after = modelfile.read(target)[1]
    assert after.calibration == before.calibration and after.threshold == before.threshold
    # Scores in bf16 were made by the map of fp32, which the new one follows.
    assert after.at("bf16").calibration == Calibration(2.0, 2.0 * -0.1 + 1.0)
    assert (after.at("bf16").threshold, after.at("bf16").operating_point) == (0.25, "by hand")


def test_options_of_a_runtime_go_with_a_model(tmp_path: Path) -> None:
    scores = tmp_path / "scores.tsv"
    scores.write_text("")
    result = call("calibrate", scores, "--runtime", "torch")
    assert result.exit_code == 2 and "--runtime, --precision and --condition go with --model" in result.stderr
