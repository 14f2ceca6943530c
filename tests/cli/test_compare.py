"""``aasist compare`` in this process: two systems on the same trials."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aasist.evaluation.det import eer

from ..corpora import write_lines
from .test_metrics import four_columns, invoke, made, of, protocol_2019, protocol_2021, two_columns

FIGURES = {"eer", "auc", "min_dcf", "act_dcf", "cllr", "min_cllr", "miss", "false_acceptance", "accuracy"}
FIGURES |= {"balanced_accuracy", "f1"}


def test_a_system_does_not_differ_from_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = four_columns(tmp_path / "a.txt", made())
    found = invoke(capsys, "compare", scores, scores, "--json", "--rounds", 30).json
    assert (found["a"], found["b"], found["figures"].keys()) == (str(scores), str(scores), FIGURES)
    for figure in found["figures"].values():
        assert figure["a"] == figure["b"]
        assert (figure["difference"], figure["interval"], figure["p_value"]) == (0.0, [0.0, 0.0], 1.0)


@pytest.mark.parametrize("protocol", [True, False])
def test_a_worse_system_differs_in_the_direction_that_is_worse(
    protocol: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = made(), made(noise=4.0)
    if protocol:
        words = [two_columns(tmp_path / "a.txt", good), two_columns(tmp_path / "b.txt", bad[::-1])]
        words += ["--protocol", protocol_2019(tmp_path / "key.txt", good, speakers=60)]
    else:  # the key of A, in the order of A
        words = [four_columns(tmp_path / "a.txt", good), two_columns(tmp_path / "b.txt", bad[::-1])]
    found = invoke(capsys, "compare", *words, "--json", "--rounds", 200, "--asv-rates", 0.02, 0.03, 0.4).json
    assert found["figures"].keys() == FIGURES | {"min_tdcf", "min_tdcf_legacy"}
    for name, figure in found["figures"].items():
        assert figure["difference"] == figure["a"] - figure["b"]
        assert figure["interval"][0] <= figure["interval"][1]
        assert 1 / 200 <= figure["p_value"] <= 1, name
    rate = found["figures"]["eer"]
    assert (rate["a"], rate["b"]) == (eer(*of(good)), eer(*of(bad)))
    assert rate["interval"][1] < 0
    assert rate["p_value"] <= 0.02
    assert found["figures"]["auc"]["interval"][0] > 0


def test_swapped_systems_give_the_negative_difference_on_the_same_draws(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [four_columns(tmp_path / "a.txt", made()), four_columns(tmp_path / "b.txt", made(noise=1.0))]
    options = ["--json", "--rounds", 41, "--threads"]
    there = invoke(capsys, "compare", *words, *options, 1).json["figures"]
    back = invoke(capsys, "compare", *words[::-1], *options, 2).json["figures"]
    for name, figure in there.items():
        assert back[name]["difference"] == -figure["difference"]
        assert back[name]["interval"] == pytest.approx([-limit for limit in figure["interval"][::-1]])
        assert back[name]["p_value"] == figure["p_value"]


def test_the_table_names_both_files_and_only_the_trials_asked_for_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = made(), made(noise=4.0)
    words = [two_columns(tmp_path / "good.txt", good), two_columns(tmp_path / "bad.txt", bad)]
    words += ["--protocol", protocol_2021(tmp_path / "key.txt", good), "--where", "subset=eval", "--rounds", 20]
    shown = invoke(capsys, "compare", *words)
    assert (shown.code, shown.err) == (0, [])
    lines = shown.out.splitlines()
    assert lines[0].split()[:3] == ["figure", "good.txt", "bad.txt"]
    (rate,) = [line for line in lines if line.startswith("EER, %")]
    picked = [[trial for row, trial in enumerate(trials) if row % 4 < 2] for trials in (good, bad)]
    assert rate.split()[2:4] == [f"{100 * eer(*of(trials)):.2f}" for trials in picked]


def test_systems_that_scored_other_trials_are_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials = made()
    a = four_columns(tmp_path / "a.txt", trials)
    b = four_columns(tmp_path / "b.txt", trials[3:])
    complaint = invoke(capsys, "compare", a, b).complaint
    assert complaint.startswith(f"{b}: no score for 3 of 140 trials of {a}: T_000, T_001, T_002")
    extra = invoke(capsys, "compare", b, a).complaint
    assert extra.startswith(f"{a}:1: 3 of 140 scores are of trials that {b} does not have")
    swapped = [trials[0]._replace(attack="A01", key="spoof"), *trials[1:]]
    contradiction = invoke(capsys, "compare", a, four_columns(b, swapped)).complaint
    assert contradiction.startswith(f"{b}:1: 'T_000' is called spoof, but bonafide in {a}")


def test_bad_files_are_one_line_that_names_the_one_that_is_bad(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = made()
    a, b = four_columns(tmp_path / "a.txt", trials), tmp_path / "b.txt"
    assert invoke(capsys, "compare", a, b).complaint == f"{b}: no such file"
    two_columns(b, [trials[0]._replace(score=float("inf")), *trials[1:]])
    assert invoke(capsys, "compare", a, b).complaint.startswith(f"{b}:1: the score must be a finite number")
    two_columns(b, trials)
    assert invoke(capsys, "compare", b, a).complaint.startswith(f"{b}: the score file holds no key")
    four_columns(a, [trial for trial in trials if trial.key == "spoof"])
    two_columns(b, [trial for trial in trials if trial.key == "spoof"])
    assert invoke(capsys, "compare", a, b).complaint.startswith(f"{a}: none of 80 trials is bona fide")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--by", "attack"], "--by belongs to metrics and evaluate"),
        (["--rounds", 0], "--rounds must be above 0"),
        (["--layout", "manifest"], "--protocol, which is missing"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = four_columns(tmp_path / "a.txt", made())
    assert said in invoke(capsys, "compare", scores, scores, *words).misuse


def test_files_of_windows_with_a_byte_order_mark_are_compared_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = four_columns(tmp_path / "a.txt", made()), tmp_path / "b.csv"
    write_lines(b, ["filename,cm-score", *(f"{trial.name},{trial.score!r}" for trial in made())])
    b.write_bytes(b"\xef\xbb\xbf" + b.read_bytes().replace(b"\n", b"\r\n"))
    found = invoke(capsys, "compare", a, b, "--json", "--rounds", 5).json
    assert {figure["difference"] for figure in found["figures"].values()} == {0.0}


def test_a_report_holds_table_curves_and_what_json_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / "good" / "scores.txt", tmp_path / "bad" / "scores.txt"]
    for file, trials in zip(files, (made(), made(noise=4.0)), strict=True):
        file.parent.mkdir()
        four_columns(file, trials)
    out = tmp_path / "out"
    words = ["compare", *files, "--json", "--rounds", 40]
    done = invoke(capsys, *words, "--out", out)
    assert (done.code, done.err) == (0, [f"aasist: report in {out / 'comparison.html'}"])
    assert {path.name for path in out.iterdir()} == {"comparison.html", "comparison.md", "comparison.json"}
    said, written = json.loads(done.out), json.loads((out / "comparison.json").read_text())
    assert {key: written[key] for key in said} == said
    assert (said["bonafide"], said["spoof"], said["speakers"]) == (60, 80, None)
    assert said == invoke(capsys, *words).json
    page, text = (out / "comparison.html").read_text(), (out / "comparison.md").read_text()
    # Files of one name are told apart by their folders.
    assert page.count("<svg") == 1
    curves = page[page.index("<svg") : page.index("</svg>")]
    for name, trials in (("good", made()), ("bad", made(noise=4.0))):
        rate = f"{100 * eer(*of(trials)):.2f}"
        assert rate in text
        assert f"{name}: EER {rate} %" in curves
    assert "# good against bad" in text
    assert "<script" not in page
    assert "With 0 outside the interval, good is better by EER" in text


def test_a_report_without_a_place_is_refused_before_anything_is_read_and_others_are_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, out = four_columns(tmp_path / "a.txt", made()), tmp_path / "out"
    out.write_text("mine")
    assert "is a file, a folder was wanted" in invoke(capsys, "compare", "none", "none", "--out", out).complaint
    assert out.read_text() == "mine"
    out.unlink()
    invoke(capsys, "metrics", scores, "--rounds", 0, "--out", out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert invoke(capsys, "compare", scores, scores, "--rounds", 3, "--out", out).code == 0
    assert {name: (out / name).read_bytes() for name in before} == before


def test_without_a_protocol_columns_of_the_first_file_pick_and_resample(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = tmp_path / "a.tsv", two_columns(tmp_path / "b.txt", made(noise=1.0))
    rows = (f"{t.name}\t{t.key}\tS_{n % 10}\t{n % 2}\t{t.score!r}" for n, t in enumerate(made()))
    write_lines(a, ["id\tlabel\tspeaker\thalf\tscore", *rows])
    found = invoke(capsys, "compare", a, b, "--json", "--rounds", 3).json
    assert (found["speakers"], found["by_speaker"]) == (10, {"bonafide": True, "spoof": True})
    half = invoke(capsys, "compare", a, b, "--json", "--rounds", 3, "--where", "half=1").json
    assert (half["figures"]["eer"]["a"], half["figures"]["eer"]["b"]) == (
        eer(*of(made()[1::2])),
        eer(*of(made(noise=1.0)[1::2])),
    )
