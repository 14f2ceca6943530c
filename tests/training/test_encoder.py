"""Training behind a speech encoder: steps, resume, and what comes of it scored and exported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from aasist.errors import ModelError
from aasist.export import onnx as export_room
from aasist.keys import RecipeError
from aasist.model import checkpoint
from aasist.model.speech_encoder import FOLDERS
from aasist.model.training_form import prepared
from aasist.runtime.modelfile import ModelNotes
from aasist.runtime.models import open_model
from aasist.training.encoder import with_encoder
from aasist.training.journal import Silent
from aasist.training.recipe import Recipe, read_recipe, with_changes
from aasist.training.run import RunError, recipe_of
from aasist.training.start import start

from .. import encoders
from . import small

SPEECH = {
    "model.front": "speech-encoder",
    "model.front_pool": (3, 3),
    "model.projection": 12,
    "model.time_pools": (1, 1),
}


def recipe(root: Path, folder: Path | None, **changes: object) -> Recipe:
    """`small.recipe` behind the encoder in ``folder``."""
    return with_changes(
        small.recipe(root, **changes), SPEECH | ({} if folder is None else {"data.encoder": str(folder)})
    )


@pytest.mark.parametrize("kind", ["whisper", "wav2vec2"])
def test_a_model_behind_an_encoder_is_trained_resumed_scored_and_known_by_its_encoder(
    mini: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = encoders.whisper_folder if kind == "whisper" else lambda folder: encoders.transformers_folder(folder, kind)
    folder, run = make(tmp_path / "encoders" / kind), tmp_path / "run"
    precision = "bf16" if kind == "whisper" else "fp32"
    start(recipe(mini, folder, run__steps=2, precision=precision), run, Silent())
    kept = recipe_of(run)
    assert kept.model.encoder_layers == (1, 2, 3)
    assert (kept.model.encoder_dim, kept.data.encoder) == (16, str(folder))
    end = start(with_changes(kept, {"run.steps": 5}), run, Silent(), resume=True)
    assert end.progress.step == 5
    assert end.progress.best_eer is not None
    facts = json.loads((run / "environment.json").read_text())["starts"][0]["data"]["encoder"]
    assert facts["kind"] == kind
    # Moved, it is the same encoder; another is not.
    moved = folder.rename(tmp_path / "moved")
    start(with_changes(kept, {"run.steps": 6, "data.encoder": str(moved)}), run, Silent(), resume=True)
    (moved / "config.json").write_text((moved / "config.json").read_text().replace("{", '{"of_another": 1, ', 1))
    with pytest.raises(RunError, match="begun on other data: encoder: "):
        start(with_changes(kept, {"run.steps": 7, "data.encoder": str(moved)}), run, Silent(), resume=True)


def test_what_was_trained_is_scored_and_exported_with_its_encoder(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run = encoders.whisper_folder(tmp_path / "whisper"), tmp_path / "run"
    start(recipe(mini, folder, run__steps=2), run, Silent())
    path = run / "last.safetensors"
    monkeypatch.setenv(FOLDERS, str(folder))
    windows = (0.1 * np.random.default_rng(0).standard_normal((2, 8_000))).astype(np.float32)
    scored = open_model(path, threads=1).session.run(windows)
    model = checkpoint.load(path)
    file = tmp_path / "model.onnx"
    notes = ModelNotes(name="ssl", variant=model.architecture.to_json(), window_samples=8_000, hop_samples=4_000)
    monkeypatch.setattr(export_room, "CHECKED_LENGTHS", (8_000, 16_001, 64_600))  # the last is beyond 1.2 s
    assert export_room.export(model, file, notes) < 1e-5
    monkeypatch.delenv(FOLDERS)
    exported = open_model(file, threads=1).session.run(windows)
    np.testing.assert_allclose(exported, scored, atol=1e-5)
    assert str(tmp_path) not in file.read_bytes().decode("latin-1")
    with pytest.raises(ModelError, match=f"set {FOLDERS}"):
        open_model(path, threads=1)
    monkeypatch.setattr(export_room.modelfile, "MOST_BYTES", 1 << 26)
    with pytest.raises(ModelError, match="run the checkpoint itself"):
        export_room.export(model, file, notes)


def test_an_encoder_that_the_exporter_cannot_write_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe_, encoder = with_encoder(recipe(tmp_path, encoders.whisper_folder(tmp_path / "whisper")))
    from aasist.model.aasist import Aasist

    model = Aasist(recipe_.model.resolved(), encoder).eval()

    def fails(*_: object, **__: object) -> None:
        raise NotImplementedError("no such operator")

    monkeypatch.setattr(torch.onnx, "export", fails)
    with pytest.raises(
        ModelError, match=r"cannot write the speech encoder whisper .*no such operator; run the checkpoint"
    ):
        export_room.to_onnx(model)


def test_the_form_that_trains_computes_what_the_model_does(tmp_path: Path) -> None:
    from aasist.model.aasist import Aasist

    recipe_, encoder = with_encoder(recipe(tmp_path, encoders.whisper_folder(tmp_path / "whisper")))
    model = Aasist(recipe_.model.resolved(), encoder).eval()
    waveform = 0.1 * torch.randn(3, 8_000, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(prepared(model, "fp32", "cpu")(waveform), model(waveform))
        narrow = prepared(model, "bf16", "cpu")(waveform)
        assert not torch.equal(narrow, model(waveform))
        torch.testing.assert_close(narrow, model(waveform), rtol=0, atol=0.05)


def test_what_does_not_go_together_is_refused(tmp_path: Path) -> None:
    folder = encoders.whisper_folder(tmp_path / "whisper")
    with pytest.raises(RecipeError, match=r"none is named: give the folder of one \(--encoder"):
        with_encoder(recipe(tmp_path, None))
    with pytest.raises(RecipeError, match="the model has none in front"):
        with_encoder(with_changes(read_recipe("aasist"), {"data.encoder": str(folder)}))
    with pytest.raises(RecipeError, match=r"whisper: .*wanted layer 4 .* got 3 layers"):
        with_encoder(with_changes(recipe(tmp_path, folder), {"model.encoder_layers": (4,)}))
    with pytest.raises(RecipeError, match=r"augment\.bands silences sinc bands, and a speech encoder has none"):
        with_changes(read_recipe("ssl"), {"augment.bands.probability": 0.1})
    with pytest.raises(RecipeError, match="encoder_layers must rise"):
        with_changes(read_recipe("ssl"), {"model.encoder_layers": (3, 2)})


def test_the_shipped_recipe_hears_all_layers_unless_some_are_named(tmp_path: Path) -> None:
    folder = encoders.whisper_folder(tmp_path / "whisper")
    ssl = with_changes(
        read_recipe("ssl"), {"data.encoder": str(folder), "model.window_samples": 19_200, "crop.lengths": (19_200,)}
    )
    assert with_encoder(ssl)[0].model.encoder_layers == (1, 2, 3)
    one, encoder = with_encoder(with_changes(ssl, {"model.encoder_layers": (2,)}))
    assert one.model.resolved().encoder_layers == (2,)
    assert one.model.resolved().spectral_nodes == 42
    assert encoder is not None
