"""Distillation: a student comes to say what its teachers say, and a run is what it is by who taught it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from aasist.cli import run as aasist
from aasist.errors import AasistError
from aasist.keys import RecipeError
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.protocol.scores import write_scores
from aasist.runtime import modelfile
from aasist.runtime.modelfile import Calibration
from aasist.training.distillation import Distillation, Teaching, distance, distillation_of, divergence
from aasist.training.distributed import Ranks
from aasist.training.journal import Silent
from aasist.training.loss import Loss, Total, total_of
from aasist.training.precision import Precision
from aasist.training.preparation import Preparation
from aasist.training.run import RunError
from aasist.training.selection import DEV, TRAIN, select
from aasist.training.start import start
from aasist.training.step import Learner, Ready
from aasist.training.teachers import Taught, Teacher, read_teachers
from aasist.training.told import as_table, read_told

from . import small
from .same import require_same

CPU = torch.device("cpu")
FP32, BF16 = Precision("fp32", CPU), Precision("bf16", CPU)
NONE = torch.empty((0, 2), dtype=torch.int64)
STILL = {"model__dropouts": (0.0, 0.0, 0.0, 0.0), "optimiser__learning_rate": 3e-3}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Two that wait for each other in every small operation take many times as long on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


EPSILON = torch.finfo(torch.float32).eps


def model_of(seed: int) -> Aasist:
    torch.manual_seed(seed)
    return Aasist(small.recipe(Path("none")).model.resolved()).eval()


@pytest.fixture(scope="module")
def teacher_model() -> Aasist:
    """Random weights, scores of a few units that no label tells."""
    model = model_of(7)
    with torch.no_grad():
        margins = model(noise(64, seed=99)) @ torch.tensor([-1.0, 1.0])
        direction = model.out.weight[1] - model.out.weight[0]
        model.out.weight.copy_(torch.stack([-direction, direction]) / margins.std())
        model.out.bias.zero_()
        shift = (model(noise(64, seed=99)) @ torch.tensor([-1.0, 1.0])).mean() / 2
        model.out.bias.copy_(torch.tensor([shift, -shift]))
    return model


@pytest.fixture(scope="module")
def files(teacher_model: Aasist, loudness_onnx: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The teacher, and another, as checkpoints; and a calibrated model file that hears how loud it is."""
    folder = tmp_path_factory.mktemp("teachers")
    paths = {name: str(folder / name) for name in ("one.safetensors", "one.onnx", "other.safetensors")}
    checkpoint.save(teacher_model, paths["one.safetensors"])
    checkpoint.save(model_of(8), paths["other.safetensors"])
    content, notes = modelfile.read(loudness_onnx)
    notes = dataclasses.replace(notes, variant=teacher_model.architecture.to_json(), calibration=Calibration(2.0, 0.5))
    modelfile.write(paths["one.onnx"], content, notes)
    return paths


def noise(rows: int, *, seed: int, samples: int = 2_000) -> Tensor:
    """Waveforms (B, T) of different colours."""
    random = torch.Generator().manual_seed(seed)
    white = 0.1 * torch.randn(rows, samples + 1, generator=random)
    mix = torch.rand(rows, 1, generator=random) * 1.8 - 0.9
    return white[:, 1:] + mix * white[:, :-1]


def margins(model: Aasist, waveforms: Tensor) -> Tensor:
    with torch.no_grad():
        logits = model.eval()(waveforms)
    return logits[:, 1] - logits[:, 0]


def correlation(one: Tensor, other: Tensor) -> float:
    return float(np.corrcoef(one.numpy(), other.numpy())[0, 1])


def test_the_divergence_is_that_of_two_distributions_of_two_classes() -> None:
    teacher, student = torch.tensor([3.0, -1.0, 0.0, 80.0]), torch.tensor([1.0, 2.0, 0.0, -80.0])
    for temperature in (1.0, 4.0):
        p, q = (torch.stack([torch.zeros(4), of / temperature], 1).log_softmax(1) for of in (teacher, student))
        expected = temperature**2 * functional.kl_div(q, p, reduction="none", log_target=True).sum(1)
        torch.testing.assert_close(divergence(teacher, student, temperature), expected)
    assert float(divergence(teacher, teacher, 2.0).abs().max()) == 0


