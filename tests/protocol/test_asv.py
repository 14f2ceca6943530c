"""Scores of verification systems, in the forms of three challenges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aasist.errors import ProtocolError
from aasist.protocol.asv import AsvScores, read_asv_scores

from ..corpora import asvspoof2021, write_lines

LA_2021 = [
    ("LA_1-alaw LA2021-LA_E_1 alaw ita_tx bonafide target notrim eval", 4.0),
    ("LA_2-alaw LA2021-LA_E_1 alaw ita_tx bonafide nontarget notrim eval", -4.0),
    ("LA_1-alaw LA2021-LA_E_2 alaw ita_tx A07 spoof notrim eval", 1.0),
    ("LA_1-alaw LA2021-LA_E_3 alaw ita_tx A08 spoof notrim progress", 2.0),
]


def as_lists(scores: AsvScores) -> tuple[list[float], list[float], list[float], list[str] | None]:
    attacks = None if scores.spoof_attacks is None else scores.spoof_attacks.tolist()
    return scores.target.tolist(), scores.nontarget.tolist(), scores.spoof.tolist(), attacks


def test_scores_of_2019_carry_their_key(tmp_path: Path) -> None:
    write_lines(tmp_path / "s", ["bonafide target 4", "A07 spoof 1", "bonafide nontarget -4", "A08 spoof 2"])
    assert as_lists(read_asv_scores(tmp_path / "s")) == ([4.0], [-4.0], [1.0, 2.0], ["A07", "A08"])


def test_scores_of_2021_find_their_key_one_folder_up(tmp_path: Path) -> None:
    root = asvspoof2021(tmp_path, "LA", ["a LA_E_1 alaw x bonafide bonafide notrim eval"], LA_2021)
    file = root / "keys" / "LA" / "ASV" / "ASVTorch_Kaldi" / "score.txt"
    assert as_lists(read_asv_scores(file)) == ([4.0], [-4.0], [1.0, 2.0], ["A07", "A08"])
    assert as_lists(read_asv_scores(file, where={"subset": "eval"})) == ([4.0], [-4.0], [1.0], ["A07"])
    with pytest.raises(ProtocolError, match="holds no target trial, subset progress: a tandem cost needs all of"):
        read_asv_scores(file, where={"subset": "progress"})


def test_scores_of_2021_in_another_order_than_their_key_are_refused(tmp_path: Path) -> None:
    root = asvspoof2021(tmp_path, "LA", ["a LA_E_1 alaw x bonafide bonafide notrim eval"], LA_2021)
    file = root / "keys" / "LA" / "ASV" / "ASVTorch_Kaldi" / "score.txt"
    lines = file.read_text().splitlines()
    write_lines(file, [lines[0], *lines[:0:-1]])
    with pytest.raises(ProtocolError, match=r"score.txt:2: expected the speaker 'LA_2-alaw' as on line 2 of "):
        read_asv_scores(file)
    write_lines(file, lines[:-1])
    with pytest.raises(ProtocolError, match=r"holds 3 scores, but .* 4 trials"):
        read_asv_scores(file)


HEADER_5 = "spk\tfilename\tcm-score\tasv-score\tsasv-score"
ROWS_5 = ["E_1\tE_01\t0\t4\t0", "E_2\tE_01\t0\t-4\t0", "E_1\tE_02\t0\t1\t0"]


def test_scores_of_5_take_their_key_from_the_package_or_from_a_trial_list(tmp_path: Path) -> None:
    write_lines(tmp_path / "s", [HEADER_5, *ROWS_5])
    write_lines(
        tmp_path / "package",
        [
            "spk\tfilename\tcm-label\tasv-label",
            "E_1\tE_02\tspoof\tspoof",
            "E_1\tE_01\tbonafide\ttarget",
            "E_2\tE_01\tbonafide\tnontarget",
        ],
    )
    write_lines(
        tmp_path / "list", ["E_2 E_01 F bonafide nontarget", "E_1 E_01 F bonafide target", "E_1 E_02 F A17 spoof"]
    )
    assert as_lists(read_asv_scores(tmp_path / "s", key=tmp_path / "package")) == ([4.0], [-4.0], [1.0], None)
    assert as_lists(read_asv_scores(tmp_path / "s", key=tmp_path / "list")) == ([4.0], [-4.0], [1.0], ["A17"])
    with pytest.raises(ProtocolError, match="the header lacks the column 'asv-label': name the file"):
        read_asv_scores(tmp_path / "s")
    write_lines(tmp_path / "list", ["E_2 E_01 F bonafide nontarget", "E_1 E_01 F bonafide target"])
    with pytest.raises(ProtocolError, match=r"s:4: the trial E_02 of the speaker E_1 is not in "):
        read_asv_scores(tmp_path / "s", key=tmp_path / "list")


def test_scores_with_a_column_of_labels_need_no_other_file(tmp_path: Path) -> None:
    labels = ["target", "nontarget", "spoof"]
    rows = [f"{row}\t{label}" for row, label in zip(ROWS_5, labels, strict=True)]
    write_lines(tmp_path / "s", [f"{HEADER_5}\tasv-label", *rows])
    assert as_lists(read_asv_scores(tmp_path / "s")) == ([4.0], [-4.0], [1.0], None)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["bonafide target 4", "bonafide nontarget nan"], "s:2: the score must be a finite number, got 'nan'"),
        (
            ["bonafide target 4", "bonafide impostor 1"],
            "s:2: the key must be target, nontarget or spoof, got 'impostor'",
        ),
        (["bonafide target 4", "A07 spoof 4"], "s: holds no nontarget trial"),
        (["bonafide target 4", "A07 spoof"], "s:2: expected ASV scores, its columns (attack key score); got 2 columns"),
        (["a b c d"], "s:1: expected ASV scores ('bonafide target 1.5'"),
        (["LA_1 LA_E_1 4"], "s: scores without a key need the file "),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, lines: list[str], message: str) -> None:
    write_lines(tmp_path / "s", lines)
    with pytest.raises(ProtocolError) as caught:
        read_asv_scores(tmp_path / "s")
    assert message in caught.value.message


def test_the_published_scores_of_2019_are_all_there(reference: Path) -> None:
    scores = read_asv_scores(reference / "ASVspoof2019.LA.asv.eval.gi.trl.scores.txt.gz")
    assert (scores.target.size, scores.nontarget.size, scores.spoof.size) == (5_370, 33_327, 63_882)
    assert scores.spoof_attacks is not None
    assert np.unique(scores.spoof_attacks).size == 13
    assert scores.target[:3].tolist() == [7.981530, 22.408420, 25.735920]
