"""Scores of spoofing-robust verification, in the form of ASVspoof 5 and in that of the a-DCF's authors."""

from __future__ import annotations

from pathlib import Path

import pytest

from aasist.errors import ProtocolError
from aasist.protocol.sasv import SasvScores, read_sasv_scores

from ..corpora import write_lines

HEADER = "spk\tfilename\tcm-score\tasv-score\tsasv-score"
ROWS = ["E_1\tE_01\t3\t4\t5", "E_2\tE_01\t3\t-4\t-5", "E_1\tE_02\t-3\t1\t0.5"]
KEY = [
    "spk\tfilename\tcm-label\tasv-label",
    "E_1\tE_02\tspoof\tspoof",
    "E_1\tE_01\tbonafide\ttarget",
    "E_2\tE_01\tbonafide\tnontarget",
]


def as_lists(scores: SasvScores) -> list[list[object] | None]:
    columns = (scores.kinds, scores.speakers, scores.sasv, scores.cm, scores.asv)
    return [None if column is None else column.tolist() for column in columns]


EXPECTED = [
    ["target", "nontarget", "spoof"],
    ["E_1", "E_2", "E_1"],
    [5.0, -5.0, 0.5],
    [3.0, 3.0, -3.0],
    [4.0, -4.0, 1.0],
]


def test_scores_of_asvspoof_5_take_their_key_from_the_package_in_any_order(tmp_path: Path) -> None:
    write_lines(tmp_path / "s", [HEADER, *ROWS])
    write_lines(tmp_path / "key", KEY)
    assert as_lists(read_sasv_scores(tmp_path / "s", key=tmp_path / "key")) == EXPECTED


def test_scores_take_their_key_from_a_trial_list_or_from_a_column_of_their_own(tmp_path: Path) -> None:
    write_lines(tmp_path / "s", [HEADER, *ROWS])
    trials = ["E_2 E_01 F bonafide nontarget", "E_1 E_01 F bonafide target", "E_1 E_02 F A17 spoof"]
    write_lines(tmp_path / "list", trials)
    assert as_lists(read_sasv_scores(tmp_path / "s", key=tmp_path / "list")) == EXPECTED
    labelled = [f"{row}\t{kind}" for row, kind in zip(ROWS, EXPECTED[0], strict=True)]
    write_lines(tmp_path / "own", [f"{HEADER}\tasv-label", *labelled])
    assert as_lists(read_sasv_scores(tmp_path / "own")) == EXPECTED
    # A key that is named counts, whatever the score file says.
    write_lines(tmp_path / "wrong", [f"{HEADER}\tasv-label", *(f"{row}\ttarget" for row in ROWS)])
    assert as_lists(read_sasv_scores(tmp_path / "wrong", key=tmp_path / "list")) == EXPECTED


def test_a_full_key_is_separated_by_spaces_and_its_dummies_take_no_part(tmp_path: Path) -> None:
    write_lines(tmp_path / "s", [HEADER, *ROWS, "E_3\tE_03\t9\t9\t9"])
    key = [
        "tar_spk_anon trial_anon cm_label asv_label track_2_tag attack_anon",
        "E_1 E_02 spoof spoof eval A17",
        "E_1 E_01 bonafide target eval bonafide",
        "E_2 E_01 bonafide nontarget eval bonafide",
        "E_3 E_03 bonafide - dummy bonafide",
    ]
    write_lines(tmp_path / "key", key)
    assert as_lists(read_sasv_scores(tmp_path / "s", key=tmp_path / "key")) == EXPECTED


def test_what_else_stands_on_the_line_of_a_dummy_does_not_matter(tmp_path: Path) -> None:
    write_lines(tmp_path / "s", [HEADER, *ROWS, "E_3\tE_03\t-\t9\t9"])
    key = [
        "tar_spk_anon trial_anon cm_label asv_label track_2_tag attack_anon",
        "E_1 E_02 spoof spoof eval A17",
        "E_1 E_01 bonafide target eval bonafide",
        "E_2 E_01 bonafide nontarget eval bonafide",
        "E_3 E_03 spoof spoof dummy A17",
    ]
    write_lines(tmp_path / "key", key)
    assert as_lists(read_sasv_scores(tmp_path / "s", key=tmp_path / "key")) == EXPECTED