def test_the_gradient_keeps_its_size_at_a_high_temperature() -> None:
    """There it is half the difference of the log-odds over two (Hinton et al., section 2.1)."""
    student = torch.tensor([0.3], requires_grad=True)
    divergence(torch.tensor([1.1]), student, 100.0).sum().backward()
    assert student.grad is not None
    assert float(student.grad) == pytest.approx((0.3 - 1.1) / 4, rel=1e-3)


def test_hints_are_apart_by_their_angle_or_by_their_distance() -> None:
    readout = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
    assert distance("cosine", 2 * readout, readout).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert distance("mse", 2 * readout, readout).tolist() == pytest.approx([1, 1])
    assert distance("cosine", torch.tensor([[0.0, 1.0]]), readout[1:]).item() == pytest.approx(1)


def said(*values: float, readout: list[list[float]] | None = None) -> Teacher:
    shown = None if readout is None else torch.tensor(readout)
    return Teacher(
        "x", "0" * 64, 0 if shown is None else shown.shape[1], lambda heard: Taught(torch.tensor(values), shown)
    )


def test_an_ensemble_is_the_weighted_mean_of_log_odds_and_trials_and_pairs_weigh_as_in_the_loss() -> None:
    keys = Teaching(weights=(3.0, 1.0), weight=0.7, pair_weight=0.2, temperature=2.0, hint_weight=0.5)
    models = (said(2.0, -2.0), said(-2.0, 6.0, readout=[[1.0, 0.0], [0.0, 1.0]]))
    distillation = Distillation(keys, models)
    loss, labels, pairs = Loss(), torch.tensor([1, 0]), torch.tensor([[0, 1]])
    logits, hints = torch.tensor([[0.0, 0.5], [0.0, 0.2]]), torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    total = Total(*total_of(loss, labels, pairs))
    found = distillation.loss(loss, torch.zeros(2, 5), logits, hints, labels, pairs, total)
    ours, theirs = torch.tensor([0.5, 0.2]), torch.tensor([1.0, 0.0])
    each, between = divergence(theirs, ours, 2.0), divergence(torch.tensor(1.0), torch.tensor(0.3), 2.0)
    expected = 0.7 * (0.9 * each[0] + 0.1 * each[1]) + 0.2 * between + 0.5 * 0.1
    torch.testing.assert_close(found, expected)
    # A score file as a third, which weighs as much as the second.
    three = Distillation(dataclasses.replace(keys, scores=("a.tsv",), weights=(3.0, 0.5, 0.5)), models)
    again = three.loss(loss, torch.zeros(2, 5), logits, hints, labels, pairs, total, told=torch.tensor([[-2.0], [6.0]]))
    torch.testing.assert_close(again, expected)


def followed(model: Aasist, *, precision: Precision = FP32, **keys: object) -> float:
    """Train by labels that tell nothing, and by whom ``keys`` name -> how far scores of what was never heard go with those of
    ``model``. Where the teachers hear what is clean, the student hears something else."""
    learner = Learner(small.recipe(Path("none"), **STILL, **keys), Ranks(), precision)
    for step in range(50):
        waveforms = noise(12, seed=step, samples=1_000)
        labels = torch.from_numpy(np.random.default_rng(step).integers(0, 2, 12))
        clean = waveforms if keys.get("teachers__hear") == "clean" else None
        heard = waveforms if clean is None else 0.5 * waveforms.flip(1)
        assert not learner.take([Ready(heard, labels, None, NONE, 0, step, clean)], step, 50).skipped
    unheard = noise(64, seed=500)
    return correlation(margins(learner.model, unheard), margins(model, unheard))


@pytest.fixture(scope="module")
def untaught(teacher_model: Aasist) -> float:
    return followed(teacher_model)


