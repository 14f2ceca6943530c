"""Which trials train and which choose: each role its own, and none that is for evaluation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aasist.errors import AasistError
from aasist.protocol.corpora import CORPORA
from aasist.training.recipe import Data
from aasist.training.selection import DEV, TRAIN, select, split_spec

from ..corpora import noise, write_audio, write_lines


def manifest(root: Path, rows: list[tuple[str, str, str]], columns: str = "path\tlabel\tsplit") -> Path:
    """Rows (path, label, split) and their recordings."""
    for path, *_ in rows:
        write_audio(root / path, noise())
    write_lines(root / "manifest.tsv", [columns, *("\t".join(row) for row in rows)])
    return root


def pair(folder: str, split: str) -> list[tuple[str, str, str]]:
    return [(f"{folder}/real.wav", "bonafide", split), (f"{folder}/fake.wav", "spoof", split)]


def test_a_corpus_trains_on_its_train_part_and_chooses_by_its_dev_part(mini: Path) -> None:
    selected = select(Data(train=(f"asvspoof2019-la:{mini}",)))
    assert {name[:5] for name in selected.of(TRAIN).ids.tolist()} == {"LA_T_"}
    assert {name[:5] for name in selected.of(DEV).ids.tolist()} == {"LA_D_"}
    assert (len(selected.train), len(selected.dev), len(selected.trials)) == (18, 12, 30)


def test_several_corpora_are_one_table_and_say_where_each_is_from(mini: Path, tmp_path: Path) -> None:
    own = manifest(tmp_path, [*pair("a", "train"), *pair("b", "valid"), *pair("c", "test")])
    selected = select(Data(train=(f"asvspoof2019-la:{mini}", str(own))))
    train, dev = selected.of(TRAIN), selected.of(DEV)
    assert np.unique_counts(train.columns["corpus"]).counts.tolist() == [18, 2]
    assert {"b/real", "b/fake"} <= set(dev.ids.tolist())
    assert not [path for path in selected.trials.columns["path"].tolist() if "/c/" in path]


def test_trials_given_for_dev_alone_take_the_place_of_the_dev_parts(mini: Path, tmp_path: Path) -> None:
    own = manifest(tmp_path, [*pair("a", "train"), *pair("b", "dev")])
    selected = select(Data(train=(f"asvspoof2019-la:{mini}",), dev=(str(own),)))
    assert selected.of(DEV).ids.tolist() == ["b/real", "b/fake"]


def test_a_manifest_without_subsets_serves_a_role_of_its_own(mini: Path, tmp_path: Path) -> None:
    rows = [(path, label, "-") for path, label, _ in pair("a", "")]
    own = manifest(tmp_path, rows)
    assert len(select(Data(train=(str(own),), dev=(f"asvspoof2019-la:{mini}",))).train) == 2
    with pytest.raises(
        AasistError, match=r"no subset 'train' to train on; it has no subsets, or give other trials for"
    ):
        select(Data(train=(str(own),)))


@pytest.mark.parametrize(
    "data",
    [
        lambda spec: Data(train=(spec,), train_subset="eval"),
        lambda spec: Data(train=(spec,), dev_subset="eval"),
    ],
)
def test_the_evaluation_subset_takes_no_part(data: Callable[[str], Data], mini: Path) -> None:
    with pytest.raises(AasistError, match="the subset 'eval' is for evaluation, and takes no part in training or in"):
        select(data(f"asvspoof2019-la:{mini}"))


@pytest.mark.parametrize("name", CORPORA["codecfake"].tests)
def test_subsets_that_a_corpus_has_for_evaluation_take_no_part_whatever_they_are_called(name: str) -> None:
    with pytest.raises(AasistError, match=f"the subset '{name}' is for evaluation"):
        select(Data(train=("codecfake:nowhere",), train_subset=name))


@pytest.mark.parametrize(
    "name",
    [
        *(
            "eval",
            "test",
            "Testing",
            "progress",
            "hidden1",
            "en_eval",
            "corpus-test",
            "test-clean",
            "eval_track1",
            "eval2",
        ),
        *("eval-2021", "hidden_track", "la.evaluation", "2021 Eval", "my_testset"),
    ],
)
def test_trials_that_say_they_are_for_evaluation_take_no_part_either(name: str, tmp_path: Path, mini: Path) -> None:
    """Also where a whole manifest is asked for."""
    own = manifest(tmp_path, [*pair("a", "train"), *pair("b", name)])
    with pytest.raises(AasistError, match=f"the subset '{name}' is for evaluation"):
        select(Data(train=(str(own),), train_subset="all", dev=(f"asvspoof2019-la:{mini}",)))


def test_names_that_only_look_like_it_do_take_part(tmp_path: Path, mini: Path) -> None:
    own = manifest(tmp_path, [*pair("a", "contest"), *pair("b", "retrieval"), *pair("c", "latest_C1")])
    assert len(select(Data(train=(str(own),), train_subset="all", dev=(f"asvspoof2019-la:{mini}",))).train) == 6


def test_a_corpus_without_a_part_to_train_on_is_named_with_its_parts(tmp_path: Path, mini: Path) -> None:
    own = manifest(tmp_path, [*pair("a", "one"), *pair("b", "two")])
    with pytest.raises(AasistError, match=r"name one of its subsets by data\.train_subset \(one, two\)"):
        select(Data(train=(str(own),), dev=(f"asvspoof2019-la:{mini}",)))


def test_a_recording_in_both_roles_is_refused(tmp_path: Path) -> None:
    own = manifest(tmp_path, pair("a", "train"))
    with pytest.raises(AasistError, match="stands in two of the corpora given"):
        select(Data(train=(str(own),), dev=(str(own),), dev_subset="train"))


def test_a_class_without_trials_is_refused(tmp_path: Path) -> None:
    own = manifest(tmp_path, [*pair("a", "train"), ("b/real.wav", "bonafide", "dev")])
    with pytest.raises(AasistError, match="training needs trials of both classes, got 1 bona fide and 0 spoofs"):
        select(Data(train=(str(own),)))


def test_missing_recordings_are_counted_and_named_before_anything_runs(mini: Path, tmp_path: Path) -> None:
    own = manifest(tmp_path, [*pair("a", "train"), *pair("b", "dev")])
    (own / "b" / "fake.wav").unlink()
    with pytest.raises(AasistError, match=r"1 of 4 trials have no recording \(b/fake: "):
        select(Data(train=(str(own),)))


def test_without_any_trials_it_says_what_is_wanted() -> None:
    with pytest.raises(AasistError, match="which trials"):
        select(Data())


def test_a_corpus_that_moved_is_the_same_and_one_that_changed_is_not(tmp_path: Path) -> None:
    rows = [*pair("a", "train"), *pair("b", "dev")]
    one, moved, other = (manifest(tmp_path / name, rows) for name in ("one", "moved", "other"))
    write_audio(other / "a" / "real.wav", noise(seconds=0.1))
    first, second, third = (select(Data(train=(str(root),))).fingerprints for root in (one, moved, other))
    assert first == second
    assert first[TRAIN] != third[TRAIN]
    assert first[DEV] == third[DEV]


@pytest.mark.parametrize(
    ("column", "counts"),
    [
        ("source", True),
        ("speaker", True),
        ("attack", True),
        ("pair", True),
        ("corpus", True),
        ("page", True),
        ("x", False),
    ],
)
def test_other_values_of_a_column_that_sampling_goes_by_are_other_data(
    column: str, counts: bool, tmp_path: Path
) -> None:
    prints = []
    for value in ("one", "two"):
        rows = [(path, label, f"{split}\t{value}") for path, label, split in [*pair("a", "train"), *pair("b", "dev")]]
        if column == "attack":
            rows = [(path, label, rest if label == "spoof" else "train\t-") for path, label, rest in rows]
            rows[2] = ("b/real.wav", "bonafide", "dev\t-")
        own = manifest(tmp_path / value, rows, f"path\tlabel\tsplit\t{column}")
        prints.append(select(Data(train=(str(own),)), within="page").fingerprints)
    assert (prints[0][TRAIN] != prints[1][TRAIN]) == counts
    assert (prints[0][DEV] != prints[1][DEV]) == counts


def test_subsets_that_are_for_evaluation_are_not_offered_to_choose_by(tmp_path: Path) -> None:
    rows = [*pair("a", "train"), *pair("b", "early"), *pair("c", "eval"), *pair("d", "test-clean")]
    own = manifest(tmp_path, rows, "path\tlabel\tsplit")
    with pytest.raises(AasistError, match=r"choose the weights by; name one of its subsets by .* \(early\)"):
        select(Data(train=(str(own),)))


@pytest.mark.parametrize(
    ("given", "split"),
    [
        ("asvspoof5:/x", ("asvspoof5", Path("/x"))),
        ("/x/y.tsv", ("manifest", Path("/x/y.tsv"))),
        ("odd:name", ("manifest", Path("odd:name"))),
        ("folders:a:b", ("folders", Path("a:b"))),
    ],
)
def test_a_corpus_is_told_from_a_path_with_a_colon_in_it(given: str, split: tuple[str, Path]) -> None:
    assert split_spec(given) == split
