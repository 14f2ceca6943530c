"""Score files: every form that challenges use, what is wrong with them, and which trials they are of."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aasist.errors import ProtocolError
from aasist.protocol.challenge import read_protocol
from aasist.protocol.scores import SCORE_LAYOUTS, ScoreFile, match_scores, read_scores, write_scores
from aasist.trial import Trials, strings

from ..corpora import write_lines


def verdict(path: str, llr: float | None, code: str | None = None) -> str:
    error = None if code is None else {"code": code, "message": f"it is {code}"}
    return json.dumps({"path": path, "label": "spoof", "score": 0.5, "llr": llr, "segments": [], "error": error})


FORMS = {
    "two columns": ["a -1.5", "b 2e-3"],
    "four columns": ["a A07 spoof -1.5", "b - bonafide 0.002"],
    "the package of ASVspoof 5": ["filename\tcm-score", "a\t-1.5", "b\t0.002"],
    "JSON lines": [verdict("a", -1.5), "", verdict("b", 0.002)],
    "TSV with llr and score": ["id\tscore\tllr\tlabel\tsystem", "a\t0.1\t-1.5\tspoof\tx", "b\t0.6\t0.002\tbonafide\t-"],
    "CSV": ["path,score,speaker", 'a,-1.5,"Guinness, Alec"', "b,0.002,"],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_scores(tmp_path: Path, form: str) -> None:
    write_lines(tmp_path / "s", FORMS[form])
    scores = read_scores(tmp_path / "s")
    assert scores.ids.tolist() == ["a", "b"]
    assert scores.values.tolist() == [-1.5, 0.002]
    assert scores.lines.tolist() == {"JSON lines": [1, 3]}.get(form, [1, 2] if "columns" in form else [2, 3])


@pytest.mark.parametrize("form", ["four columns", "TSV with llr and score"])
def test_labels_and_attacks_are_read_where_they_are_there(tmp_path: Path, form: str) -> None:
    write_lines(tmp_path / "s", FORMS[form])
    trials = read_scores(tmp_path / "s").trials()
    assert trials.bonafide is not None
    assert trials.bonafide.tolist() == [False, True]
    assert trials.columns["attack"].tolist()[1] == "-"


def test_a_file_without_labels_has_none(tmp_path: Path) -> None:
    write_lines(tmp_path / "s", FORMS["two columns"])
    trials = read_scores(tmp_path / "s").trials()
    assert (trials.bonafide, dict(trials.columns)) == (None, {})


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a 1", "b nan"], "s:2: the score must be a finite number, got 'nan'"),
        (["a 1", "b -inf"], "s:2: the score must be a finite number, got '-inf'"),
        (["a 1", "b 1e999"], "s:2: the score must be a finite number, got '1e999'"),
        (["a 1", "b 1e300"], "s:2: the score must be a finite number, got '1e300'"),
        (["a 1", "", "b one"], "s:3: the score must be a number, got 'one'"),
        (["a 1_0"], "s:1: the score must be a number, got '1_0'"),
        (["a 1", "b 2", "a 3"], "s:3: trial 'a' stands on line 1 already"),
        (["a 1", "b - spoof 2"], "s:2: expected scores, its columns (id score); got 4 columns"),
        (["a b c"], "s:1: expected scores, its columns (id score) or (id attack label score); got 3 columns"),
        (["a A07 fake 1"], "s:1: the label must be 'bonafide' or 'spoof', got 'fake'"),
        (["filename\tcm-score", "a\t1\t2"], "s:2: expected 2 columns as in the header"),
        (["filename\tcm-score", "\t1"], "s:2: the column 'id' is empty"),
        (["filename\tcm-score"], "s: the file has a header but no rows"),
        ([verdict("a", 1.0), "{"], "s:2: expected one JSON object a line"),
        (["{}"], "s:1: expected a JSON object with 'path' and 'llr'"),
        ([verdict("a", None, "too_short")], "s:1: 'a' could not be scored: it is too_short"),
        (['{"path": "a", "llr": NaN}'], "s:1: the score must be a finite number"),
        (['{"path": "a", "llr": "1"}'], "s:1: the llr must be a number"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, lines: list[str], message: str) -> None:
    write_lines(tmp_path / "s", lines)
    with pytest.raises(ProtocolError) as caught:
        read_scores(tmp_path / "s")
    assert message in caught.value.message


names = st.text(st.characters(codec="utf-8", categories=("L", "N")), min_size=1, max_size=6)


@pytest.mark.parametrize("layout", SCORE_LAYOUTS)
@given(data=st.dictionaries(names, st.tuples(st.booleans(), st.floats(-1e100, 1e100)), min_size=1))
@settings(max_examples=30)
def test_what_is_written_is_read_back_to_the_bit(
    tmp_path_factory: pytest.TempPathFactory, layout: str, data: dict[str, tuple[bool, float]]
) -> None:
    labels = np.array([label for label, _ in data.values()])
    attacks = strings("-" if label else "A07" for label in labels)
    trials = Trials(strings(data), labels, {"attack": attacks}, "protocol")
    values = np.array([value for _, value in data.values()])
    path = tmp_path_factory.mktemp("scores") / "s"
    write_scores(path, trials, values, layout)
    scores = read_scores(path)
    assert match_scores(scores, trials).tobytes() == values.tobytes()
    if scores.attack is not None:
        assert scores.attack.tolist() == attacks.tolist()


def test_the_file_for_asvspoof_5_is_that_of_its_evaluation_package(tmp_path: Path) -> None:
    trials = Trials(strings(["E_000001", "E_000002"]), None)
    write_scores(tmp_path / "s.tsv", trials, [0.01, 0.02], "asvspoof5")
    assert (tmp_path / "s.tsv").read_text() == "filename\tcm-score\nE_000001\t0.01\nE_000002\t0.02\n"


@pytest.mark.parametrize(
    ("ids", "values", "layout", "message"),
    [
        (["a", "b"], [1.0, np.nan], "asvspoof2021", "1 scores are not finite, the first is that of 'b'"),
        (["a b"], [1.0], "asvspoof2021", "the id 'a b' cannot be written"),
        (["a"], [1.0], "asvspoof2019", "needs the key of each trial"),
        (["a"], [1.0], "asvspoof2020", "no score layout 'asvspoof2020'; there are asvspoof2015"),
    ],
)
def test_what_would_not_be_read_back_is_not_written(
    tmp_path: Path, ids: list[str], values: list[float], layout: str, message: str
) -> None:
    with pytest.raises(ProtocolError) as caught:
        write_scores(tmp_path / "s", Trials(strings(ids), None), values, layout)
    assert message in caught.value.message
    assert list(tmp_path.iterdir()) == []


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
        ["elsewhere/a.mp3", "there/b"],
    ],
)
def test_paths_in_a_score_file_find_their_trials(given_ids: list[str]) -> None:
    wanted = trials(["dev/b", "dev/a"], ["dev/b.flac", "dev/a.flac"])
    assert match_scores(score_file(given_ids), wanted).tolist() == [1.0, 0.0]


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