@pytest.mark.parametrize(("precision", "hear"), [(FP32, "augmented"), (BF16, "augmented"), (FP32, "clean")])
def test_a_student_follows_its_teacher(
    precision: Precision, hear: str, files: dict[str, str], teacher_model: Aasist, untaught: float
) -> None:
    """Further than one that learns from the labels alone goes with it."""
    keys = {"teachers__models": (files["one.safetensors"],), "teachers__weight": 4.0, "teachers__hear": hear}
    found = followed(teacher_model, precision=precision, **keys)
    assert found > max(0.6, untaught + 0.2), (found, untaught)


def test_a_hint_leads_the_encoder_and_is_no_part_of_the_model(files: dict[str, str]) -> None:
    keys = {"teachers__models": (files["one.safetensors"], files["one.onnx"]), "teachers__hint_weight": 1.0}
    learner = Learner(small.recipe(Path("none"), **STILL, **keys, loss__bonafide_weight=1e-3), Ranks(), FP32)
    assert learner.hint is not None
    assert learner.hint.out_features == 5 * 6
    batch = Ready(noise(8, seed=1), torch.arange(8) % 2, None, NONE, 0, 0)
    losses = [learner.take([batch], step, 15).loss for step in range(15)]
    assert losses[-1] < losses[0] - 0.1
    assert "hint.weight" in learner.whole.state_dict()
    assert not [name for name in learner.model.state_dict() if "hint" in name]


