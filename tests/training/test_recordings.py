"""Trials of several corpora become one table, and what is missing is named before anything is decoded."""

from pathlib import Path

import numpy as np
import pytest

from aasist.errors import ProtocolError
from aasist.protocol.corpora import read_corpus
from aasist.training.recordings import MISSING, DataError, gathered, require_both_classes, require_present, sizes_bytes
from aasist.trial import Trials, strings

from ..corpora import Recording, asvspoof2019_la, noise, write_audio


def trials(ids: list[str], bonafide: list[bool] | None = None, **columns: list[str]) -> Trials:
    """A table whose paths are the ids with ``.wav``."""
    labels = None if bonafide is None else np.array(bonafide)
    return Trials(strings(ids), labels, {"path": strings(f"{i}.wav" for i in ids)} | {
        name: strings(values) for name, values in columns.items()
    }, "made.txt")  # fmt: skip


def test_corpora_are_joined_with_their_columns_and_full_paths(tmp_path: Path) -> None:
    root = asvspoof2019_la(tmp_path / "la", {"train": [Recording("T_1", noise()), Recording("T_2", noise(), "A01")]})
    own = trials(["x", "y"], [True, False], corpus=["vctk", ""], source=["page", "page"])
    both = gathered([("la", read_corpus("asvspoof2019-la", root, "train"), root), ("mine", own, tmp_path / "mine")])
    assert both.ids.tolist() == ["T_1", "T_2", "x", "y"]
    assert both.bonafide is not None and both.bonafide.tolist() == [True, False, True, False]
    assert both.columns["corpus"].tolist() == ["la", "la", "vctk", "mine"]
    assert both.columns["attack"].tolist() == ["-", "A01", "", ""]
    assert both.columns["source"].tolist() == ["", "", "page", "page"]
    assert sizes_bytes(both).tolist()[2:] == [MISSING, MISSING]
    assert (sizes_bytes(both)[:2] > 100).all()


def test_ids_that_stand_in_two_corpora_get_the_names_of_theirs(tmp_path: Path) -> None:
    both = gathered([("one", trials(["a"], [True]), tmp_path / "1"), ("two", trials(["a"], [False]), tmp_path / "2")])
    assert both.ids.tolist() == ["one/a", "two/a"]
    with pytest.raises(ProtocolError, match="the recording stands in two of the corpora given"):
        gathered([("one", trials(["a"], [True]), tmp_path), ("two", trials(["a"], [False]), tmp_path)])
    same = [("one", trials(["a"], [True]), tmp_path / "1"), ("one", trials(["a"], [True]), tmp_path / "2")]
    assert gathered(same).ids.tolist() == ["one/a", "one-2/a"]
    assert gathered(same).columns["corpus"].tolist() == ["one", "one-2"]


def test_a_recording_is_itself_under_every_spelling(tmp_path: Path) -> None:
    for name in ("audio", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.wav").write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path / "audio")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "a.wav").symlink_to(tmp_path / "audio" / "a.wav")
    one = ("one", trials(["a"], [True]), tmp_path / "audio")
    for place in ("link", "links", "other/../audio"):
        with pytest.raises(ProtocolError, match="the recording stands in two of the corpora given"):
            gathered([one, ("two", trials(["a"], [False]), tmp_path / place)])
    both = gathered([one, ("two", trials(["a"], [False]), tmp_path / "other")])
    assert both.columns["path"].tolist() == [str(tmp_path / name / "a.wav") for name in ("audio", "other")]


def test_a_pair_of_one_corpus_is_none_of_another(tmp_path: Path) -> None:
    one = trials(["a", "b"], [True, False], pair=["p", ""])
    both = gathered([("one", one, tmp_path / "1"), ("two", one, tmp_path / "2")])
    assert both.columns["pair"].tolist() == ["one/p", "", "two/p", ""]
    assert one.columns["pair"].tolist() == ["p", ""]


def test_two_subsets_of_one_root_keep_its_name(tmp_path: Path) -> None:
    both = gathered([("one", trials(["a"], [True]), tmp_path), ("one", trials(["b"], [True]), tmp_path)])
    assert both.columns["corpus"].tolist() == ["one", "one"] and both.ids.tolist() == ["a", "b"]


def test_paths_of_a_manifest_named_itself_begin_in_its_folder(tmp_path: Path) -> None:
    (tmp_path / "my.tsv").write_text("")
    assert gathered([("m", trials(["a"], [True]), tmp_path / "my.tsv")]).columns["path"][0] == str(tmp_path / "a.wav")


def test_trials_without_labels_or_paths_cannot_be_trained_on(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match=r"made.txt: training needs labels"):
        gathered([("one", trials(["a"]), tmp_path)])
    with pytest.raises(ProtocolError, match="no column 'path'"):
        gathered([("one", Trials(strings(["a"]), np.array([True])), tmp_path)])


@pytest.mark.parametrize("label", [True, False])
def test_a_class_without_trials_is_refused(label: bool) -> None:
    with pytest.raises(DataError, match=r"made.txt: training needs trials of both classes, got \d bona fide") as caught:
        require_both_classes(trials(["a", "b"], [label, label]))
    assert caught.value.code == "no_class"
    require_both_classes(trials(["a", "b"], [True, False]))


def test_missing_recordings_are_counted_and_the_first_are_named(tmp_path: Path) -> None:
    ids = [f"t{number}" for number in range(2_500)]
    every = gathered([("one", trials(ids, [True] * 2_500), tmp_path)])
    for name in ids[:20] + ids[2_400:]:
        (tmp_path / f"{name}.wav").write_bytes(b"12345")
    with pytest.raises(DataError, match=r"2,380 of 2,500 trials have no recording \(t20: .*t24.wav; and 2,375 more\)"):
        require_present(every)
    present = every.take(np.arange(20))
    assert require_present(present).tolist() == [5] * 20
    write_audio(tmp_path / "sub" / "x.wav", noise())
    folder = gathered([("one", trials(["sub"], [True]), tmp_path)])
    assert sizes_bytes(folder).tolist() == [MISSING]
