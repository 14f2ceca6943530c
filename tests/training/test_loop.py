"""The loop: what stops it changes nothing, what is not finite changes nothing, and what is best by dev is kept."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aasist.errors import AasistError, MissingExtra
from aasist.evaluation.det import eer
from aasist.model import checkpoint
from aasist.protocol.scores import read_scores
from aasist.training import reader as reader_module
from aasist.training import step as step_module
from aasist.training.batches import Batch, Loader
from aasist.training.development import Development
from aasist.training.journal import Silent
from aasist.training.plan import Plan
from aasist.training.recipe import Recipe
from aasist.training.recordings import DataError
from aasist.training.schedule import learning_rate
from aasist.training.start import start
from aasist.training.waveforms import Crop, Int16

from . import small
from .same import WEIGHTS, lines, require_same


class Heard(Silent):
    """A listener that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.epochs: list[Mapping[str, Any]] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def ended_epoch(self, line: Mapping[str, Any], epochs: int) -> None:
        self.epochs.append(line)


def train(recipe: Recipe, folder: Path, *, resume: bool = False) -> Heard:
    heard = Heard()
    start(recipe, folder, heard, resume=resume)
    return heard


AUGMENTED = {
    "augment__gain__probability": 0.5,
    "augment__noise__probability": 0.5,
    "augment__bands__probability": 0.5,
    "augment__bands__most": 4,
}


