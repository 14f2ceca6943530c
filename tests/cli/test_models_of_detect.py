"""``aasist detect --model``: what cannot be used is said once, and stands in the object of each recording."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from aasist.cli import aasist
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.runtime import modelfile
from aasist.runtime.modelfile import ModelNotes


def detect(model: Path | str, *paths: Path) -> tuple[Result, list[dict[str, Any]]]:
    words = ["detect", "--json", "--threads", "1", "--model", str(model), *map(str, paths)]
    result = CliRunner().invoke(aasist, words)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exc_info
    return result, [json.loads(line) for line in result.stdout.splitlines()]


def refused(model: Path | str, code: str, recording: Path, tmp_path: Path) -> str:
    """The one line on stderr, after each of two recordings was given the error."""
    result, verdicts = detect(model, recording, tmp_path / "none.wav")
    assert result.exit_code == 1
    assert [verdict["path"] for verdict in verdicts] == [str(recording), str(tmp_path / "none.wav")]
    assert [verdict["error"]["code"] for verdict in verdicts] == [code, code]
    assert all(verdict["model"] == {"name": str(model), "sha256": None, "precision": None} for verdict in verdicts)
    (line,) = result.stderr.splitlines()
    assert line.startswith("aasist: ")
    return line


def test_an_unknown_name_is_refused_and_the_shipped_ones_are_named(recording: Path, tmp_path: Path) -> None:
    assert "efficient" in refused("no-such-model", "unknown_model", recording, tmp_path)


def test_a_folder_is_no_model(recording: Path, tmp_path: Path) -> None:
    assert str(tmp_path) in refused(tmp_path, "unknown_model", recording, tmp_path)


@pytest.mark.parametrize("content", [b"", b"no model", bytes(range(256))], ids=["empty", "text", "bytes"])
def test_a_file_that_is_no_model_is_refused_by_name(content: bytes, recording: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    code = "model" if content else "foreign_model"
    assert str(path) in refused(path, code, recording, tmp_path)


def test_an_onnx_file_of_others_is_refused(loudness_onnx: Path, recording: Path, tmp_path: Path) -> None:
    proto = onnx.load(str(loudness_onnx))
    del proto.metadata_props[:]
    path = tmp_path / "foreign.onnx"
    onnx.save(proto, str(path))
    assert "aasist export" in refused(path, "foreign_model", recording, tmp_path)


def test_an_altered_model_is_refused(loudness_onnx: Path, recording: Path, tmp_path: Path) -> None:
    content, path = loudness_onnx.read_bytes(), tmp_path / "altered.onnx"
    path.write_bytes(content.replace(np.float32(10).tobytes(), np.float32(99).tobytes()))
    assert path.read_bytes() != content
    assert "altered" in refused(path, "altered_model", recording, tmp_path)


def test_a_checkpoint_that_is_none_is_refused(recording: Path, tmp_path: Path) -> None:
    for name in ("model.pth", "model.safetensors"):
        path = tmp_path / name
        path.write_bytes(b"nothing of the kind")
        assert str(path) in refused(path, "checkpoint", recording, tmp_path)


def test_a_model_that_fails_on_a_recording_is_an_error_of_that_recording(recording: Path, tmp_path: Path) -> None:
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [helper.make_node("Identity", ["waveform"], ["logits"])],
        "identity",
        [helper.make_tensor_value_info("waveform", TensorProto.FLOAT, ["batch", "samples"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "columns"])],
    )
    proto = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    path = tmp_path / "identity.onnx"
    modelfile.write(path, proto.SerializeToString(), ModelNotes(name="identity"))
    result, (verdict, missing) = detect(path, recording, tmp_path / "none.wav")
    assert (verdict["error"]["code"], missing["error"]["code"]) == ("model", "not_found")
    assert verdict["model"]["name"] == "identity"
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 2


def test_a_checkpoint_a_file_of_ours_and_a_shipped_name_all_judge(
    small_model: Aasist, loudness_onnx: Path, recording: Path, tmp_path: Path
) -> None:
    import torch

    path, threads = tmp_path / "small.safetensors", torch.get_num_threads()
    checkpoint.save(small_model, path)
    names = []
    try:
        for model in (path, loudness_onnx, "efficient"):
            result, (verdict,) = detect(model, recording)
            assert result.exit_code == 0
            assert verdict["error"] is None
            assert 0 <= verdict["score"] <= 1
            assert len(verdict["model"]["sha256"]) == 64
            names.append(verdict["model"]["name"])
    finally:
        torch.set_num_threads(threads)
    assert names == ["small", "loudness", "efficient"]
