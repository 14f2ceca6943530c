"""The weights at the start: taken whole from another training, named in its record, and refused where they do not fit."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from aasist.errors import AasistError
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.recipe import EFFICIENT
from aasist.training.beginning import begin_with, with_start
from aasist.training.journal import Silent
from aasist.training.recipe import read_recipe, resolved_text
from aasist.training.run import LAST
from aasist.training.start import start

from . import small
from .test_loop import Heard


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the model that `small` trains, with weights of its own."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("start") / "other.safetensors"
    checkpoint.save(Aasist(small.recipe(Path("nowhere")).model.resolved()), path)
    return path


def test_a_training_begins_with_the_weights_of_another_and_says_so(mini: Path, tmp_path: Path, trained: Path) -> None:
    heard = Heard()
    changes = {"data__start": str(trained), "optimiser__learning_rate": 0.0, "optimiser__weight_decay": 0.0}
    still = {"schedule__lowest_learning_rate": 0.0, "optimiser__freeze_norms": True}
    start(small.recipe(mini, run__steps=2, **changes, **still), tmp_path / "run", heard)
    begun, now = (checkpoint.load(path).state_dict() for path in (trained, tmp_path / "run" / LAST))
    assert all(torch.equal(begun[name], now[name]) for name in begun)
    sha256 = hashlib.sha256(trained.read_bytes()).hexdigest()
    record = json.loads((tmp_path / "run" / "environment.json").read_text())["starts"][0]
    assert record["data"]["start"] == {"sha256": sha256}
    assert any(f"from the weights of {trained} ({sha256[:8]})" in text for text in heard.said)


def test_the_average_begins_with_them_too(mini: Path, tmp_path: Path, trained: Path) -> None:
    changes = {"averaging__kind": "ema", "averaging__decay": 1.0, "data__start": str(trained)}
    end = start(small.recipe(mini, run__steps=1, optimiser__learning_rate=5e-6, **changes), tmp_path / "run", Silent())
    assert end.progress.step == 1
    begun, now = (checkpoint.load(path).state_dict() for path in (trained, tmp_path / "run" / "averaged.safetensors"))
    weights = [name for name in begun if "running" not in name and "tracked" not in name]
    assert all(torch.allclose(begun[name], now[name], atol=1e-4) for name in weights)


def test_a_run_goes_on_when_what_it_began_with_is_gone_and_begins_with_no_other(
    mini: Path, tmp_path: Path, trained: Path
) -> None:
    begun = tmp_path / "begun.safetensors"
    begun.write_bytes(trained.read_bytes())
    for name in ("whole", "parted"):
        steps = 2 if name == "whole" else 1
        start(small.recipe(mini, run__steps=steps, data__start=str(begun)), tmp_path / name, Silent())
    begun.unlink()
    start(small.recipe(mini, run__steps=2, data__start=str(begun)), tmp_path / "parted", Silent(), resume=True)
    assert (tmp_path / "parted" / LAST).read_bytes() == (tmp_path / "whole" / LAST).read_bytes()
    starts = json.loads((tmp_path / "parted" / "environment.json").read_text())["starts"]
    assert starts[0]["data"]["start"] == starts[1]["data"]["start"]
    with pytest.raises(AasistError, match=r"begun with another recipe: data\.start: "):
        start(small.recipe(mini, run__steps=3, data__start=str(trained)), tmp_path / "parted", Silent(), resume=True)


def test_a_run_that_was_stopped_before_its_first_state_begins_with_the_same_weights(
    mini: Path, tmp_path: Path, trained: Path
) -> None:
    changes = {"data__start": str(trained), "run__steps": 1}
    for name in ("run", "again"):
        start(small.recipe(mini, **changes), tmp_path / name, Silent())
    weights = (tmp_path / "run" / LAST).read_bytes()
    for name in ("state.safetensors", LAST):
        (tmp_path / "again" / name).unlink()
    start(small.recipe(mini, **changes), tmp_path / "again", Silent(), resume=True)
    assert (tmp_path / "again" / LAST).read_bytes() == weights


def test_weights_that_do_not_fit_are_refused_before_the_run_begins(mini: Path, tmp_path: Path, trained: Path) -> None:
    wide = small.recipe(mini, data__start=str(trained), model__graph_dims=(10, 6))
    with pytest.raises(AasistError, match=r"small, whose weights do not fit.* is 8x1 there and 10x1 here and \d+ more"):
        start(wide, tmp_path / "run", Silent())
    squeezed = small.recipe(mini, data__start=str(trained), model__squeeze=2)
    with pytest.raises(AasistError, match=r"excitation.* is missing there and"):
        start(squeezed, tmp_path / "run", Silent())
    assert not (tmp_path / "run").exists()


def test_of_another_architecture_what_fits_is_taken_where_that_is_asked_for(
    mini: Path, tmp_path: Path, trained: Path
) -> None:
    fresh = small.recipe(mini, data__start=str(trained), data__start_partly=True, model__squeeze=2)
    torch.manual_seed(7)
    model = Aasist(fresh.model.resolved())
    before, theirs = (
        {name: tensor.clone() for name, tensor in model.state_dict().items()},
        checkpoint.load(trained).state_dict(),
    )
    begun = begin_with(model, str(trained), partly=True)
    assert begun.anew
    assert all("excitation" in name for name in begun.anew)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name] if name in begun.anew else theirs[name]), name
    heard = Heard()
    start(replace(fresh, run=replace(fresh.run, steps=1)), tmp_path / "run", heard)
    assert any(f"), {len(begun.anew)} of its tensors anew" in text for text in heard.said)
    record = json.loads((tmp_path / "run" / "environment.json").read_text())["starts"][0]
    assert record["data"]["start"] == {"sha256": begun.sha256, "anew": list(begun.anew)}


def test_what_has_no_weights_may_differ(trained: Path) -> None:
    model = Aasist(small.recipe(Path("nowhere"), model__centring=1.0, model__compression="log").model.resolved())
    begin_with(model, str(trained))
    assert torch.equal(model.out.weight, checkpoint.load(trained).out.weight)


def test_what_the_recipe_leaves_open_is_as_the_start_has_it_where_that_is_asked_for(tmp_path: Path) -> None:
    thin = replace(
        EFFICIENT, name="thin", channels=(3, 4, 4, 6, 6), inner_channels=(2, 4, 5, 6, 6), shortcut_blocks=(3,)
    )
    checkpoint.save(Aasist(thin), tmp_path / "thin.safetensors")
    start_at = {"data.start": str(tmp_path / "thin.safetensors")}
    recipe = with_start(read_recipe("pruned", start_at))
    assert recipe.model.resolved() == thin
    assert not recipe.data.start_architecture
    begin_with(Aasist(recipe.model.resolved()), str(tmp_path / "thin.safetensors"))
    dropped = with_start(read_recipe("pruned", start_at | {"dropouts": (0.1, 0.1, 0.1, 0.1)}))
    assert dropped.model.resolved() == replace(thin, dropouts=(0.1, 0.1, 0.1, 0.1))
    # What is taken stands in the run's recipe, which then needs the file no more.
    (tmp_path / "run.toml").write_text(resolved_text(recipe), encoding="utf-8")
    (tmp_path / "thin.safetensors").unlink()
    assert with_start(read_recipe(tmp_path / "run.toml")).model.resolved() == thin
    whole = read_recipe("efficient", start_at)
    assert with_start(whole) is whole


def test_an_architecture_to_begin_with_that_cannot_be_had_is_said_by_name(tmp_path: Path, trained: Path) -> None:
    with pytest.raises(AasistError, match=r"none is named: give one \(--from, data\.start\)"):
        with_start(read_recipe("pruned"))
    with pytest.raises(AasistError, match=r"data\.start: .*none\.safetensors: no such checkpoint"):
        with_start(read_recipe("pruned", {"data.start": str(tmp_path / "none.safetensors")}))
    with pytest.raises(AasistError, match="training begins with a checkpoint"):
        with_start(read_recipe("pruned", {"data.start": "model.onnx"}))
    wrong = read_recipe("pruned", {"data.start": str(trained), "channels": (4,) * 5})
    with pytest.raises(AasistError, match=r"channels and time_pools must be of one length"):
        with_start(wrong)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.safetensors", "missing.safetensors: no such checkpoint"),
        ("model.onnx", "training begins with a checkpoint"),
        ("broken.safetensors", "not a safetensors file"),
    ],
)
def test_what_is_no_checkpoint_is_refused_by_name(tmp_path: Path, name: str, said: str) -> None:
    if name.startswith("broken"):
        (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(AasistError, match=f"data.start: .*{said}"):
        begin_with(Aasist(small.recipe(Path("nowhere")).model.resolved()), str(tmp_path / name))