@pytest.fixture(scope="module")
def whole(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    train(small.recipe(mini, **AUGMENTED), folder)
    return folder


def test_a_run_leaves_everything_that_it_should(whole: Path, mini: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    assert {*WEIGHTS, "state.safetensors", "metrics.jsonl", "recipe.toml", "environment.json", "log.txt"} <= names
    for name in WEIGHTS:
        model = checkpoint.load(whole / name)
        assert model.architecture == small.recipe(mini).model.resolved()
    record = json.loads((whole / "environment.json").read_text())["starts"]
    assert [start["data"]["train"]["spoofs"] for start in record] == [12]
    assert {"torch", "python", "numpy"} <= record[0]["versions"].keys()


def test_the_log_tells_loss_rate_and_dev_error_of_every_step_and_epoch(whole: Path, mini: Path) -> None:
    recipe, logged = small.recipe(mini), lines(whole)
    steps = [line for line in logged if line["kind"] == "step"]
    epochs = [line for line in logged if line["kind"] == "epoch"]
    assert [line["step"] for line in steps] == [2, 4, 6, 8, 10, 12]
    assert [(line["epoch"], line["step"]) for line in epochs] == [(0, 4), (1, 8), (2, 12)]
    for line in steps:
        assert line["learning_rate"] == learning_rate(recipe.schedule, 1e-4, line["step"] - 1, 12)
    first_epoch = [line["loss"] for line in steps if line["epoch"] == 0]
    assert np.mean(first_epoch) == pytest.approx(epochs[0]["loss"])


def test_best_and_its_scores_are_of_the_epoch_with_the_least_dev_error(whole: Path) -> None:
    epochs = [line for line in lines(whole) if line["kind"] == "epoch"]
    best = min(line["dev_eer"] for line in epochs)
    assert [line["best"] for line in epochs] == [
        line["dev_eer"] <= min(other["dev_eer"] for other in epochs[: number + 1]) for number, line in enumerate(epochs)
    ]
    scores = read_scores(whole / "dev-scores.tsv")
    labels = scores.bonafide
    assert labels is not None
    assert eer(scores.values[labels], scores.values[~labels]) == best


@pytest.mark.parametrize("steps", [1, 2, 4, 7])
def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(steps: int, whole: Path, mini: Path, tmp_path: Path) -> None:
    train(small.recipe(mini, **AUGMENTED, run__steps=steps), tmp_path / "run")
    assert all(line["step"] <= steps for line in lines(tmp_path / "run"))
    train(small.recipe(mini, **AUGMENTED), tmp_path / "run", resume=True)
    require_same(whole, tmp_path / "run")


def test_a_run_that_cannot_read_on_is_saved_and_goes_on_to_the_same_bytes(
    whole: Path, mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, read = reader_module.decoded, []

    def decoded(path: str, crop: Crop) -> Int16:
        read.append(path)
        if len(read) == 10:  # in the third step, which takes four
            raise DataError("reading", f"{path}: Input/output error")
        return real(path, crop)

    monkeypatch.setattr(reader_module, "decoded", decoded)
    with pytest.raises(DataError, match="Input/output error"):
        train(small.recipe(mini, **AUGMENTED), tmp_path / "run")
    heard = train(small.recipe(mini, **AUGMENTED), tmp_path / "run", resume=True)
    assert "going on from step 2 of 12" in heard.said[0]
    require_same(whole, tmp_path / "run")


def test_a_run_with_codecs_goes_on_to_the_same_bytes_whatever_was_kept(mini: Path, tmp_path: Path) -> None:
    coded = {"augment__codec__probability": 0.7, "augment__codec__formats": ("gsm", "mu-law")}
    disk = {"loading__disk": str(tmp_path / "disk")}
    train(small.recipe(mini, **coded, epochs=2), tmp_path / "whole")
    train(small.recipe(mini, **coded, **disk, epochs=2, run__steps=5), tmp_path / "run")
    train(small.recipe(mini, **coded, **disk, epochs=2, loading__cache_mib=0), tmp_path / "run", resume=True)
    require_same(tmp_path / "whole", tmp_path / "run")


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_and_caches_change_nothing(workers: int, whole: Path, mini: Path, tmp_path: Path) -> None:
    recipe = small.recipe(mini, **AUGMENTED, loading__workers=workers, loading__cache_mib=0)
    train(recipe, tmp_path / "run")
    require_same(whole, tmp_path / "run")


@pytest.mark.parametrize("kind", ["ema", "swa", "none"])
def test_every_kind_of_average_goes_on_as_it_was(kind: str, mini: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "averaging__kind": kind,
        "averaging__swa_from": 0.3,
        "epochs": 2,
        "optimiser__kind": "adamw",
    }
    train(small.recipe(mini, **changes), tmp_path / "whole")
    for steps in (3, 6):
        train(small.recipe(mini, **changes, run__steps=steps), tmp_path / "run", resume=steps > 3)
        # Of the others, the batch norms would have to be estimated merely to stop.
        assert (tmp_path / "run" / "averaged.safetensors").exists() == (kind == "ema")
    train(small.recipe(mini, **changes), tmp_path / "run", resume=True)
    require_same(tmp_path / "whole", tmp_path / "run")
    assert (tmp_path / "run" / "averaged.safetensors").exists() == (kind != "none")


def test_a_run_that_is_over_stays_as_it_is(whole: Path, mini: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    heard = train(small.recipe(mini, **AUGMENTED), tmp_path / "run", resume=True)
    require_same(whole, tmp_path / "run")
    (said,) = heard.said[1:]
    assert said.startswith("this run is over (epochs): nothing is left to do, and it cannot be lengthened: ")


def interrupted(batches: Iterable[Batch]) -> Iterator[Batch]:
    """The batches, with a SIGTERM before the second."""
    for number, batch in enumerate(batches):
        if number == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        yield batch


@pytest.mark.parametrize(("phase", "kinds"), [("dev", ["step"] * 2), ("norms", [*["step"] * 2, "epoch"] * 3)])
def test_a_signal_is_answered_while_dev_is_scored_and_while_norms_are_estimated(
    phase: str, kinds: list[str], whole: Path, mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, real = small.recipe(mini, **AUGMENTED), (Loader.first_windows, Loader.epoch)

    def first_windows(loader: Loader, *given: Any) -> Iterator[Batch]:
        return interrupted(real[0](loader, *given)) if phase == "dev" else real[0](loader, *given)

    def epoch(loader: Loader, order: Plan, number: int, **given: Any) -> Iterator[Batch]:
        batches = real[1](loader, order, number, **given)
        return interrupted(batches) if phase == "norms" and number == recipe.epochs else batches

    with monkeypatch.context() as patch:
        patch.setattr(Loader, "first_windows", first_windows)
        patch.setattr(Loader, "epoch", epoch)
        end = start(recipe, tmp_path / "run", Silent())
    assert (end.reason, end.signal, end.over) == ("signal", signal.SIGTERM, False)
    assert [line["kind"] for line in lines(tmp_path / "run")] == kinds
    assert not (tmp_path / "run" / "averaged.safetensors").exists()
    train(recipe, tmp_path / "run", resume=True)
    require_same(whole, tmp_path / "run")


def test_nothing_goes_through_the_model_as_it_is_written(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scoring and estimating take the form of training, which needs a fraction of the memory."""
    monkeypatch.setattr("aasist.model.aasist.Aasist.forward", None)
    train(small.recipe(mini, epochs=1), tmp_path / "run")
    assert (tmp_path / "run" / "averaged.safetensors").exists()


def test_a_run_in_bf16_goes_on_to_the_same_bytes(mini: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"precision": "bf16", "epochs": 1, **AUGMENTED}
    train(small.recipe(mini, **changes), tmp_path / "whole")
    train(small.recipe(mini, **changes, run__steps=2), tmp_path / "run")
    train(small.recipe(mini, **changes), tmp_path / "run", resume=True)
    require_same(tmp_path / "whole", tmp_path / "run")


def test_a_step_of_two_batches_is_a_step_of_one_twice_as_large(mini: Path, tmp_path: Path) -> None:
    """With batch norms frozen and without dropout, whose draws are a batch's own."""
    changes: dict[str, Any] = {
        "optimiser__freeze_norms": True,
        "model__dropouts": (0.0, 0.0, 0.0, 0.0),
        "epochs": 1,
        "optimiser__learning_rate": 1e-3,
    }
    train(small.recipe(mini, **changes, batch=8), tmp_path / "one")
    train(small.recipe(mini, **changes, batch=4, optimiser__accumulate=2), tmp_path / "two")
    one, two = (checkpoint.load(tmp_path / name / "last.safetensors").state_dict() for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], rtol=1e-4, atol=1e-5)


def test_frozen_norms_do_not_move_and_unused_ones_never_do(mini: Path, tmp_path: Path) -> None:
    train(small.recipe(mini, optimiser__freeze_norms=True, epochs=1), tmp_path / "frozen")
    train(small.recipe(mini, epochs=1), tmp_path / "free")
    frozen, free = (checkpoint.load(tmp_path / name / "last.safetensors").state_dict() for name in ("frozen", "free"))
    norms = [
        name for name in frozen if name.rpartition(".")[2] in ("running_mean", "running_var", "num_batches_tracked")
    ]
    still = {"running_mean": 0.0, "running_var": 1.0, "num_batches_tracked": 0.0}
    assert norms
    for name in norms:
        value = still[name.rpartition(".")[2]]
        assert (frozen[name] == value).all(), name
        assert (free[name] == value).all() == ("unused_norm" in name), name
    averaged = checkpoint.load(tmp_path / "frozen" / "averaged.safetensors").state_dict()
    assert all(torch.equal(averaged[name], frozen[name]) for name in norms)


@pytest.fixture
def not_finite_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[range], None]:
    """Makes the loss of some steps infinite, by their number from 0."""

    def patch(steps: range) -> None:
        count, real = iter(range(10_000)), step_module.loss_of

        def loss_of(*arguments: Any) -> torch.Tensor:
            return real(*arguments) * (torch.inf if next(count) in steps else 1.0)

        monkeypatch.setattr(step_module, "loss_of", loss_of)

    return patch


def test_a_step_without_a_finite_loss_changes_nothing_and_is_counted(
    mini: Path, tmp_path: Path, not_finite_at: Callable[[range], None]
) -> None:
    train(small.recipe(mini, run__steps=2), tmp_path / "two")
    not_finite_at(range(2, 3))
    heard = train(small.recipe(mini, run__steps=3, run__log_steps=1), tmp_path / "three")
    two, three = (checkpoint.load(tmp_path / name / "last.safetensors").state_dict() for name in ("two", "three"))
    for name, tensor in two.items():
        assert name.endswith("num_batches_tracked") or torch.equal(tensor, three[name]), name
    assert lines(tmp_path / "three")[-1]["skipped"] == 1
    assert any("step 3: the loss is not finite" in text and "LA_T_" in text for text in heard.said)


def test_the_run_ends_when_the_loss_stays_infinite_and_names_the_batch(
    mini: Path, tmp_path: Path, not_finite_at: Callable[[range], None]
) -> None:
    not_finite_at(range(1, 100))
    with pytest.raises(AasistError, match=r"not finite in 3 steps in a row .*the last batch: LA_T_\d+, LA_T_") as error:
        train(small.recipe(mini, run__nonfinite_limit=3), tmp_path / "run")
    assert error.value.code == "non_finite"


def test_training_ends_when_dev_gets_no_better(mini: Path, tmp_path: Path) -> None:
    recipe = small.recipe(mini, epochs=30, schedule__patience=2, optimiser__learning_rate=5e-6)
    heard = train(recipe, tmp_path / "run")
    flags = [bool(line["best"]) for line in heard.epochs]
    assert len(flags) < 30
    assert flags[-3:] == [True, False, False]
    before = lines(tmp_path / "run")
    train(recipe, tmp_path / "run", resume=True)
    assert lines(tmp_path / "run") == before


def test_as_good_as_the_best_is_averaged_and_yet_no_better(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a plateau patience ends; and where no epoch came to ``averaging.best_below``, that is said."""
    level = Development(np.zeros(12), 0.25, None, ())
    monkeypatch.setattr("aasist.training.loop.developed", lambda *_: level)
    heard = train(small.recipe(mini, epochs=30, schedule__patience=2), tmp_path / "run")
    assert [line["best"] for line in heard.epochs] == [True] * 3
    assert any(
        text.startswith("no epoch came to a dev EER of 1.00%") and "the 3 that were as good" in text
        for text in heard.said
    )


def damaged(mini: Path, tmp_path: Path, *names: str) -> Path:
    root = tmp_path / "damaged"
    shutil.copytree(mini, root)
    for name in names:
        next(root.rglob(f"{name}.flac")).write_bytes(b"fLaC but nothing else")
    return root


def test_a_corrupt_recording_is_left_out_counted_and_named(mini: Path, tmp_path: Path) -> None:
    root = damaged(mini, tmp_path, "LA_T_0000004")
    heard = train(small.recipe(root, epochs=2, loading__workers=1), tmp_path / "run")
    assert [line["faults"] for line in heard.epochs] == [1, 1]
    assert sum("left out: LA_T_0000004 (" in text for text in heard.said) == 1
    assert any(text.startswith("1 trials could not be read and took no part: LA_T_0000004 (") for text in heard.said)
    train(small.recipe(root, epochs=2, run__steps=3), tmp_path / "again")
    train(small.recipe(root, epochs=2), tmp_path / "again", resume=True)
    require_same(tmp_path / "run", tmp_path / "again")


def test_too_many_corrupt_recordings_end_the_run_with_everything_saved(mini: Path, tmp_path: Path) -> None:
    root = damaged(mini, tmp_path, "LA_T_0000004", "LA_T_0000005", "LA_T_0000006", "LA_T_0000007")
    with pytest.raises(DataError, match=r"trials could not be read, and no more than 1 may .*LA_T_000000"):
        train(small.recipe(root), tmp_path / "run")
    assert (tmp_path / "run" / "state.safetensors").exists()


def test_too_many_corrupt_recordings_of_dev_end_the_run_before_the_next_epoch(mini: Path, tmp_path: Path) -> None:
    root = damaged(mini, tmp_path, "LA_D_0000004", "LA_D_0000005")
    with pytest.raises(DataError, match=r"2 trials could not be read, and no more than 1 may .*LA_D_000000"):
        train(small.recipe(root), tmp_path / "run")
    assert {line["step"] for line in lines(tmp_path / "run")} == {2, 4}
    with pytest.raises(DataError, match="begin another run, or resume with a larger share"):
        train(small.recipe(root), tmp_path / "run", resume=True)
    train(small.recipe(root, loading__faults=0.1, run__steps=5), tmp_path / "run", resume=True)
    assert [line["step"] for line in lines(tmp_path / "run")] == [2, 4, 4]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch": 32}, r"an epoch has 18 trials, and a step takes 32: lower batch"),
        ({"precision": "fp16"}, "precision fp16 needs CUDA"),
        ({"optimiser__sync_norms": True}, r"optimiser\.sync_norms needs CUDA"),
        ({"sampling__mode": "pairs", "batch": 3}, "batch must be a multiple of 2"),
        ({"augment__music__probability": 1.0}, "there is no music to draw from"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(
    changes: dict[str, Any], said: str, mini: Path, tmp_path: Path
) -> None:
    with pytest.raises(AasistError, match=said):
        train(small.recipe(mini, **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_recipe_of_the_shipped_model_trains_with_pairs_and_head(mini: Path, tmp_path: Path) -> None:
    changes = {
        **{name: value for name, value in small.CHANGES.items() if name.startswith(("model", "run", "loading"))},
        **{"precision": "fp32", "batch": 4, "epochs": 1, "sampling.epoch_trials": 12},
        **{"crop.lengths": (4_000, 5_000), "crop.full_from": 0.7, "data.train": (f"asvspoof2019-la:{mini}",)},
    }
    from aasist.training.recipe import read_recipe, with_changes

    recipe = with_changes(read_recipe("efficient"), changes)
    train(with_changes(recipe, {"run.steps": 2}), tmp_path / "run")
    train(recipe, tmp_path / "run", resume=True)
    train(recipe, tmp_path / "whole")
    require_same(tmp_path / "whole", tmp_path / "run")
    names = checkpoint.load(tmp_path / "run" / "best.safetensors").state_dict()
    assert not [name for name in names if "head" in name]


def test_a_second_human_is_taken_from_the_training_set_where_the_noise_has_none(mini: Path, tmp_path: Path) -> None:
    recipe = small.recipe(mini, augment__mix__probability=1.0, run__steps=2)
    train(recipe, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "environment.json").read_text())["starts"][0]
    assert len(record["data"]["noise"]["sha256"]) == 64


def test_tensorboard_that_is_not_installed_is_named_before_anything_is_written(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aasist.training.events.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="tensorboard"):
        train(small.recipe(mini, run__tensorboard=True), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_the_numbers_of_every_line(
    mini: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: Path, purge_step: int) -> None:
            assert (folder, purge_step) == (tmp_path / "run" / "tensorboard", 2)

        def add_scalar(self, tag: str, value: float, step: int) -> None:
            written.append((tag, value, step))

        def flush(self) -> None: ...

    class Module:
        SummaryWriter = Writer

    monkeypatch.setattr("aasist.training.events.find_spec", lambda name: object())
    monkeypatch.setattr("aasist.training.events.import_module", lambda name: Module)
    train(small.recipe(mini, run__tensorboard=True, epochs=1), tmp_path / "run")
    logged = lines(tmp_path / "run")
    assert ("step/loss", logged[0]["loss"], 2) in written
    assert ("epoch/dev_eer", logged[-1]["dev_eer"], 4) in written
    assert {tag for tag, _, _ in written} >= {"machine/memory_bytes", "step/gradient_norm"}
