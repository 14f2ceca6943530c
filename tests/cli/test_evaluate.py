"""``aasist evaluate`` in this process: from a corpus in its authors' layout to figures, stress table and report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from aasist.evaluation.det import eer
from aasist.protocol.corpora import CORPORA, read_corpus
from aasist.protocol.scores import read_scores
from aasist.runtime.detector import Detector
from aasist.trials.conditions import CONDITIONS
from aasist.trials.scoring import by_first_window, score_trials

from ..corpora import Recording, asvspoof2019_la, write_audio, write_lines
from ..trials.test_scoring import SILENT, UNREADABLE, mini_copy, speech
from .test_metrics import Outcome, invoke

REPORT = {"scores.tsv", "metrics.json", "report.md", "report.html"}


@pytest.fixture(scope="module")
def root(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which everything can be scored."""
    return mini_copy(recording, tmp_path_factory.mktemp("LA"), damaged=False)


@pytest.fixture(scope="module")
def damaged(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which one trial is no audio, and one is silent."""
    return mini_copy(recording, tmp_path_factory.mktemp("damaged"))


@pytest.fixture
def evaluate(loudness_onnx: Path, capsys: pytest.CaptureFixture[str]):
    """Calls ``aasist evaluate`` with a model that scores loudness."""

    def call(*words: object, rounds: int = 5, threads: int = 2) -> Outcome:
        options = ["--model", loudness_onnx, "--rounds", rounds, "--threads", threads]
        return invoke(capsys, "evaluate", *options, *words)

    return call


def la(root: Path, *words: object) -> list[object]:
    return ["--corpus", "asvspoof2019-la", "--root", root, *words]


def manifest(root: Path, *lines: str) -> Path:
    """A manifest of our own in ``root``, with its header."""
    write_lines(root / "manifest.tsv", ["path\tlabel\tattack\tsource", *lines])
    return root / "manifest.tsv"


def test_a_challenge_is_scored_with_its_own_verification_scores_to_a_report(
    evaluate, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    done = evaluate(*la(root, "--json", "--out", out, "--by", "subset"))
    assert (done.code, done.err) == (0, [f"aasist: report in {out / 'report.html'}"])
    found = json.loads(done.out)
    assert (found["bonafide"], found["spoof"]) == (10, 12)
    assert 0 < found["eer"] < 0.5
    assert 0 < found["min_tdcf"] <= 1
    assert 0 < found["min_tdcf_legacy"] <= 1
    assert list(found["by_attack"]) == ["A07", "A08"]
    assert list(found["by"]["subset"]) == ["eval"]
    assert "stress" not in found

    assert {path.name for path in out.iterdir()} == REPORT
    written = json.loads((out / "metrics.json").read_text())
    assert {key: written[key] for key in found} == found
    assert written["report"]["title"] == "loudness on asvspoof2019-la"
    assert (written["model"]["name"], written["stress"], written["unscored"]) == ("loudness", [], [])


def test_the_scores_that_are_kept_come_to_the_same_figures_and_intervals(
    evaluate, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = [
        Recording(
            f"LA_E_{n:02}",
            speech(recording, n % 20, (1.0 if n < 12 else 0.5) * (1 + 0.2 * (n % 5))),
            "-" if n < 12 else f"A0{7 + n % 2}",
            f"LA_{n % 6:04}",
        )
        for n in range(24)
    ]
    root, out = asvspoof2019_la(tmp_path / "LA", {"eval": trials}), tmp_path / "out"
    found = json.loads(evaluate(*la(root, "--json", "--out", out, "--by", "speaker"), rounds=20).out)
    assert found["speakers"] == 6
    assert found["intervals"]["eer"][0] < found["intervals"]["eer"][1]
    assert (out / "scores.tsv").read_text().splitlines()[0] == "id\tlabel\tattack\tpath\tspeaker\tsubset\tscore"
    asv = root / "ASVspoof2019_LA_asv_scores" / "ASVspoof2019.LA.asv.eval.gi.trl.scores.txt"
    words = ["metrics", out / "scores.tsv", "--asv-scores", asv, "--rounds", 20, "--by", "speaker", "--json"]
    assert invoke(capsys, *words, "--threshold", found["choices"]["threshold"]).json == found


def test_rates_that_are_given_stand_before_the_scores_that_are_found(evaluate, root: Path) -> None:
    found = evaluate(*la(root, "--json", "--asv-rates", 0.5, 0.5, 0.5), rounds=0).json
    assert found["asv"] == {"miss": 0.5, "false_acceptance": 0.5, "spoof_false_acceptance": 0.5}


def test_the_same_figures_come_from_any_number_of_threads(evaluate, root: Path) -> None:
    assert evaluate(*la(root, "--json"), threads=1).json == evaluate(*la(root, "--json"), threads=3).json


def test_the_first_window_is_scored_as_the_published_code_does(evaluate, root: Path, loudness_onnx: Path) -> None:
    trials = read_corpus("asvspoof2019-la", root)
    llrs = score_trials(trials, root, by_first_window(Detector(loudness_onnx, threads=1))).llrs
    assert trials.bonafide is not None
    found = evaluate(*la(root, "--json", "--first-window"), rounds=0).json
    assert found["eer"] == eer(llrs[trials.bonafide], llrs[~trials.bonafide])
    assert found["cllr"] != evaluate(*la(root, "--json"), rounds=0).json["cllr"]


@pytest.mark.parametrize("first_window", [False, True])
def test_stress_adds_a_row_a_condition_of_which_clean_has_the_error_of_the_whole(
    first_window: bool, evaluate, root: Path, tmp_path: Path
) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    words = ["--stress", "--condition", "phone-mulaw", "--condition", "gain-20db", "--json", "--cache", cache]
    done = evaluate(*la(root, "--out", out, *words, *["--first-window"] * first_window))
    assert done.code == 0, done
    found = json.loads(done.out)
    assert [row["condition"] for row in found["stress"]] == ["clean", "gain-20db", "phone-mulaw"]
    clean, gain, phone = found["stress"]
    assert (clean["eer"], clean["change"], clean["unscored"]) == (found["eer"], 0.0, 0)
    assert gain["change"] == gain["eer"] - clean["eer"]
    assert phone["unavailable"] is None
    written = json.loads((out / "metrics.json").read_text())
    assert (written["stress"], written["worst_condition"]) == (found["stress"], found["worst_condition"])
    changes = {row["condition"]: row["change"] for row in found["stress"]}
    assert found["worst_condition"] in (max(changes, key=lambda name: changes[name]), None)
    assert "phone-mulaw" in (out / "report.md").read_text()
    assert len(list(cache.glob("*.npy"))) == 22  # of the costly one


def test_tables_for_people_hold_figures_attacks_and_stress(evaluate, root: Path) -> None:
    shown = evaluate(*la(root, "--stress", "--condition", "gain+6db"), rounds=0)
    assert (shown.code, shown.err) == (0, [])
    starts = [line.split()[0] for line in shown.out.splitlines() if line]
    assert [
        word for word in starts if word in ("figure", "EER", "attack", "A07", "condition", "clean", "gain+6db")
    ] == ["figure", "EER", "attack", "A07", "condition", "clean", "gain+6db"]


def test_recordings_that_cannot_be_scored_are_counted_listed_and_take_no_part(
    evaluate, damaged: Path, root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = evaluate(*la(damaged, "--json", "--out", out), rounds=0)
    assert done.code == 1  # one of them is no audio: some file failed
    assert len(done.err) == 2
    assert done.err[0].startswith(
        f"aasist: 2 of 24 trials could not be scored and take no part; the first, {UNREADABLE}: "
    )
    found = json.loads(done.out)
    whole = evaluate(*la(root, "--json"), rounds=0).json
    assert {key: found[key] for key in ("bonafide", "spoof", "eer", "min_tdcf")} == {
        key: whole[key] for key in ("bonafide", "spoof", "eer", "min_tdcf")
    }
    unscored = json.loads((out / "metrics.json").read_text())["unscored"]
    assert [entry["trial"] for entry in unscored] == [UNREADABLE, SILENT]
    assert all(entry["reason"] for entry in unscored)
    report = (out / "report.md").read_text()
    assert "## Without a score: 2" in report
    assert UNREADABLE in report
    assert {UNREADABLE, SILENT}.isdisjoint(read_scores(out / "scores.tsv").ids.tolist())


def test_silence_alone_is_no_failure(evaluate, damaged: Path, recording: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(damaged, copy)
    path = copy / "ASVspoof2019_LA_eval" / "flac" / f"{UNREADABLE}.flac"
    write_audio(path, speech(recording, 3, 0.5))
    done = evaluate(*la(copy, "--json"), rounds=0)
    assert done.code == 0
    assert [line.partition(";")[0] for line in done.err] == [
        "aasist: 1 of 24 trials could not be scored and take no part"
    ]


def test_folders_and_a_manifest_of_the_same_recordings_have_the_same_error(
    evaluate, recording: Path, tmp_path: Path
) -> None:
    lines = []
    for number in range(8):
        label, gain = ("bonafide", 1.0) if number % 2 else ("spoof", 0.9)
        path = f"{label}/{'vits/' * (1 - number % 2)}{number}.wav"
        write_audio(tmp_path / path, speech(recording, number, gain))
        lines.append(f"{path}\t{label}\t{'-' if number % 2 else 'vits'}\t{'ab'[number // 4]}")
    file = manifest(tmp_path, *lines)
    few = "bona fide trials: 4, spoofs: 4;"
    folders = evaluate("--corpus", "folders", "--root", tmp_path, "--json", rounds=0).json_with(few)
    for place in (file, tmp_path):
        found = evaluate("--corpus", "manifest", "--root", place, "--json", "--by", "source", rounds=0).json_with(few)
        assert found["by_attack"] == folders["by_attack"]
        assert list(found["by"]["source"]) == ["a", "b"]
    assert list(folders["by_attack"]) == ["vits"]


def test_what_decided_in_the_worst_trials_is_drawn_in_the_report(evaluate, root: Path, tmp_path: Path) -> None:
    done = evaluate(*la(root, "--out", tmp_path / "out", "--explain", 1, "--threshold", 0.3), rounds=0)
    assert done.code == 0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "bona fide, called spoof with llr" in page
    assert "spoof, called bona fide with llr" in page
    assert page.count("data:image/png;base64") == 2


def test_the_list_names_every_corpus_with_its_subsets_and_every_condition(
    capsys: pytest.CaptureFixture[str],
) -> None:
    shown = invoke(capsys, "evaluate", "--list")
    assert (shown.code, shown.err) == (0, [])
    assert {*CORPORA, *CONDITIONS} <= {line.split()[0] for line in shown.out.splitlines()}
    assert "ASVspoof 2021 DF: progress, eval, hidden, all" in shown.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--corpus", "asvspoof1999"], "no corpus 'asvspoof1999'; there are asvspoof2015, "),
        (["--subset", "test"], "has no subset 'test'; it has train, dev, eval"),
        (["--subset", "dev"], "ASVspoof 2019 LA, subset dev: expected ASVspoof2019_LA_cm_protocols/"),
        (["--by", "codec"], "no column 'codec' for --by; there are: path, speaker, attack, subset"),
        (["--corpus", "manifest"], "expected manifest.tsv"),
        (["--corpus", "folders"], "expected folders bonafide and spoof"),
        (["--asv-scores", "none.txt"], "none.txt: no such file"),
        (["--model", "nobody"], "no such model: 'nobody'"),
    ],
)
def test_what_is_not_there_is_named_before_anything_is_scored(
    words: list[str], said: str, evaluate, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aasist.trials.scoring.score_trials", lambda *_, **__: pytest.fail("scored"))
    out = tmp_path / "out"
    assert said in evaluate(*la(root), "--out", out, *words).complaint
    assert not out.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--stress", "--condition", "moon"], "no condition 'moon'; there are: clean, "),
        (["--condition", "mp3-32"], "--condition picks among the conditions of --stress"),
        (["--cache", "somewhere"], "--cache keeps the audio of --stress"),
        (["--explain", "1"], "--explain draws into the report: give --out too"),
        (["--explain", "1", "--first-window", "--out", "out"], "leave --first-window or --explain out"),
        (["--threshold", "inf"], "--threshold must be a finite number"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(
    words: list[str], said: str, evaluate, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in evaluate(*la(root), *words).misuse
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [[], ["--corpus", "folders"], ["--root", "somewhere"]])
def test_without_a_corpus_and_its_place_the_list_is_pointed_to(words: list[str], evaluate) -> None:
    assert "aasist evaluate --list names the corpora" in evaluate(*words).misuse


@pytest.mark.parametrize(
    ("lines", "where", "said"),
    [
        (["a.wav\tfake\t-\t-"], ":2", "the label must be 'bonafide' or 'spoof', got 'fake'"),
        (["a.wav\tspoof\tA\tx", "b.wav\tbonafide"], ":3", "expected 4 columns as in the header"),
        (["a.wav\tspoof\tA\tx", "a.wav\tspoof\tA\tx"], ":3", "trial 'a' stands on line 2 already"),
        (["a.wav\tspoof\tA\tx", "b.wav\tspoof\tA\tx"], "", "none of 2 trials is bona fide"),
        (["a.wav\tbonafide\t-\tx", "b.wav\tbonafide\t-\tx"], "", "none of 2 trials is spoofed"),
        (["a.wav\tbonafide\t-\tx", "b.wav\tspoof\tA\tx"], "", "no trial could be scored; the first, a: "),
    ],
    ids=["label", "columns", "twice", "no bona fide", "no spoof", "no audio at all"],
)
def test_a_manifest_that_cannot_be_used_is_one_line_that_names_file_and_line(
    lines: list[str], where: str, said: str, evaluate, tmp_path: Path
) -> None:
    file = manifest(tmp_path, *lines)
    complaint = evaluate("--corpus", "manifest", "--root", file, "--out", tmp_path / "out").complaint
    assert complaint.startswith(f"{file}{where}: "), complaint
    assert said in complaint
    assert {path.name for path in tmp_path.iterdir()} == {"manifest.tsv"}


def test_a_manifest_without_a_key_or_without_paths_says_so(evaluate, tmp_path: Path) -> None:
    file = tmp_path / "manifest.tsv"
    for header, row, said in (
        ("path", "a.wav", "it holds no key"),
        ("id\tlabel", "a\tspoof\nb\tbonafide", "no column 'path'"),
    ):
        write_lines(file, [header, row])
        complaint = evaluate("--corpus", "manifest", "--root", file).complaint
        assert complaint.startswith(f"{file}: ")
        assert said in complaint


def test_where_only_one_class_can_be_scored_the_error_says_which_is_missing(
    evaluate, recording: Path, tmp_path: Path
) -> None:
    write_audio(tmp_path / "a.wav", speech(recording, 0, 1.0))
    file = manifest(tmp_path, "a.wav\tbonafide\t-\tx", "b.wav\tspoof\tA\tx")
    done = evaluate("--corpus", "manifest", "--root", file, "--out", tmp_path / "out")
    assert (done.code, done.out) == (1, "")
    assert done.err[0].startswith("aasist: 1 of 2 trials could not be scored")
    assert done.err[1].startswith(f"aasist: {file}: none of 1 trials that could be scored is spoofed")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["", "scores.tsv", "report.html"])
def test_a_report_without_a_place_is_refused_before_anything_is_scored(
    name: str, evaluate, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aasist.trials.scoring.score_trials", lambda *_, **__: pytest.fail("scored"))
    out = tmp_path / "out"
    if name:
        (out / name).mkdir(parents=True)
    else:
        out.write_text("mine")
    assert str(out) in evaluate(*la(root), "--out", out).complaint
    assert [path.name for path in tmp_path.rglob("*")] == ["out", *([name] if name else [])]


def test_an_id_that_no_score_file_can_hold_is_refused_before_anything_is_scored(
    evaluate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aasist.trials.scoring.score_trials", lambda *_, **__: pytest.fail("scored"))
    for name in ("bonafide/a\tb.wav", "spoof/c.wav"):
        write_audio(tmp_path / name, np.zeros(100, np.float32))
    complaint = evaluate("--corpus", "folders", "--root", tmp_path, "--out", tmp_path / "out").complaint
    assert r"'bonafide/a\tb' cannot be written" in complaint


def test_a_cache_that_cannot_be_used_is_refused_before_anything_is_scored(
    evaluate, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aasist.trials.scoring.score_trials", lambda *_, **__: pytest.fail("scored"))
    (tmp_path / "file").write_text("")
    complaint = evaluate(*la(root), "--stress", "--cache", tmp_path / "file" / "cache").complaint
    assert complaint.startswith(f"{tmp_path / 'file' / 'cache'}: the cache of degraded audio cannot be used")
