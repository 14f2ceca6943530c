"""``aasist sasv`` in this process."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from aasist.cli import aasist, main
from aasist.evaluation.sasv import VerificationCosts, a_dcf


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    """ASVspoof 5, track 2: ten speakers with a target, a non-target and a spoof each, three times; the key is in it."""
    random = np.random.default_rng(0)
    lines = ["spk\tfilename\tcm-score\tasv-score\tsasv-score\tasv-label"]
    means = {"target": (1, 2), "nontarget": (1, -2), "spoof": (-1, 1)}
    for number in range(90):
        kind = tuple(means)[number % 3]
        cm, asv = random.normal(means[kind])
        lines.append(f"E_{number // 3 % 10}\tE_{number:03}\t{cm}\t{asv}\t{cm + asv}\t{kind}")
    (tmp_path / "scores.tsv").write_text("\n".join(lines) + "\n")
    return tmp_path / "scores.tsv"


def sasv(*arguments: str | Path) -> Result:
    return CliRunner().invoke(aasist, ["sasv", *map(str, arguments)])


def test_the_table_has_a_header_and_a_row_for_each_figure_and_counts_go_to_stderr(scores: Path) -> None:
    result = sasv(scores, "--rounds", "50")
    assert result.exit_code == 0
    header, *rows = result.stdout.splitlines()
    assert header.split() == ["figure", "value", "(95", "%", "interval)", "at"]
    names = ("a-DCF (Shim et al., 2024)", "a-DCF (ASVspoof 5)", "t-EER, concurrent")
    assert all(row.startswith(name) and " to " in row for row, name in zip(rows, names, strict=True))
    assert result.stderr == "30 target, 30 nontarget, 30 spoof; resampled for the intervals: speakers\n"


def test_json_is_one_object_with_the_figures_and_what_was_chosen(scores: Path) -> None:
    options = ("--priors", "0.5", "0.25", "0.25", "--costs", "1", "2", "3", "--rounds", "0")
    result = sasv(scores, "--json", *options)
    said = json.loads(result.stdout, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert (said["trials"], said["resampled"]) == ({"target": 30, "nontarget": 30, "spoof": 30}, "nothing")
    assert said["choices"] == {"priors": [0.5, 0.25, 0.25], "costs": [1, 2, 3], "rounds": 0, "seed": 0}
    columns = [line.split("\t") for line in scores.read_text().splitlines()[1:]]
    classes = [[float(c[4]) for c in columns if c[5] == kind] for kind in ("target", "nontarget", "spoof")]
    value, threshold = a_dcf(*classes, VerificationCosts(0.5, 0.25, 0.25, 1.0, 2.0, 3.0))
    assert said["figures"]["a_dcf"] == {"value": value, "interval": None, "thresholds": {"sasv": threshold}}
    assert "a-DCF (costs as chosen)" in sasv(scores, *options).stdout


def test_the_key_may_be_a_file_of_its_own(scores: Path, tmp_path: Path) -> None:
    rows = [line.split("\t") for line in scores.read_text().splitlines()]
    bare, key = tmp_path / "bare.tsv", tmp_path / "key.tsv"
    bare.write_text("".join("\t".join(row[:5]) + "\n" for row in rows))
    key.write_text("spk\tfilename\tasv-label\n" + "".join(f"{r[0]}\t{r[1]}\t{r[5]}\n" for r in reversed(rows[1:])))
    found = sasv(bare, "--key", key, "--rounds", "20")
    assert found.stdout == sasv(scores, "--rounds", "20").stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--priors", "0.5", "0.5", "0.5"), "must sum to 1, got 1.5"),
        (("--costs", "1", "0", "1"), "nontarget_false_acceptance must be a finite number above 0"),
        (("--costs", "1", "nan", "1"), "nontarget_false_acceptance must be a finite number above 0"),
    ],
)
def test_costs_that_make_no_sense_are_wrong_usage(options: tuple[str, ...], message: str, scores: Path) -> None:
    result = sasv(scores, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_a_score_file_that_cannot_be_used_is_one_line_with_its_place(
    scores: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores.write_text(scores.read_text().replace("spoof", "fake", 1))
    with pytest.raises(SystemExit) as caught:
        main(["sasv", str(scores)])
    assert caught.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"aasist: {scores}:4: the key must be target, nontarget or spoof, got 'fake'\n"