def test_scores_that_stand_in_the_key_replace_none(tmp_path: Path) -> None:
    write_lines(tmp_path / "s", [HEADER, *ROWS])
    labelled = [f"{row.split()[0]}\t{row.split()[1]}\t7\t{kind}" for row, kind in zip(ROWS, EXPECTED[0], strict=True)]
    for name in ("asv-score", "cm-score", "sasv-score"):
        write_lines(tmp_path / "key", [f"spk\tfilename\t{name}\tasv-label", *labelled])
        assert as_lists(read_sasv_scores(tmp_path / "s", key=tmp_path / "key")) == EXPECTED


def test_a_column_of_strokes_is_a_system_that_gives_no_such_score(tmp_path: Path) -> None:
    rows = ["E_1\tE_01\t-\t-\t5", "E_2\tE_01\t-\t-\t-5", "E_1\tE_02\t-\t-\t0.5"]
    write_lines(tmp_path / "s", [HEADER, *rows])
    write_lines(tmp_path / "key", KEY)
    assert as_lists(read_sasv_scores(tmp_path / "s", key=tmp_path / "key")) == [*EXPECTED[:3], None, None]


def test_four_columns_without_a_header_are_those_of_the_authors_of_the_a_dcf(tmp_path: Path) -> None:
    write_lines(tmp_path / "s", ["E_1 E_01 5 target", "E_2 E_01 -5 nontarget", "E_1 E_02 0.5 spoof"])
    assert as_lists(read_sasv_scores(tmp_path / "s")) == [*EXPECTED[:3], None, None]


@pytest.mark.parametrize(
    ("lines", "key", "message"),
    [
        ([HEADER, *ROWS], None, "s: the header lacks the column 'asv-label': name the file that holds the key"),
        ([HEADER, *ROWS[:2], "E_1\tE_02\t-3\t1\tnan"], KEY, "s:4: the sasv-score must be a finite number, got 'nan'"),
        ([HEADER, *ROWS[:2], "E_1\tE_02\t-\t1\t1"], KEY, "s:4: the cm-score must be a number, got '-'"),
        ([HEADER, *ROWS[:2]], KEY, "s: holds 2 scores, but "),
        ([HEADER, *ROWS, "E_9\tE_02\t1\t1\t1"], KEY, "s:5: the trial E_02 of the speaker E_9 is not in "),
        ([HEADER, *ROWS, ROWS[0]], KEY, "s:5: trial 'E_01 of E_1' stands on line 2 already"),
        (
            ["E_1 E_01 5 target", "E_1 E_02 1 spoof", "E_2 E_01 1 nontarget", "E_1 E_02 1 spoof"],
            None,
            "s:4: trial 'E_02 of E_1' stands on line 2 already",
        ),
        (
            [f"{HEADER}\tasv-label", f"{ROWS[0]}\ttarget", f"{ROWS[0]}\ttarget"],
            None,
            "s:3: trial 'E_01 of E_1' stands on line 2 already",
        ),
        ([HEADER, *ROWS[:2], "E_1\tE_02\t1\t1"], KEY, "s:4: expected 5 columns as in the header"),
        ([HEADER, *ROWS], [*KEY[:3], "E_2\tE_01\tbonafide\timpostor"], "key:4: the key must be target, nontarget or"),
        (
            [HEADER, *ROWS],
            [*KEY[:3], "E_2\tE_01\tspoof\tnontarget"],
            "s:3: the cm-label 'spoof' contradicts the asv-label 'nontarget'",
        ),
        (
            [HEADER, *ROWS],
            [*KEY[:3], "E_2\tE_01\tbonafide\ttarget"],
            "s: holds no nontarget trial: all of target, nontarget, spoof are needed",
        ),
        (
            ["spk\tfilename\tcm-score", "E_1\tE_01\t3", "E_2\tE_01\t3", "E_1\tE_02\t3"],
            KEY,
            "s: expected sasv-score, or",
        ),
        (["filename\tsasv-score", "E_01\t3"], KEY, "s:1: the header lacks the column 'speaker'"),
        (["a b c d"], KEY, "s:1: expected a header with spk, filename and sasv-score"),
        (["a b"], None, "s:1: expected a header with spk, filename and sasv-score"),
        (
            ["E_1 E_01 5 target", "E_2 E_01 x nontarget", "E_1 E_02 1 spoof"],
            None,
            "s:2: the sasv-score must be a number",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_line(
    tmp_path: Path, lines: list[str], key: list[str] | None, message: str
) -> None:
    write_lines(tmp_path / "s", lines)
    if key is not None:
        write_lines(tmp_path / "key", key)
    with pytest.raises(ProtocolError) as caught:
        read_sasv_scores(tmp_path / "s", key=None if key is None else tmp_path / "key")
    assert message in caught.value.message
