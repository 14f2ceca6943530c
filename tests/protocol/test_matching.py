"""Scores and trials brought together: by id, path or name; what is missing, unknown or contradicts the key is said."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.errors import ProtocolError
from aasist.protocol.challenge import read_protocol
from aasist.protocol.matching import match_scores
from aasist.protocol.scores import ScoreFile, read_scores
from aasist.trial import Trials, strings


def score_file(ids: list[str], bonafide: list[bool] | None = None) -> ScoreFile:
    """Scores 0, 1, 2, ... on lines 1, 2, 3, ..."""
    key = None if bonafide is None else np.array(bonafide)
    return ScoreFile(strings(ids), np.arange(len(ids), dtype=float), np.arange(1, len(ids) + 1), "s.txt", key)


def trials(ids: list[str], paths: list[str] | None = None, bonafide: list[bool] | None = None) -> Trials:
    columns = {} if paths is None else {"path": strings(paths)}
    return Trials(strings(ids), None if bonafide is None else np.array(bonafide), columns, "protocol.txt")


@given(st.permutations(list("abcdefg")))
def test_scores_come_in_the_order_of_the_trials(order: list[str]) -> None:
    values = match_scores(score_file(list("abcdefg")), trials(order))
    assert values.tolist() == ["abcdefg".index(name) for name in order]


@pytest.mark.parametrize(
    "given_ids",
    [
        ["dev/a.flac", "dev/b.flac"],
        ["/data/root/dev/a.flac", "/data/root/dev/b.flac"],
        ["dev/a.wav", "dev/b.wav"],
        ["a.mp3", "b"],
    ],
)
def test_paths_in_a_score_file_find_their_trials(given_ids: list[str]) -> None:
    wanted = trials(["dev/b", "dev/a"], ["dev/b.flac", "dev/a.flac"])
    assert match_scores(score_file(given_ids), wanted).tolist() == [1.0, 0.0]


def test_a_name_in_another_folder_is_another_trial() -> None:
    """Clips are numbered alike in the folders of dev and of eval: the wrong key must not fit."""
    with pytest.raises(ProtocolError, match=r"0 of 2 trials .* another subset"):
        match_scores(score_file(["eval/a", "eval/b"]), trials(["dev/a", "dev/b"]))
    assert match_scores(score_file(["/mnt/x/dev/a.flac"]), trials(["dev/a"])).tolist() == [0.0]
    assert match_scores(score_file(["a"]), trials(["dev/a"])).tolist() == [0.0]
    assert match_scores(score_file(["flac/a.flac"]), trials(["a"])).tolist() == [0.0]


def test_names_that_two_folders_share_are_told_apart_by_their_paths() -> None:
    paths = ["hifigan/1.wav", "melgan/1.wav"]
    wanted = trials(["hifigan/1", "melgan/1"], paths)
    assert match_scores(score_file([f"/x/{path}" for path in reversed(paths)]), wanted).tolist() == [1.0, 0.0]


def test_missing_trials_are_counted_and_the_first_are_named() -> None:
    with pytest.raises(ProtocolError) as caught:
        match_scores(score_file(list("abcde")), trials(list("abcdevwxyz")))
    assert caught.value.message == "s.txt: no score for 5 of 10 trials of protocol.txt: v, w, x, ..."


def test_scores_of_unknown_trials_are_counted_and_the_first_is_named_with_its_line() -> None:
    with pytest.raises(ProtocolError) as caught:
        match_scores(score_file(list("abxy")), trials(list("ab")))
    assert caught.value.message == "s.txt:3: 2 of 4 scores are of trials that protocol.txt does not have: x, y"


def test_scores_of_the_other_subsets_may_stand_in_the_file() -> None:
    scores = score_file(list("abxy"))
    assert match_scores(scores, trials(["b", "a"]), others=trials(["x", "y", "z"])).tolist() == [1.0, 0.0]
    with pytest.raises(ProtocolError, match="1 of 4 scores are of trials that"):
        match_scores(scores, trials(["b", "a"]), others=trials(["y"]))


def test_a_file_of_another_subset_is_called_that() -> None:
    with pytest.raises(ProtocolError, match="seems to be of another subset or corpus; it scores T_1, T_2"):
        match_scores(score_file(["E_1", "T_1", "T_2"]), trials(["E_1", "E_2", "E_3"]))


def test_a_label_that_contradicts_the_key_is_named_with_its_line() -> None:
    scores = score_file(list("abc"), [True, True, False])
    with pytest.raises(ProtocolError) as caught:
        match_scores(scores, trials(list("cba"), bonafide=[False, False, True]))
    assert caught.value.message == "s.txt:2: 'b' is called bonafide, but spoof in protocol.txt (1 labels differ)"


@pytest.fixture(scope="module")
def published_protocol(reference: Path) -> Trials:
    return read_protocol(reference / "ASVspoof2019.LA.cm.eval.trl.txt.gz")


@pytest.mark.parametrize("name", ["weighted_scores", "RawGAT_ST_mul_LA_eval", "B02_LA_eval_4col"])
def test_published_score_files_match_the_published_protocol(
    reference: Path, published_protocol: Trials, name: str
) -> None:
    scores = read_scores(reference / f"{name}.txt.gz")
    assert len(scores) == 71_237
    values = match_scores(scores, published_protocol)
    with gzip.open(reference / f"{name}.txt.gz", "rt") as file:
        by_id = {words[0]: float(words[3]) for words in map(str.split, file)}
    assert values.tolist() == [by_id[trial] for trial in published_protocol.ids.tolist()]
