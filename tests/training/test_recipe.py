"""Recipes: the shipped ones say what was published, and a file says only what differs from its base."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from aasist.keys import RecipeError, keys_of, values_of
from aasist.recipe import AASIST, AASIST_L, EFFICIENT, SMALL
from aasist.recipefile import parsed_change
from aasist.training.recipe import (
    Data,
    Recipe,
    differences,
    is_identity,
    read_recipe,
    resolved_text,
    shipped_recipes,
    with_changes,
)

PUBLISHED = {
    "seed": 1234,
    "epochs": 100,
    "batch": 24,
    "sampling.mode": "shuffle",
    "crop.lengths": (),
    "loss.kind": "cross-entropy",
    "loss.bonafide_weight": 0.9,
    "loss.spoof_weight": 0.1,
    "loss.smoothing": 0.0,
    "loss.rank_weight": 0.0,
    "optimiser.kind": "adam",
    "optimiser.learning_rate": 1e-4,
    "optimiser.betas": (0.9, 0.999),
    "optimiser.weight_decay": 1e-4,
    "optimiser.clip_norm": None,
    "optimiser.accumulate": 1,
    "schedule.kind": "cosine",
    "schedule.warm_up_steps": 0,
    "schedule.lowest_learning_rate": 5e-6,
    "schedule.patience": None,
    "averaging.kind": "best",
    "averaging.best_below": 0.01,
    "augment.bands.most": 19,
}
"""clovaai/aasist, config/AASIST.conf and main.py."""


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(("name", "architecture"), [("aasist", AASIST), ("aasist-l", AASIST_L)])
def test_the_published_recipes_are_the_published_ones(name: str, architecture: object) -> None:
    recipe = read_recipe(name)
    values = values_of(recipe)
    assert {key: values[key] for key in PUBLISHED} == PUBLISHED
    assert recipe.model.resolved() == architecture
    assert not [key for key, value in values.items() if key.endswith(".probability") and value]


def test_the_shipped_models_recipe_is_that_of_its_training() -> None:
    """recipes/first_model/train.py."""
    recipe = read_recipe("efficient")
    assert recipe.model.resolved() == EFFICIENT
    wanted = {
        "sampling.mode": "pairs",
        "batch": 32,
        "loss.rank_weight": 0.5,
        "loss.smoothing": 0.05,
        "loss.head_weight": 1.0,
        "optimiser.kind": "adamw",
        "optimiser.learning_rate": 1e-3,
        "optimiser.clip_norm": 2.0,
        "schedule.warm_up_steps": 60,
        "averaging.kind": "ema",
        "averaging.decay": 0.995,
        "crop.lengths": (20_000, 24_000, 32_300),
        "crop.full_from": 0.9,
    }
    values = values_of(recipe)
    assert {key: values[key] for key in wanted} == wanted
    assert recipe.epochs * recipe.sampling.epoch_trials // recipe.batch == 1500
    assert len([key for key, value in values.items() if key.endswith(".probability") and value]) >= 8


def test_the_recipes_of_other_architectures_train_as_the_shipped_model_was() -> None:
    conformer = replace(EFFICIENT, name="efficient-transformer", context_blocks=2, context="conformer")
    prosodic = replace(EFFICIENT, name="efficient-prosody", prosody="both")
    shapes = {"small": SMALL, "efficient-transformer": conformer, "efficient-prosody": prosodic}
    for name, architecture in shapes.items():
        recipe = read_recipe(name)
        assert recipe.model.resolved() == architecture
        assert replace(recipe, model=read_recipe("efficient").model) == read_recipe("efficient")


def test_a_block_or_a_squeeze_of_zero_takes_away_what_the_architecture_has(tmp_path: Path) -> None:
    recipe = with_changes(read_recipe("efficient-transformer"), {"context_blocks": "0", "squeeze": "0"})
    assert recipe.model.resolved() == replace(EFFICIENT, name="efficient-transformer")
    without = with_changes(read_recipe("efficient-prosody"), {"prosody": "none"})
    assert without.model.resolved() == replace(EFFICIENT, name="efficient-prosody")
    assert not differences(recipe, read_recipe(written(tmp_path, "resolved", resolved_text(recipe))))


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_is_read_and_differs_from_its_base(name: str) -> None:
    recipe = read_recipe(name)
    assert name == "aasist" or differences(recipe, read_recipe("aasist"))


def test_a_recipe_names_only_what_differs_from_its_base(tmp_path: Path) -> None:
    written(tmp_path, "base", 'base = "aasist-l"\nepochs = 7\n[optimiser]\nlearning_rate = 1e-3\n')
    path = written(
        tmp_path, "mine", 'base = "base.toml"\n[optimiser]\nweight_decay = 0\n[augment.gain]\nprobability = 0.5\n'
    )
    changed = {name: now for name, (_, now) in differences(read_recipe("aasist-l"), read_recipe(path)).items()}
    assert changed == {
        "epochs": 7,
        "optimiser.learning_rate": 1e-3,
        "optimiser.weight_decay": 0.0,
        "augment.gain.probability": 0.5,
    }


@pytest.mark.parametrize("name", shipped_recipes())
def test_the_resolved_text_is_read_back_as_the_same_recipe(name: str, tmp_path: Path) -> None:
    recipe = with_changes(read_recipe(name), {"data.train": ('a b/é "x"',), "run.steps": 3, "data.train_subset": "t"})
    again = read_recipe(written(tmp_path, "resolved", resolved_text(recipe)))
    assert not differences(recipe, again)
    assert again.data == recipe.data
    assert again.run == recipe.run
    assert resolved_text(again) == resolved_text(recipe)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@settings(max_examples=30)
@given(st.lists(TEXTS, max_size=3), TEXTS.filter(lambda text: text not in ("", "none")))
@example(["/data/\U0001f600", "\x7f\r\n\t\0"], "a\\u007f")
def test_every_text_is_read_back(tmp_path_factory: pytest.TempPathFactory, folders: list[str], name: str) -> None:
    """Characters beyond 16 bits, control characters and DEL as well."""
    recipe = with_changes(Recipe(), {"data.train": folders, "model.name": name})
    again = read_recipe(written(tmp_path_factory.getbasetemp(), "texts", resolved_text(recipe)))
    assert (again.data, again.model.name) == (recipe.data, name)


def test_a_path_that_is_not_utf_8_is_refused_before_it_is_written_down() -> None:
    with pytest.raises(
        RecipeError, match=r"data\.train must be text in UTF-8, got '/data/.udcff': give it another name"
    ):
        with_changes(Recipe(), {"data.train": ("/data/\udcff",)})
    with pytest.raises(RecipeError, match="the recipe cannot be written as TOML: "):
        resolved_text(Recipe(data=Data(train=("/data/\udcff",))))
    with pytest.raises(RecipeError, match="it would be read back as another"):
        resolved_text(Recipe(data=Data(train_subset="none")))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("temperatures", [2, 2, 100]),
        ("dropouts", [0, 0, 0, 0]),
        ("front_pool", [3, 3]),
        ("graph_dims", [64, 32]),
        ("channels", [8, 8]),
        ("time_pools", [3] * 6),
    ],
)
def test_whole_numbers_in_a_file_will_do_for_every_list(key: str, value: list[int], tmp_path: Path) -> None:
    more = "time_pools = [3, 3]\n" if key == "channels" else ""
    recipe = read_recipe(written(tmp_path, "mine", f"[model]\n{more}{key} = {value}\n"))
    assert getattr(recipe.model.resolved(), key) == tuple(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("epohcs = 3", "mine.toml: no key 'epohcs'; did you mean 'epochs'?"),
        ("[optimiser]\nlr = 3", "mine.toml: no key 'optimiser.lr'"),
        ("[optimiser]\nlearning_rate = 'fast'", "mine.toml: optimiser.learning_rate must be a number, got 'fast'"),
        ("epochs = 0", "mine.toml: epochs must be at least 1, got 0"),
        ("base = 'nowhere'", "mine.toml: no recipe 'nowhere': neither a file nor one of aasist"),
        ("base = 'mine.toml'", "mine.toml: its bases lead back to it"),
        ("base = 3", "mine.toml: base must be the name or path of a recipe, got 3"),
        ("epochs = ", "mine.toml: not a recipe in TOML"),
        ("[model]\nkernel_samples = 128", "mine.toml: kernel_samples must be odd, got 128"),
        ("[loss]\nkind = 'oc-softmax'", "mine.toml: loss.kind oc-softmax compares cosines: set model.readout"),
        (
            "[model]\nreadout = 'cosine'\n[loss]\nkind = 'oc-softmax'",
            "mine.toml: loss.kind oc-softmax compares cosines, and dropout of the readout makes them more than 1: set "
            "model.dropouts to 0.2,0.3,0.2,0 (the last is 0.5)",
        ),
        ("[loss]\nrank_weight = 1", "mine.toml: loss.rank_weight ranks the members of pairs: set sampling.mode"),
        ("[crop]\nlengths = [400]", "mine.toml: crop.lengths must be at least 2,315 samples for this model, got 400"),
        ("[optimiser]\nclip_norm = 0", "mine.toml: optimiser.clip_norm must be above 0, or none, got 0"),
        ("[optimiser]\nlearning_rate = 1e-6", "schedule.lowest_learning_rate must be at most optimiser.learning_rate"),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_the_file(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as error:
        read_recipe(written(tmp_path, "mine", text))
    assert said in error.value.message


def test_a_recipe_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(RecipeError, match="no recipe 'assist': neither a file nor one of aasist, "):
        read_recipe("assist")


def test_a_key_may_be_given_by_its_last_word_where_that_is_enough() -> None:
    recipe = with_changes(Recipe(), {"steps": "3", "channels": "8,8", "time_pools": "3,3"})
    assert recipe.run.steps == 3
    assert recipe.model.resolved().channels == (8, 8)
    with pytest.raises(RecipeError, match=r"'probability' could be (augment\.\w+\.probability, ){5}and \d+ more:"):
        with_changes(Recipe(), {"probability": "1"})


@pytest.mark.parametrize("text", ["steps", "=3", " = 3"])
def test_a_change_without_name_or_equals_sign_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match=r"expected KEY=VALUE, got"):
        parsed_change(text)


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        ({"run.steps": 3}, False),
        ({"run.threads": 3}, False),
        ({"loading.workers": 3}, False),
        ({"data.train": ("x",)}, False),
        ({"data.train_subset": "x"}, True),
        ({"seed": 3}, True),
        ({"augment.gain.probability": 0.5}, True),
        ({"model.bands": 35}, True),
    ],
)
def test_how_to_run_is_no_part_of_what_a_recipe_is(change: dict[str, Any], counts: bool) -> None:
    assert bool(differences(Recipe(), with_changes(Recipe(), change))) == counts
    assert all(is_identity(name) == counts for name in change)


def test_none_is_a_level_and_a_compression_of_its_own(tmp_path: Path) -> None:
    """Not the absence of a choice, as it is for other keys."""
    recipe = with_changes(read_recipe("efficient"), {"model.level": "none", "model.compression": "none"})
    assert (recipe.model.resolved().level, recipe.model.resolved().compression) == ("none", "none")
    assert not differences(recipe, read_recipe(written(tmp_path, "resolved", resolved_text(recipe))))


def test_an_architecture_that_is_spelt_out_is_the_one_by_name() -> None:
    spelt = with_changes(Recipe(), {"model.channels": AASIST.channels, "model.bands": 70, "model.name": "aasist"})
    assert not differences(Recipe(), spelt)


def test_the_precision_that_needs_cuda_says_so() -> None:
    meaning = next(known.meaning for known in keys_of(Recipe) if known.name == "precision")
    assert "fp16 on CUDA alone" in meaning
