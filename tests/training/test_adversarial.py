"""Adversarial training: what is done to a row, what is left alone, and that a model learns from it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from aasist.cli import run as aasist
from aasist.keys import RecipeError
from aasist.model import checkpoint
from aasist.model.perturbation import radii
from aasist.model.training_form import prepared
from aasist.protocol.corpora import read_corpus
from aasist.training.adversarial import Adversarial, attacked
from aasist.training.batches import Batch
from aasist.training.cache import CacheStatistics
from aasist.training.distributed import Ranks
from aasist.training.draws import Draws, Purpose, row_keys
from aasist.training.journal import Silent
from aasist.training.precision import Precision
from aasist.training.preparation import Preparation
from aasist.training.recipe import Recipe, differences, read_recipe, with_changes
from aasist.training.start import start
from aasist.training.step import Learner, Ready

from . import small
from .same import require_same

CPU = torch.device("cpu")
FP32, BF16 = Precision("fp32", CPU), Precision("bf16", CPU)
NONE = torch.empty((0, 2), dtype=torch.int64)
ALL = Adversarial(probability=1.0, snr_db=(30.0, 30.0))


class Scaled(Precision):
    """Float32 with the scaled gradients of fp16, which only CUDA trains in."""

    scaled = True  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def one_thread(same_threads: None) -> Iterator[None]:
    torch.set_num_threads(1)
    yield


def recipe(**changes: object) -> Recipe:
    return small.recipe(
        Path("none"), **{"adversarial__probability": 1.0, "adversarial__snr_db": (30.0, 30.0), **changes}
    )


def voices(count: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise (B, 8000) and labels (B,), spoofs without their high frequencies."""
    random = torch.Generator().manual_seed(seed)
    white = 0.1 * torch.randn(count, 8_001, generator=random)
    labels = torch.arange(count) % 2
    smooth = torch.where(labels == 1, 0.0, 0.9).unsqueeze(1)
    return white[:, 1:] + smooth * white[:, :-1], labels


def keys(count: int, epoch: int = 0) -> np.ndarray:
    return row_keys(1, Purpose.ATTACK, epoch, np.arange(count))


def ready(count: int = 4, number: int = 0, samples: int = 8_000) -> Ready:
    waveforms, labels = voices(count, seed=number)
    return Ready(waveforms[:, :samples], labels, None, NONE, 0, number, None, keys(count, number))


def margins(model: torch.nn.Module, waveforms: Tensor) -> Tensor:
    with torch.no_grad():
        logits = model.eval()(waveforms)
    return logits[:, 1] - logits[:, 0]


