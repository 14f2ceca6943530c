"""Score files: every form that challenges use, what is wrong with them, and which trials they are of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aasist.errors import ProtocolError
from aasist.protocol.matching import match_scores
from aasist.protocol.scores import (
    ATTACK_NAMES,
    ID_NAMES,
    LABEL_NAMES,
    SCORE_LAYOUTS,
    SCORE_NAMES,
    read_scores,
    score_lines,
    write_scores,
)
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
    if "attack" in scores.columns:
        assert scores.columns["attack"].tolist() == attacks.tolist()


columns_of_three = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r\0"), min_size=1, max_size=6),
    st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\t\n\r\0"), max_size=5), min_size=3, max_size=3),
    max_size=4,
)


@given(columns=columns_of_three, keyed=st.booleans())
@settings(max_examples=60)
def test_every_column_of_the_trials_is_read_back_from_our_own_table(
    tmp_path_factory: pytest.TempPathFactory, columns: dict[str, list[str]], keyed: bool
) -> None:
    # Names that would be read back as the id, the score, the label or the attack have tests of their own.
    own = {*ID_NAMES, *SCORE_NAMES, *LABEL_NAMES, *ATTACK_NAMES, ""}
    known = {name.strip(): column for name, column in columns.items() if name.strip() not in own}
    labels = np.array([True, False, False]) if keyed else None
    trials = Trials(strings("abc"), labels, {name: strings(column) for name, column in known.items()}, "protocol")
    path = tmp_path_factory.mktemp("scores") / "s"
    write_scores(path, trials, [1.0, 2.0, 3.0], "tsv")
    back = read_scores(path)
    assert {name: column.tolist() for name, column in back.columns.items()} == known
    assert (back.bonafide is None) == (not keyed)


def table_of(columns: dict[str, list[str]], labels: list[bool] | None = None) -> list[list[str]]:
    """Header and rows of our own table of two trials."""
    trials = Trials(
        strings("ab"), None if labels is None else np.array(labels), {n: strings(c) for n, c in columns.items()}
    )
    return [line.rstrip("\n").split("\t") for line in score_lines(trials, [0.5, 1.5], "tsv", path="s.tsv")]


def test_columns_stand_after_what_is_known_of_the_trial_and_before_the_score() -> None:
    columns = {"speaker": ["x", ""], "attack": ["-", ""], "path": ["dev/a.wav", "dev/b.wav"], "codec": ["c", "d"]}
    assert table_of(columns, [True, False]) == [
        ["id", "label", "attack", "speaker", "path", "codec", "score"],
        ["a", "bonafide", "-", "x", "dev/a.wav", "c", "0.5"],
        ["b", "spoof", "-", "", "dev/b.wav", "d", "1.5"],
    ]


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("path", ["/home/me/a.wav", "b.wav"]),
        ("path", ["C:\\me\\a.wav", "b.wav"]),
        ("path", ["\\\\server\\a.wav", "b.wav"]),
        ("score", ["1", "2"]),
        ("llr", ["1", "2"]),
        ("filename", ["x", "y"]),
        ("key", ["target", "spoof"]),
        ("system", ["x", "y"]),
        ("a\tb", ["x", "y"]),
        ("", ["x", "y"]),
        (" speaker", ["x", "y"]),
    ],
)
def test_what_is_of_one_machine_or_would_be_read_as_another_column_is_left_out(name: str, column: list[str]) -> None:
    assert table_of({name: column}) == [["id", "score"], ["a", "0.5"], ["b", "1.5"]]


def test_a_line_break_in_a_text_becomes_a_space() -> None:
    assert table_of({"text": ["one\ttwo\r\nthree", "four"]})[1:] == [
        ["a", "one two  three", "0.5"],
        ["b", "four", "1.5"],
    ]


def test_further_columns_of_a_table_from_elsewhere_are_kept_as_text(tmp_path: Path) -> None:
    write_lines(tmp_path / "s", ["filename,cm-score,duration,snr,id", "a,-1.5,3.2,nan,7", "b,2,4e9,,8"])
    scores = read_scores(tmp_path / "s")
    assert scores.ids.tolist() == ["a", "b"]
    assert {name: column.tolist() for name, column in scores.columns.items()} == {
        "duration": ["3.2", "4e9"],
        "snr": ["nan", ""],
    }


def test_the_file_for_asvspoof_5_is_that_of_its_evaluation_package(tmp_path: Path) -> None:
    trials = Trials(strings(["E_000001", "E_000002"]), None)
    write_scores(tmp_path / "s.tsv", trials, [0.01, 0.02], "asvspoof5")
    assert (tmp_path / "s.tsv").read_text() == "filename\tcm-score\nE_000001\t0.01\nE_000002\t0.02\n"


def test_an_attack_that_no_line_can_hold_is_refused_in_a_challenge_and_mended_in_ours(tmp_path: Path) -> None:
    trials = Trials(strings(["a"]), np.array([False]), {"attack": strings(["Tacotron 2\nGriffin"])})
    with pytest.raises(ProtocolError, match=r"the attack 'Tacotron 2.*cannot be written"):
        write_scores(tmp_path / "s.txt", trials, [1.0], "asvspoof2019")
    write_scores(tmp_path / "s.tsv", trials, [1.0], "tsv")
    assert read_scores(tmp_path / "s.tsv").columns["attack"].tolist() == ["Tacotron 2 Griffin"]


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
