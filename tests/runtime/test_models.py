"""Which models there are, and which files are taken for one."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from aasist.errors import MissingExtra, ModelError
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.runtime import models
from aasist.runtime.models import DEFAULT_MODEL, open_model, shipped, shipped_checkpoint, shipped_folder
from aasist.session import SAMPLE_RATE

pytestmark = pytest.mark.usefixtures("same_threads")


def test_every_shipped_file_has_the_recorded_hash_and_size() -> None:
    assert DEFAULT_MODEL in shipped()
    for name, facts in shipped().items():
        content = (shipped_folder() / facts["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == facts["sha256"], name
        assert len(content) == facts["bytes"], name


def test_every_shipped_model_opens_under_its_name_and_scores_a_window() -> None:
    for name, facts in shipped().items():
        opened = open_model(name, threads=1)
        assert opened.identity.sha256 == facts["sha256"]
        assert opened.notes.sample_rate == SAMPLE_RATE
        assert opened.identity.precision == opened.session.precision == facts["precision"]
        logits = opened.session.run(np.zeros((1, opened.notes.window_samples), np.float32))
        assert logits.shape == (1, 2)
        assert np.isfinite(logits).all()


def test_no_file_lies_in_the_folder_of_models_that_is_not_listed() -> None:
    listed = {facts[kind] for facts in shipped().values() for kind in ("file", "checkpoint")}
    assert {path.name for path in shipped_folder().iterdir()} == listed | {"models.json"}


def test_the_checkpoint_behind_a_shipped_model_says_what_the_model_says() -> None:
    """But for the rounding of folded norms."""
    torch.manual_seed(0)
    waveforms = 0.1 * torch.randn(2, 20_000)
    for name, facts in shipped().items():
        path = shipped_checkpoint(name)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == facts["checkpoint_sha256"], name
        trained = checkpoint.load(path)
        assert trained.architecture.name == name
        with torch.inference_mode():
            expected = trained(waveforms).numpy()
        np.testing.assert_allclose(open_model(name, threads=1).session.run(waveforms.numpy()), expected, atol=2e-4)


def test_weights_of_a_model_that_is_not_shipped_are_refused_and_the_shipped_ones_are_named() -> None:
    with pytest.raises(ModelError, match="no weights of 'aasist' are shipped to train on; there are: efficient"):
        shipped_checkpoint("aasist")


def test_a_shipped_file_that_is_another_valid_model_is_refused(
    loudness_onnx: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / shipped()[DEFAULT_MODEL]["file"]).write_bytes(loudness_onnx.read_bytes())
    monkeypatch.setattr(models, "shipped_folder", lambda: tmp_path)
    with pytest.raises(ModelError, match="reinstall aasist") as caught:
        open_model(DEFAULT_MODEL, threads=1)
    assert caught.value.code == "altered_model"


def test_a_file_of_ours_opens_by_path_with_the_name_in_its_notes(loudness_onnx: Path) -> None:
    opened = open_model(loudness_onnx, threads=1)
    assert opened.identity.name == opened.notes.name == "loudness"
    assert opened.identity.sha256 == hashlib.sha256(loudness_onnx.read_bytes()).hexdigest()
    logits = opened.session.run(np.full((2, 100), 0.5, np.float32))
    np.testing.assert_allclose(logits, [[0.0, 5.0]] * 2, rtol=1e-6)
    assert open_model(str(loudness_onnx), threads=1).identity == opened.identity


@pytest.mark.parametrize("name", ["no-such-model", "", "efficient ", "a/b/c.onnx", "nul\0byte", "x" * 5_000])
def test_a_name_that_is_neither_shipped_nor_a_file_is_an_unknown_model_and_the_shipped_ones_are_named(
    name: str,
) -> None:
    with pytest.raises(ModelError) as caught:
        open_model(name, threads=1)
    assert caught.value.code == "unknown_model"
    assert DEFAULT_MODEL in caught.value.message


def test_a_folder_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as caught:
        open_model(tmp_path, threads=1)
    assert caught.value.code == "unknown_model"


def test_a_checkpoint_opens_as_a_torch_session_and_says_that_it_is_uncalibrated(
    small_model: Aasist, tmp_path: Path
) -> None:
    path = tmp_path / "small.safetensors"
    checkpoint.save(small_model, path)
    opened = open_model(path, threads=1)
    assert (opened.identity.name, opened.identity.precision) == ("small", "fp32")
    assert opened.identity.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert opened.notes.calibration is None
    assert (opened.notes.window_samples, opened.notes.hop_samples) == (8_000, 4_000)
    windows = np.random.default_rng(0).standard_normal((2, 8_000)).astype(np.float32)
    with torch.no_grad():
        expected = small_model(torch.from_numpy(windows)).numpy()
    np.testing.assert_allclose(opened.session.run(windows), expected, atol=1e-5)


@pytest.mark.parametrize("suffix", models.CHECKPOINT_SUFFIXES)
def test_without_torch_a_checkpoint_asks_for_the_extra_that_brings_it(
    suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"weights")

    def absent(name: str) -> ModuleType:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(MissingExtra) as caught:
        open_model(path, threads=1)
    assert "pip install '.[train]'" in caught.value.message
    assert str(path) in caught.value.message