@pytest.mark.parametrize("kind", ["fast", "pgd"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_rows_go_towards_the_wrong_class_within_their_bound(kind: str, precision: str) -> None:
    model = Learner(recipe(), Ranks(), FP32).model.eval()
    waveforms, labels = voices(6)
    before = waveforms.clone()
    asked = replace(ALL, kind=kind, snr_db=(20.0, 40.0))
    moved = attacked(asked, prepared(model, precision, CPU), waveforms, labels, None, keys(6))
    assert torch.equal(waveforms, before)
    change = margins(model, moved) - margins(model, waveforms)
    assert bool((torch.where(labels == 1, -change, change) > 0).all())
    reached = (moved - waveforms).abs().amax(1, keepdim=True) / radii(waveforms, 0.0)
    levels = -20 * torch.log10(reached.flatten())
    assert bool(((levels > 19.9) & (levels < 40.1)).all())
    assert levels.max() - levels.min() > 3, "each row has a radius of its own"
    assert not moved.requires_grad


def test_more_steps_move_the_margin_further() -> None:
    form = prepared(Learner(recipe(), Ranks(), FP32).model.eval(), "fp32", CPU)
    waveforms, labels = voices(8)
    sign = torch.where(labels == 1, -1.0, 1.0)
    fast, pgd = (
        float(
            (
                sign
                * margins(form, attacked(replace(ALL, kind=kind, pgd_steps=10), form, waveforms, labels, None, keys(8)))
            ).mean()
        )
        for kind in ("fast", "pgd")
    )
    assert pgd > fast


def test_what_becomes_of_a_row_is_a_matter_of_the_row_alone() -> None:
    form = prepared(Learner(recipe(), Ranks(), FP32).model.eval(), "fp32", CPU)
    waveforms, labels = voices(6)
    mask = (torch.rand(6, 12, generator=torch.Generator().manual_seed(1)) > 0.3).float()
    whole = attacked(replace(ALL, probability=0.3), form, waveforms, labels, mask, keys(6, 2))
    some = torch.tensor([4, 1, 2])
    again = attacked(
        replace(ALL, probability=0.3), form, waveforms[some], labels[some], mask[some], keys(6, 2)[some.numpy()]
    )
    # The sign of a gradient that rounding decides is no matter of the row.
    assert float(((again - whole[some]).abs() > 1e-6).float().mean()) < 2e-3
    assert (whole != waveforms).any(1).tolist() == (Draws(keys(6, 2), "adversarial").fraction("happens") < 0.3).tolist()
    assert 0 < int((whole != waveforms).any(1).sum()) < 6


def test_a_share_of_the_rows_is_perturbed_and_silence_never() -> None:
    form = prepared(Learner(recipe(), Ranks(), FP32).model.eval(), "fp32", CPU)
    waveforms, labels = voices(2)
    many, of = waveforms[:, :2_000].repeat(60, 1), labels.repeat(60)
    many[7] = 0.0
    moved = (attacked(replace(ALL, probability=0.25), form, many, of, None, keys(120)) != many).any(1)
    assert 15 < int(moved.sum()) < 46
    still = attacked(ALL, form, torch.zeros(1, 2_000), of[:1], None, keys(1))
    assert not still.any()
    assert attacked(replace(ALL, probability=0.0), form, many, of, None, keys(120)) is many


@pytest.mark.parametrize("precision", [FP32, BF16, Scaled("fp32", CPU)])
def test_an_attack_touches_neither_gradients_nor_running_statistics_nor_the_dropouts_draws(
    precision: Precision,
) -> None:
    learner = Learner(recipe(), Ranks(), precision)
    learner.take([ready()], 0, 10)
    state = {name: tensor.clone() for name, tensor in learner.whole.state_dict().items()}
    gradients = [parameter.grad.clone() for parameter in learner.parameters if parameter.grad is not None]
    random = torch.get_rng_state()
    batch = ready(number=1)
    moved = learner._attacked(batch)
    assert bool((moved.waveforms != batch.waveforms).any(1).all())
    assert torch.equal(torch.get_rng_state(), random)
    for name, tensor in learner.whole.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    for parameter, before in zip(learner.parameters, gradients, strict=True):
        assert parameter.grad is not None
        assert torch.equal(parameter.grad, before)


def test_a_step_is_one_on_the_perturbed_batch() -> None:
    one, other = (Learner(recipe(), Ranks(), FP32) for _ in range(2))
    batch = ready()
    moved = replace(copy.deepcopy(other)._attacked(batch), attack_keys=None)
    first, second = one.take([batch], 0, 10), other.take([moved], 0, 10)
    assert first == second
    for mine, theirs in zip(one.parameters, other.parameters, strict=True):
        assert torch.equal(mine, theirs)
    assert one.model.training, "what was in eval mode for the attack trains again"


def test_norms_that_are_frozen_stay_frozen_behind_an_attack() -> None:
    learner = Learner(recipe(optimiser__freeze_norms=True), Ranks(), FP32)
    before = [tensor.clone() for tensor in learner.statistics]
    assert not learner.take([ready()], 0, 10).skipped
    assert all(torch.equal(one, other) for one, other in zip(learner.statistics, before, strict=True))


@pytest.mark.parametrize("kind", ["fast", "pgd"])
def test_a_model_learns_what_is_attacked_and_is_harder_to_move_than_one_that_did_not(kind: str) -> None:
    """On made noise: spoofs lack high frequencies, which an attack at 15 dB can give and take.

    The loss under attack is no measure of that: the attack grows with what the model knows.
    """
    rates = {"optimiser__learning_rate": 3e-3, "model__dropouts": (0.0, 0.0, 0.0, 0.0), "schedule__kind": "constant"}
    attack = {"adversarial__kind": kind, "adversarial__pgd_steps": 2, "adversarial__snr_db": (10.0, 20.0)}
    robust = Learner(recipe(**rates, **attack), Ranks(), FP32)
    plain = Learner(recipe(**rates, adversarial__probability=0.0), Ranks(), FP32)
    for number in range(60):
        batch = ready(16, number, 2_000)
        robust.take([batch], number, 100)
        plain.take([replace(batch, attack_keys=None)], number, 100)
    waveforms, labels = (of[:, :2_000] if of.ndim == 2 else of for of in voices(64, seed=999))
    sign = torch.where(labels == 1, 1.0, -1.0)
    assert float((sign * margins(robust.model, waveforms) > 0).float().mean()) > 0.95
    found = []
    for learner in (robust, plain):
        form = prepared(learner.model.eval(), "fp32", CPU)
        asked = Adversarial(1.0, "pgd", 5, (15.0, 15.0))
        moved = attacked(asked, form, waveforms, labels, None, keys(64))
        found.append(float((sign * margins(form, moved) > 0).float().mean()))
    assert found[0] > found[1] + 0.15


def test_teachers_hear_rows_as_they_were(tmp_path: Path) -> None:
    checkpoint.save(Learner(recipe(), Ranks(), FP32).model, tmp_path / "teacher.safetensors")
    taught = {"teachers__models": (str(tmp_path / "teacher.safetensors"),), "teachers__weight": 1.0}
    learner, batch = Learner(recipe(**taught), Ranks(), FP32), ready()
    moved = learner._attacked(batch)
    assert moved.clean is batch.waveforms
    assert not torch.equal(moved.waveforms, batch.waveforms)
    before = batch.waveforms + 1
    assert learner._attacked(replace(batch, clean=before)).clean is before


@pytest.mark.parametrize("wanted", [False, True])
def test_members_of_a_pair_have_draws_of_their_own_and_others_only_where_something_is_attacked(
    wanted: bool, mini: Path
) -> None:
    """Though what is done to both in augmentation is the same: their draws are one."""
    trials = read_corpus("asvspoof2019-la", mini, "train")
    waveforms, labels = voices(4)
    draws, positions = np.array([5, 5, 6, 6]), np.arange(8, 12)
    batch = Batch(waveforms, labels, positions, draws, positions, 3, 0, (), CacheStatistics(), 0.0)
    prepare = Preparation(small.recipe(mini, adversarial__probability=float(wanted)), trials, CPU)
    found = prepare(batch).attack_keys
    if not wanted:
        assert found is None
        return
    assert found is not None
    assert len(set(found.tolist())) == 4
    assert not set(found.tolist()) & set(row_keys(small.recipe(mini).seed, Purpose.AUGMENT, 3, positions).tolist())


def words(folder: Path, mini: Path, **changes: object) -> Recipe:
    extra = {"adversarial__probability": 0.5, "optimiser__sharpness": 0.05, "epochs": 2, "batch": 4}
    return small.recipe(mini, **{**extra, **changes})


def test_a_stopped_run_goes_on_to_the_bit(mini: Path, tmp_path: Path) -> None:
    start(words(tmp_path, mini), tmp_path / "whole", Silent())
    start(words(tmp_path, mini, run__steps=3), tmp_path / "stopped", Silent())
    start(words(tmp_path, mini), tmp_path / "stopped", Silent(), resume=True)
    require_same(tmp_path / "whole", tmp_path / "stopped")


def test_the_shipped_recipes_differ_from_theirs_in_this_alone() -> None:
    efficient = read_recipe("efficient")
    assert set(differences(efficient, read_recipe("efficient-adversarial"))) == {"adversarial.probability"}
    assert set(differences(efficient, read_recipe("efficient-sharpness"))) == {"optimiser.sharpness"}
    assert not efficient.adversarial.wanted
    assert not efficient.optimiser.sharpness


@pytest.mark.parametrize("name", ["efficient-adversarial", "efficient-sharpness"])
def test_a_small_model_learns_by_the_shipped_recipes(name: str) -> None:
    shape = {key: value for key, value in small.CHANGES.items() if key.startswith("model.") and key != "model.level"}
    changes = {**shape, "crop.lengths": (4_000,), "precision": "fp32", "schedule.warm_up_steps": 0, "seed": 3}
    learner = Learner(with_changes(read_recipe(name), changes), Ranks(), FP32)
    losses = []
    for number in range(40):
        batch = ready(16, number, 4_000)
        pairs = torch.arange(16).view(-1, 2).flip(1)
        losses.append(learner.take([replace(batch, pairs=pairs)], number, 1_000).loss)
    assert np.isfinite(losses).all()
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"adversarial.snr_db": (60.0, 40.0)}, "from low to high, got 60 to 40"),
        ({"adversarial.probability": 1.5}, "adversarial.probability must be at least 0 and at most 1"),
        ({"adversarial.kind": "cw"}, "must be one of fast, pgd"),
        ({"adversarial.snr_db": (-10.0, 40.0)}, "at least 0"),
        ({"optimiser.sharpness": -0.1}, "at least 0"),
        ({"optimiser.sharpness_adaptive": True}, "optimiser.sharpness"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(changes: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        with_changes(read_recipe("efficient"), changes)


def test_the_command_takes_the_keys(mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert aasist(["train", "efficient-adversarial", "adversarial.kind=pgd", "adversarial.snr_db=35,55", "--show"]) == 0
    assert "snr_db = [35.0, 55.0]" in capsys.readouterr().out