def test_a_part_of_a_batch_adds_its_part_of_the_loss(files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What accumulation and ranks rest on."""
    # A row at a time: float32 sums differ with the rows that a processor takes together, and the scores are those many times.
    monkeypatch.setattr("aasist.training.teachers.ACTIVATION_BYTES", 1)
    models = (files["one.safetensors"], files["other.safetensors"])
    keys = Teaching(models, weight=1.0, pair_weight=0.5)
    distillation = distillation_of(keys, FP32, shortest_samples=8_000)
    assert distillation is not None
    waveforms, labels, pairs = noise(4, seed=3), torch.tensor([1, 0, 1, 0]), torch.tensor([[0, 1], [2, 3]])
    logits = torch.randn(4, 2, generator=torch.Generator().manual_seed(0))
    total = Total(*total_of(Loss(), labels, pairs))
    whole = distillation.loss(Loss(), waveforms, logits, None, labels, pairs, total)
    parts = [
        distillation.loss(Loss(), waveforms[at], logits[at], None, labels[at], pairs[:1], total)
        for at in (slice(0, 2), slice(2, 4))
    ]
    torch.testing.assert_close(whole, sum(parts), rtol=1e-5, atol=1e-6)


def test_teachers_say_what_their_models_do_a_few_rows_at_a_time_and_take_no_gradient(
    files: dict[str, str], teacher_model: Aasist, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aasist.training.teachers.ACTIVATION_BYTES", 2 * teacher_model.architecture.activation_bytes)
    one, onnx = read_teachers((files["one.safetensors"], files["one.onnx"]), FP32, shortest_samples=8_000)
    waveforms = noise(5, seed=4).requires_grad_()
    expected = margins(teacher_model, waveforms.detach())
    taught, by_onnx = one.hear(waveforms), onnx.hear(waveforms)
    with torch.no_grad():
        readout = teacher_model.embed(teacher_model.features(waveforms))
        sums = readout.abs() @ teacher_model.out.weight.abs().T
    # The margin is a small difference of large sums: what float32 makes of it is told by their size.
    torch.testing.assert_close(taught.log_odds, expected, rtol=0, atol=2 * EPSILON * float(sums.max()))
    loudness = 10 * waveforms.detach().abs().mean(1)
    torch.testing.assert_close(by_onnx.log_odds, 2 * loudness + 0.5, rtol=1e-4, atol=1e-4)
    assert taught.readout is not None
    assert by_onnx.readout is None
    torch.testing.assert_close(taught.readout, readout, rtol=1e-4, atol=1e-4)
    assert not taught.log_odds.requires_grad
    assert not taught.readout.requires_grad


def test_the_weights_at_the_start_do_not_depend_on_teachers(files: dict[str, str]) -> None:
    keys = {"teachers__models": (files["one.safetensors"],), "teachers__weight": 1.0, "teachers__hint_weight": 1.0}
    plain, taught = (Learner(small.recipe(Path("none"), **more), Ranks(), FP32) for more in ({}, keys))
    for name, tensor in plain.model.state_dict().items():
        assert torch.equal(tensor, taught.model.state_dict()[name])


def test_a_batch_keeps_its_clean_waveforms_where_teachers_hear_them(mini: Path) -> None:
    from aasist.training.batches import Loader
    from aasist.training.plan import plan

    for hear in ("clean", "augmented"):
        changes = {"teachers__weight": 1.0, "teachers__hear": hear, "augment__gain__probability": 1.0}
        recipe = small.recipe(mini, **changes)
        selected = select(recipe.data)
        with Loader(selected.trials, recipe.crop, recipe.loading, batch_rows=4, window_samples=8_000, seed=1) as loader:
            order = plan(selected.of(TRAIN), recipe.sampling, 1, 0).at(selected.train)
            batch = next(iter(loader.epoch(order, 0, epochs=1)))
        ready = Preparation(recipe, selected.of(TRAIN), CPU)(batch)
        assert (ready.clean is None) == (hear == "augmented")
        assert not torch.equal(ready.waveforms, batch.waveforms)
        assert ready.clean is None or torch.equal(ready.clean, batch.waveforms)


def test_a_taught_run_goes_on_to_the_same_bytes_and_by_no_other_teacher(
    mini: Path, files: dict[str, str], tmp_path: Path
) -> None:
    moved = str(shutil.copy(files["one.safetensors"], tmp_path / "moved.safetensors"))
    keys = {"teachers__weight": 1.0, "teachers__hint_weight": 0.5, "optimiser__accumulate": 2, "epochs": 1}
    ensemble = {"teachers__models": (files["one.safetensors"], files["one.onnx"]), **keys}
    start(small.recipe(mini, **ensemble), tmp_path / "whole", Silent())
    start(small.recipe(mini, **ensemble, run__steps=1), tmp_path / "run", Silent())
    kept = json.loads((tmp_path / "run" / "environment.json").read_text())["starts"][0]["data"]["teachers"]["models"]
    assert [one["sha256"] for one in kept] == [
        hashlib.sha256(Path(files[name]).read_bytes()).hexdigest() for name in ("one.safetensors", "one.onnx")
    ]
    for others in ((files["other.safetensors"], files["one.onnx"]), (files["one.onnx"], files["one.safetensors"])):
        with pytest.raises(RunError, match="begun on other data: teachers: ") as error:
            start(small.recipe(mini, **keys, teachers__models=others), tmp_path / "run", Silent(), resume=True)
        assert error.value.code == "other_data"
    with pytest.raises(RunError, match=r"another recipe: teachers\.weight: 1\.0 in the run, 2\.0 now"):
        changed = small.recipe(mini, **{**ensemble, "teachers__weight": 2.0})
        start(changed, tmp_path / "run", Silent(), resume=True)
    start(
        small.recipe(mini, **keys, teachers__models=(moved, files["one.onnx"])), tmp_path / "run", Silent(), resume=True
    )
    require_same(tmp_path / "whole", tmp_path / "run")


def test_the_command_takes_teachers_and_a_resume_goes_on_with_them(
    mini: Path, files: dict[str, str], tmp_path: Path
) -> None:
    values = {name: value for name, value in small.CHANGES.items() if name != "model.name"} | {"teachers.weight": 1}
    texts = [f"{n}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for n, v in values.items()]
    out = ["-o", str(tmp_path / "run")]
    data = ["--corpus", "asvspoof2019-la", "--root", str(mini)]
    assert aasist(["train", "aasist", *data, "--teacher", files["one.onnx"], *out, *texts, "steps=1"]) == 0
    assert aasist(["train", "aasist", *out, "--resume", *texts, "steps=2"]) == 0
    assert aasist(["train", *out, "--resume", "steps=3"]) == 0


def test_what_cannot_teach_is_refused_by_name(files: dict[str, str], tmp_path: Path) -> None:
    def refused(said: str, *models: str, shortest_samples: int = 8_000, **keys: object) -> None:
        named = dataclasses.replace(Teaching(models=models, weight=1.0), **keys)
        with pytest.raises(RecipeError, match=said):
            distillation_of(named, FP32, shortest_samples=shortest_samples)

    one, onnx = files["one.safetensors"], files["one.onnx"]
    text = tmp_path / "text.safetensors"
    text.write_text("not a model")
    refused("taught, and no teacher is named: name models by --teacher .* score files by --teacher-scores")
    refused("there are teachers, and nothing that they teach: set teachers.weight", one, weight=0.0)
    refused(r"teachers\.models: .*none\.safetensors: no such checkpoint", str(tmp_path / "none.safetensors"))
    refused(r"teachers\.models: no such model: 'nobody' is neither shipped", "nobody")
    refused(r"teachers\.models: .*text\.safetensors: not a safetensors file", str(text))
    shutil.copy(text, tmp_path / "text.onnx")
    refused(r"teachers\.models: .*text\.onnx: ", str(tmp_path / "text.onnx"))
    refused(r"needs windows of 173 samples or more, and this recipe has some of 172", one, shortest_samples=172)
    refused(r"needs windows of 173 samples or more", onnx, shortest_samples=172)
    refused(
        r"teachers\.weights must be as many as teachers\.models and teachers\.scores \(1\), or none, got 2",
        one,
        weights=(1.0, 2.0),
    )
    refused(r"teachers\.weights are all 0", one, weights=(0.0,))
    refused("hint_weight wants a teacher that is a checkpoint", onnx, hint_weight=1.0)
    with pytest.raises(AasistError, match=r"pair_weight is of the members of pairs: set sampling\.mode to pairs"):
        small.recipe(Path("none"), teachers__pair_weight=1.0)


@pytest.fixture
def scores(mini: Path, tmp_path: Path) -> Path:
    """A score file with a number of its own for each trial of training, in another order."""
    trials = select(small.recipe(mini).data).of(TRAIN)
    order = np.random.default_rng(3).permutation(len(trials))
    write_scores(tmp_path / "scores.tsv", trials.take(order), np.linspace(-3, 3, len(trials))[order], "tsv")
    return tmp_path / "scores.tsv"


def test_a_batch_has_what_score_files_say_of_its_trials(mini: Path, scores: Path) -> None:
    from aasist.training.batches import Loader
    from aasist.training.plan import plan

    recipe = small.recipe(mini, teachers__weight=1.0, teachers__scores=(str(scores), str(scores)))
    selected = select(recipe.data)
    train = selected.of(TRAIN)
    told = read_told(recipe.teachers.scores, train)
    expected = dict(zip(train.ids.tolist(), np.linspace(-3, 3, len(train)), strict=True))
    table = as_table(told, selected.train, len(selected.trials))
    assert table.isnan().any(1).tolist() == [row not in selected.train for row in range(len(table))]
    with Loader(selected.trials, recipe.crop, recipe.loading, batch_rows=4, window_samples=8_000, seed=1) as loader:
        order = plan(train, recipe.sampling, 1, 0).at(selected.train)
        batch = next(iter(loader.epoch(order, 0, epochs=1)))
    ready = Preparation(recipe, train, CPU, table)(batch)
    assert ready.told is not None
    ids = selected.trials.ids[batch.rows].tolist()
    assert ready.told.tolist() == [[pytest.approx(expected[one])] * 2 for one in ids]


def test_a_run_is_taught_by_score_files_beside_models_and_goes_on_with_the_same_alone(
    mini: Path, files: dict[str, str], scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = {name: value for name, value in small.CHANGES.items() if name != "model.name"} | {"teachers.weight": 1}
    texts = [f"{n}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for n, v in values.items()]
    out, other = ["-o", str(tmp_path / "run")], tmp_path / "other.tsv"
    given = ["--corpus", "asvspoof2019-la", "--root", str(mini), "--teacher", files["one.onnx"]]
    assert aasist(["train", "aasist", *given, "--teacher-scores", str(scores), *out, *texts, "steps=1"]) == 0
    digest = hashlib.sha256(scores.read_bytes()).hexdigest()
    assert f"{scores} ({digest[:8]})" in capsys.readouterr().err
    (first,) = json.loads((tmp_path / "run" / "environment.json").read_text())["starts"]
    assert first["data"]["teachers"]["scores"] == [{"name": str(scores), "sha256": digest}]
    # A recipe that names no teachers, or one of the two kinds, goes on with the others of the run.
    assert aasist(["train", "aasist", *out, "--resume", "--teacher", files["one.onnx"], *texts, "steps=2"]) == 0
    assert aasist(["train", "aasist", *out, "--resume", *texts]) == 0
    assert (
        aasist(["train", "aasist", *given, "--teacher-scores", str(scores), "-o", str(tmp_path / "whole"), *texts]) == 0
    )
    require_same(tmp_path / "whole", tmp_path / "run")
    other.write_bytes(scores.read_bytes() + b"\n")
    assert aasist(["train", *out, "--resume", "--teacher-scores", str(other)]) == 1
    assert "begun on other data: teachers: " in capsys.readouterr().err


def test_score_files_that_do_not_fit_are_refused_by_name(mini: Path, scores: Path, tmp_path: Path) -> None:
    train = select(small.recipe(mini).data).of(TRAIN)
    header, first, second, *rest = scores.read_text().splitlines()
    label = train.bonafide[train.ids.tolist().index(first.split("\t")[0])]
    wrong = first.replace("\tbonafide\t", "\tspoof\t") if label else first.replace("\tspoof\t", "\tbonafide\t")
    for name, lines, said in (
        ("short", [header, first, *rest], "no score for 1 of "),
        ("wrong", [header, wrong, second, *rest], " is called "),
        ("words", [header, first[: first.rindex("\t")] + "\tlikely", second, *rest], "likely"),
        ("large", [header, first[: first.rindex("\t")] + "\t1e39", second, *rest], r"log-odds of 1e\+39 are none"),
        ("none", None, "No such file"),
    ):
        path = tmp_path / f"{name}.tsv"
        if lines is not None:
            path.write_text("\n".join(lines) + "\n")
        with pytest.raises(RecipeError, match=rf"^teachers\.scores: .*{said}") as error:
            read_told([str(path)], train)
        assert str(path) in str(error.value)
    dev = select(small.recipe(mini).data).of(DEV)
    both = tmp_path / "both.tsv"
    both.write_text(
        "\n".join([header, first, second, *rest, first.replace(first.split("\t")[0], str(dev.ids[0]))]) + "\n"
    )
    with pytest.raises(RecipeError, match=r"1 of .* scores are of trials that .* does not have"):
        read_told([str(both)], train)
    (told,) = read_told([str(both)], train, dev)
    assert len(told.log_odds) == len(train)
    with pytest.raises(RecipeError, match=r"augment\.mix\.spoofs makes spoofs of recordings"):
        small.recipe(mini, teachers__scores=("a",), augment__mix__probability=0.1, augment__mix__spoofs=True)


def test_a_model_file_for_another_sample_rate_is_refused(files: dict[str, str], tmp_path: Path) -> None:
    content, notes = modelfile.read(Path(files["one.onnx"]))
    object.__setattr__(notes, "sample_rate", 8_000)
    modelfile.write(tmp_path / "narrow.onnx", content, notes)
    with pytest.raises(RecipeError, match=r"narrow\.onnx: this version cannot run a model with sample_rate 8000"):
        read_teachers((str(tmp_path / "narrow.onnx"),), FP32, shortest_samples=8_000)
