"""The probe finds what tells the classes apart, calls chance chance, and hears the batches of training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from aasist.training.batches import Loader
from aasist.training.faults import Faults
from aasist.training.plan import plan
from aasist.training.preparation import Preparation
from aasist.training.probe.classifier import fitted, fitted_to_differences, ranks, scored
from aasist.training.probe.cues import CUES, NAMES, measured
from aasist.training.probe.drawn import Drawn, drawn
from aasist.training.probe.findings import Findings, Rate, Seen, findings
from aasist.training.probe.folds import cross_validated, even_folds
from aasist.training.recipe import Recipe, read_recipe, with_changes
from aasist.training.recordings import DataError
from aasist.training.selection import training_trials
from aasist.trial import Trials, strings

from ..corpora import write_audio
from . import small

COUNT = 240


def table(random: np.random.Generator, *, with_level: float) -> Drawn:
    """Pairs in eight sources whose cues are noise, but for a level that is higher in spoofs of A01."""
    labels = np.arange(COUNT) % 2 == 0
    source = [f"s{pair % 8}" for pair in range(COUNT // 2) for _ in (0, 1)]
    attack = ["-" if real else f"A0{1 + number // 2 % 2}" for number, real in enumerate(labels)]
    trials = Trials(
        strings(f"t{number}" for number in range(COUNT)),
        labels,
        {"source": strings(source), "attack": strings(attack), "path": strings(["x"] * COUNT)},
    )
    cues = random.standard_normal((COUNT, len(CUES)))
    cues[np.array(attack) == "A01", NAMES.index("level")] += with_level
    cues[::7, NAMES.index("pre_echo")] = np.nan
    pairs = np.arange(COUNT).reshape(-1, 2)
    chance = random.standard_normal((COUNT, len(CUES)))
    return Drawn(trials, np.arange(COUNT), cues, chance, pairs, np.zeros(len(pairs), np.bool_), Faults(COUNT, 0.1))


@pytest.fixture(scope="module")
def drawn_at_random() -> Drawn:
    return table(np.random.default_rng(5), with_level=5.0)


@pytest.fixture(scope="module")
def found(drawn_at_random: Drawn) -> Findings:
    return findings(drawn_at_random, rounds=20)


def test_a_cue_that_tells_is_found_with_the_attack_that_it_tells_of(found: Findings) -> None:
    seen = found.seen["recordings"]
    told = {told.cue.name: told for told in seen.cues}
    assert told["level"].by_source is not None
    assert told["level"].by_source.value < 0.36
    assert told["level"].at_random.value < 0.36
    assert told["level"].within_pairs is not None
    assert told["level"].within_pairs.interval[0] > 0.55
    assert min(told.values(), key=lambda one: one.eer.value).cue.name == "level"
    assert seen.near_chance is False
    first = next(away for away in seen.giveaways if away.column == "attack")
    assert (first.value, first.cue, first.higher, first.spoofs) == ("A01", "level", True, 60)
    assert first.eer.interval[1] < 0.42


def test_noise_is_near_chance_however_it_is_asked(found: Findings) -> None:
    seen = found.seen["windows"]
    assert seen.near_chance is not False
    for told in (*seen.cues, seen.joint):
        assert 0.36 < told.eer.value < 0.64, told.cue.name
        assert told.within_pairs is not None
        assert 0.36 < told.within_pairs.value < 0.64, told.cue.name


def test_asked_again_it_says_the_same(drawn_at_random: Drawn, found: Findings) -> None:
    assert findings(drawn_at_random, rounds=20).to_dict() == found.to_dict()


def test_a_source_is_in_one_fold_and_folds_are_even() -> None:
    groups = strings(f"g{number % 11}" for number in range(200))
    folds = even_folds(groups)
    assert all(len(set(folds[groups == name].tolist())) == 1 for name in np.unique(groups).tolist())
    assert np.bincount(folds).max() - np.bincount(folds).min() <= 20
    assert set(even_folds(strings(["a", "b"])).tolist()) == {0, 1}


def test_a_class_that_is_rare_in_a_source_is_no_cue() -> None:
    """Weighed by how many there are, a fit to the other sources would call each source by what the others hold more of."""
    random = np.random.default_rng(3)
    source = np.repeat(np.arange(10), 60)
    labels = random.random(600) < np.where(source % 2, 0.9, 0.1)
    folds = even_folds(strings(str(number) for number in source))
    scores = cross_validated(random.standard_normal((600, 3)), labels, folds, (1e-3,))
    bonafide, spoofs = scores[labels], scores[~labels]
    area = (bonafide[:, None] > spoofs).mean()
    assert 0.4 < area < 0.6


def test_where_the_others_lack_a_class_nothing_is_learnt() -> None:
    labels = np.array([True, True, False, False])
    scores = cross_validated(np.arange(4.0)[:, None], labels, np.array([0, 0, 1, 1]), (1e-3,))
    assert scores.tolist() == [0, 0, 0, 0]


def test_the_fit_is_where_the_gradient_of_its_loss_is_nothing() -> None:
    """By a slow twin: the penalised loss, written out, in float64 by torch."""
    random = np.random.default_rng(0)
    features, labels = random.standard_normal((80, 4)), random.random(80) < 0.3
    weights = torch.tensor(fitted(features, labels, 1e-2), requires_grad=True)
    logits = torch.from_numpy(features) @ weights[:-1] + weights[-1]
    y = torch.from_numpy(labels)
    loss = (
        torch.nn.functional.softplus(-logits[y]).mean() / 2
        + torch.nn.functional.softplus(logits[~y]).mean() / 2
        + 1e-2 * (weights[:-1] ** 2).sum() / 2
    )
    (gradient,) = torch.autograd.grad(loss, weights)
    assert gradient.abs().max() < 1e-5
    assert np.allclose(scored(features, weights.detach().numpy()), logits.detach().numpy())


def test_a_fit_to_pairs_ignores_what_differs_between_pairs() -> None:
    random = np.random.default_rng(0)
    voice, trace = random.standard_normal((2, 200))
    bonafide, spoof = np.stack([voice, trace], 1), np.stack([voice, trace - 1], 1)
    weights = fitted_to_differences(bonafide - spoof, 1e-3)
    assert abs(weights[0]) < 1e-9 < weights[1]


def test_ranks_are_of_values_alone() -> None:
    assert ranks(np.array([3.0, -1.0, 3.0, 1e9, np.nan])) == pytest.approx([0.5, 0, 0.5, 1, np.nan], nan_ok=True)


@pytest.fixture(scope="module")
def paired(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    """Five sources of four recordings, as a recipe of pairs with augmentation has them."""
    folder = tmp_path_factory.mktemp("pairs")
    lines = ["id\tlabel\tpath\tattack\tsource\tpair\tsource_rate"]
    for number in range(20):
        attack = "A01" if number % 2 else "-"
        write_audio(folder / f"{number}.wav", small.voice(number, attack))
        label = "spoof" if number % 2 else "bonafide"
        pair = f"p{number // 2}" if number < 8 else "-"
        lines.append(f"t{number}\t{label}\t{number}.wav\t{attack}\ts{number // 4}\t{pair}\t{8_000 * (1 + number % 3)}")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")
    return with_changes(
        read_recipe("aasist"),
        {
            **small.CHANGES,
            "data.train": (str(folder / "manifest.tsv"),),
            "sampling.mode": "pairs",
            "crop.trim_db": 40.0,
            "augment.gain.probability": 0.5,
            "augment.noise.probability": 0.5,
            "epochs": 4,
        },
    )


def test_what_it_measures_are_the_batches_of_training(paired: Recipe) -> None:
    """Of later epochs too, when the first has too few."""
    draws = drawn(paired, 30)
    trials = training_trials(paired.data)
    preparation = Preparation(paired, trials, torch.device("cpu"))
    rows, windows = [], []
    with Loader(trials, paired.crop, paired.loading, batch_rows=4, window_samples=8_000, seed=paired.seed) as loader:
        for epoch in (0, 1):
            order = plan(trials, paired.sampling, paired.seed, epoch)
            for batch in loader.epoch(order, epoch, epochs=paired.epochs):
                rows += batch.rows.tolist()
                windows += list(preparation(batch).waveforms.numpy())
    assert len(draws) == 32
    assert draws.rows.tolist() == rows[:32]
    length = NAMES.index("length")
    for cues, window in zip(draws.windows, windows, strict=False):
        expected = measured(window, cues[length])
        assert np.array_equal(cues, expected, equal_nan=True)
        assert cues[length] <= 0.5
    labels = np.asarray(trials.bonafide)[draws.rows]
    assert labels[draws.pairs].tolist() == [[True, False]] * 16
    pair = trials.columns["pair"][draws.rows][draws.pairs]
    same = np.asarray((pair[:, 0] == pair[:, 1]) & (pair[:, 0] != ""))
    assert draws.copied.tolist() == same.tolist()
    assert draws.copied.any()


def test_recordings_are_measured_as_they_are_whatever_is_drawn_of_them(paired: Recipe) -> None:
    draws = drawn(paired, 20)
    for row in set(draws.rows.tolist()):
        of_row = draws.recordings[draws.rows == row]
        assert (of_row == of_row[0]).all() or np.isnan(of_row).any()
    assert (draws.recordings[:, NAMES.index("length")] >= 0.6).all()


def test_it_ends_where_the_recipe_does(paired: Recipe) -> None:
    assert len(drawn(with_changes(paired, {"epochs": 1}), 1_000)) == 20


def test_columns_of_the_manifest_are_cues_of_recordings_alone(paired: Recipe) -> None:
    found = findings(drawn(paired, 40), rounds=10).to_dict()
    assert "source_rate" in [cue["cue"] for cue in found["recordings"]["cues"]]
    assert "source_rate" not in [cue["cue"] for cue in found["windows"]["cues"]]
    assert found["pairs"] == 20
    assert found["sources"] == 5


def test_draws_of_one_class_are_refused(drawn_at_random: Drawn) -> None:
    one = Drawn(**{**vars(drawn_at_random), "rows": drawn_at_random.rows[::2]})
    with pytest.raises(DataError, match="draw more"):
        findings(one)


@pytest.mark.parametrize(
    ("eer", "within", "near", "said"),
    [
        ((0.44, 0.50), (0.47, 0.54), True, "near chance"),
        ((0.44, 0.50), None, True, "near chance"),
        ((0.40, 0.44), None, False, "NOT near chance"),
        ((0.12, 0.44), None, False, "NOT near chance"),
        ((0.44, 0.50), (0.56, 0.60), False, "NOT near chance"),
        ((0.12, 0.47), None, None, "too few draws to tell"),
        ((0.44, 0.50), (0.50, 0.70), None, "too few draws to tell"),
    ],
)
def test_near_chance_is_said_of_narrow_intervals_alone(
    found: Findings, eer: tuple[float, float], within: tuple[float, float] | None, near: bool | None, said: str
) -> None:
    joint = replace(
        found.seen["windows"].joint,
        by_source=Rate(0.45, eer),
        within_pairs=None if within is None else Rate(0.55, within),
    )
    seen = Seen((), joint, ())
    assert seen.near_chance is near
    assert seen.verdict == said
