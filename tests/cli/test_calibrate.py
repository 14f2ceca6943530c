"""``aasist calibrate`` in this process: of a score file, and of a model on labelled recordings."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from aasist.cli.calibrate import for_development
from aasist.cli.options import CorpusOptions
from aasist.evaluation.calibration import cllr, min_cllr
from aasist.evaluation.det import eer
from aasist.protocol.scores import read_scores
from aasist.runtime import modelfile
from aasist.runtime.detector import Detector
from aasist.runtime.modelfile import Calibration

from ..corpora import Recording, asvspoof2019_la, write_lines
from ..trials.test_scoring import mini_copy, speech
from .test_metrics import four_columns, invoke, made, of, protocol_2019, two_columns

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def root(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini_copy(recording, tmp_path_factory.mktemp("LA"), damaged=False)


def la(root: Path, model: Path | str) -> list[object]:
    return ["--corpus", "asvspoof2019-la", "--root", root, "--subset", "eval", "--model", model, "--threads", 2]


@pytest.mark.parametrize("protocol", [True, False])
def test_scores_become_llr_that_cost_less_and_have_the_same_error(
    protocol: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials, output = [trial._replace(score=5 * trial.score + 30) for trial in made()], tmp_path / "llr.tsv"
    if protocol:
        words = [two_columns(tmp_path / "raw.txt", trials), "--protocol", protocol_2019(tmp_path / "key.txt", trials)]
    else:
        words = [four_columns(tmp_path / "raw.txt", trials)]
    found = invoke(capsys, "calibrate", *words, "-o", output, "--json").json
    assert (found["bonafide"], found["spoof"]) == (60, 80)
    assert found["cllr_before"] == cllr(*of(trials))
    assert found["min_cllr"] == pytest.approx(min_cllr(*of(trials)))
    assert found["min_cllr"] <= found["cllr_after"] < 1 < found["cllr_before"]

    written = read_scores(output)
    expected = [found["slope"] * trial.score + found["offset"] for trial in trials]
    assert dict(zip(written.ids.tolist(), written.values.tolist(), strict=True)) == pytest.approx(
        dict(zip((trial.name for trial in trials), expected, strict=True))
    )
    after = invoke(capsys, "metrics", output, "--json", "--rounds", 0).json
    assert after["eer"] == pytest.approx(eer(*of(trials)), abs=0)
    assert after["cllr"] == pytest.approx(found["cllr_after"])
    assert list(after["by_attack"]) == ["A01", "A02"]
    # What is calibrated stays as it is.
    again = invoke(capsys, "calibrate", output, "--json").json
    assert (again["slope"], again["offset"]) == pytest.approx((1.0, 0.0), abs=1e-3)


def test_a_map_is_made_to_carry_over_to_sources_that_were_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, lines = tmp_path / "scores.tsv", ["id\tlabel\tsource\tscore"]
    for source, shift in enumerate((-2.0, -0.5, 0.5, 2.0)):
        lines += [f"b{source}{n}\tbonafide\ts{source}\t{2.0 + shift + n / 10}" for n in range(8)]
        lines += [f"f{source}{n}\tspoof\ts{source}\t{-1.0 + shift + n / 5}" for n in range(8)]
    write_lines(scores, lines)
    plain = invoke(capsys, "calibrate", scores, "--json").json
    found = invoke(capsys, "calibrate", scores, "--carry-over", "source", "--json").json
    assert plain["carry_over"] is None
    assert found["carry_over"]["groups"] == 4
    assert found["slope"] == found["carry_over"]["slope"] < plain["slope"]
    assert found["carry_over"]["carried_cllr"] < found["carry_over"]["left_out_cllr"]
    assert "bits on each of 4 values of source" in invoke(capsys, "calibrate", scores, "--carry-over", "source").out
    missing = invoke(capsys, "calibrate", scores, "--carry-over", "page").complaint
    assert missing.startswith(f"{scores}: no column 'page' to carry over; there are: "), missing


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        ([], "least cost at a spoof prior of 0.5, a miss 1, an acceptance 1"),
        (["--spoof-prior", 0.05, "--acceptance-cost", 10], "least cost at a spoof prior of 0.05, a miss 1, an acceptance 10"),
        (["--point", "eer"], "equal error rates"),
        (["--point", "miss", "--most-missed", 0.2], "at most 20 % of bona fide rejected"),
    ],
)  # fmt: skip
def test_the_threshold_is_chosen_by_the_rule_that_is_asked_for(
    words: list[object], rule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores, output = four_columns(tmp_path / "raw.txt", made()), tmp_path / "llr.tsv"
    point = invoke(capsys, "calibrate", scores, "-o", output, "--json", *words).json["operating_point"]
    assert point["rule"] == rule
    written = read_scores(output)
    assert written.bonafide is not None
    accepted = written.values >= point["threshold"]
    assert point["miss"] == pytest.approx((~accepted[written.bonafide]).mean())
    assert point["false_acceptance"] == pytest.approx(accepted[~written.bonafide].mean())
    if "cost" in rule:
        assert point["threshold"] == pytest.approx(0.0 if not words else np.log(10 * 0.05 / 0.95))
    elif "equal" in rule:
        assert (point["miss"] + point["false_acceptance"]) / 2 == pytest.approx(eer(*of(made())))
    else:
        assert 0.1 < point["miss"] <= 0.2


def test_a_model_becomes_a_file_of_your_own_with_map_and_threshold_inside(
    root: Path, loudness_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, reports = tmp_path / "mine.onnx", [tmp_path / "before", tmp_path / "after"]
    found = invoke(capsys, "calibrate", *la(root, loudness_onnx), "-o", output, "--point", "eer", "--json").json
    old, new = modelfile.read(loudness_onnx)[1], modelfile.read(output)[1]
    assert old.calibration is not None
    slope, offset = found["slope"], found["offset"]
    assert new.calibration == Calibration(slope * old.calibration.slope, slope * old.calibration.offset + offset)
    assert new.name == "loudness-calibrated"
    assert new.threshold == found["operating_point"]["threshold"]
    assert new.operating_point.startswith("equal error rates: ")

    for model, report in zip((loudness_onnx, output), reports, strict=True):
        words = ["--corpus", "asvspoof2019-la", "--root", root, "--model", model, "--rounds", 0, "--out", report]
        assert invoke(capsys, "evaluate", *words, "--threshold", new.threshold).code == 0
    before, after = (json.loads((report / "metrics.json").read_text()) for report in reports)
    assert after["eer"] == before["eer"]
    assert after["cllr"] <= before["cllr"] + 1e-9
    assert after["cllr"] == pytest.approx(found["cllr_after"])
    # The rates that were promised are those that it has when it scores anew.
    assert (after["miss"], after["false_acceptance"]) == (
        found["operating_point"]["miss"],
        found["operating_point"]["false_acceptance"],
    )
    detector = Detector(output)
    assert detector.threshold == new.threshold
    path = next((root / "ASVspoof2019_LA_eval" / "flac").iterdir())
    llr, was = detector.detect(path).llr, Detector(loudness_onnx).detect(path).llr
    assert was is not None
    assert llr == pytest.approx(slope * was + offset)

    # A second time the map is the identity, and the name does not grow.
    again = tmp_path / "again.onnx"
    assert invoke(capsys, "calibrate", *la(root, output), "-o", again, "--json").json["slope"] == pytest.approx(
        1, abs=0.01
    )
    assert modelfile.read(again)[1].name == "loudness-calibrated"


def test_copies_under_conditions_take_part_in_the_fit(
    root: Path, loudness_onnx: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = invoke(capsys, "calibrate", *la(root, loudness_onnx), "--json").json
    words = ["--condition", "gain-20db", "--condition", "gain+6db"]
    found = invoke(capsys, "calibrate", *la(root, loudness_onnx), *words, "--json").json
    assert (clean["conditions"], found["conditions"]) == ([], ["gain-20db", "gain+6db"])
    assert (found["bonafide"], found["spoof"]) == (
        clean["bonafide"],
        clean["spoof"],
    )  # recordings, however often scored
    # A model that hears loudness alone is worth less where the level was changed.
    assert found["cllr_after"] > clean["cllr_after"] + 0.05
    said = invoke(capsys, "calibrate", *la(root, loudness_onnx), *words).out
    assert "as they are and under gain-20db, gain+6db" in said
    refused = invoke(capsys, "calibrate", *la(root, loudness_onnx), "--condition", "gain")
    assert refused.code == 2 and "no condition 'gain'; there are: clean, " in " ".join(refused.err)


def test_a_condition_that_cannot_be_applied_here_is_told_before_anything_is_scored(
    root: Path, loudness_onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("aasist.audio.encode.missing", lambda codec: "no encoder for it")
    monkeypatch.setattr("aasist.cli.scoring.scored_trials", None)
    refused = invoke(capsys, "calibrate", *la(root, loudness_onnx), "--condition", "mp3-64")
    assert (refused.code, refused.err) == (1, ["aasist: mp3-64: no encoder for it"])


def test_a_condition_needs_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused = invoke(capsys, "calibrate", four_columns(tmp_path / "raw.txt", made()), "--condition", "mp3-64")
    assert refused.code == 2 and "--condition go with --model" in " ".join(refused.err)


def test_the_points_of_a_calibrated_model_are_thresholds_of_detect_by_name(
    root: Path, loudness_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mine.onnx"
    found = invoke(capsys, "calibrate", *la(root, loudness_onnx), "-o", output, "--json").json
    (point,) = [point for point in found["points"] if point["name"] == "eer"]
    path = next((root / "ASVspoof2019_LA_eval" / "flac").iterdir())
    verdict = invoke(capsys, "detect", "--json", "--model", output, "--threshold", "eer", path).json
    assert verdict["threshold"] == point["threshold"] != 0
    assert Detector(output, threshold="eer").threshold == point["threshold"]
    refused = invoke(capsys, "detect", "--model", output, "--threshold", "miss-7", path)
    assert refused.code == 2 and "has no operating point 'miss-7'; it has eer" in " ".join(refused.err)


def test_a_challenge_is_calibrated_on_its_part_for_development_which_evaluate_does_not_take(
    recording: Path, loudness_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subsets = {
        name: [
            Recording(f"{name}_{n}", speech(recording, n, (1.0, 0.5)[n % 2] * (1 + 0.3 * (n % 3))), ("-", "A07")[n % 2])
            for n in range(count)
        ]
        for name, count in (("dev", 6), ("eval", 8))
    }
    root = asvspoof2019_la(tmp_path / "LA", subsets)
    words = ["calibrate", "--corpus", "asvspoof2019-la", "--root", root, "--model", loudness_onnx]
    found = invoke(capsys, *words, "--json").json_with("bona fide trials: 3, spoofs: 3;")
    assert (found["subset"], found["bonafide"], found["spoof"]) == ("dev", 3, 3)
    assert "from 3 bona fide and 3 spoofs of dev" in invoke(capsys, *words).out
    asked = invoke(capsys, *words, "--json", "--subset", "eval").json_with("bona fide trials: 4, spoofs: 4;")
    assert (asked["subset"], asked["bonafide"], asked["spoof"]) == ("eval", 4, 4)


@pytest.mark.parametrize(
    ("corpus", "subset"),
    [
        ("asvspoof5", "dev"),
        ("asvspoof2021-df", "progress"),
        ("fake-or-real", "validation"),
        ("decro", "en_dev"),
        ("in-the-wild", None),
        ("folders", None),
    ],
)
def test_what_challenges_call_the_part_for_development_is_known(corpus: str, subset: str | None) -> None:
    assert for_development(CorpusOptions(corpus, Path(), None)).subset == subset
    assert for_development(CorpusOptions(corpus, Path(), "eval")).subset == "eval"


@pytest.mark.parametrize(
    ("subsets", "taken"),
    [(("train", "dev", "test"), "dev"), (("test", "validation"), "validation"), (("", ""), None)],
)
def test_of_a_manifest_the_subset_for_choosing_is_taken(
    tmp_path: Path, subsets: tuple[str, ...], taken: str | None
) -> None:
    assert for_development(CorpusOptions("manifest", a_manifest(tmp_path, subsets), None)).subset == taken
    assert for_development(CorpusOptions("manifest", tmp_path / "manifest.tsv", "test")).subset == "test"


def test_a_manifest_without_a_subset_for_choosing_is_not_taken_whole(
    loudness_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["calibrate", "--model", loudness_onnx, "--corpus", "manifest", "--root"]
    refused = invoke(capsys, *words, a_manifest(tmp_path, ("train", "test")))
    said = " ".join(refused.err)
    assert refused.code == 2 and "There is no 'dev', but train, test: name one by --subset (train)" in said
    refused = invoke(capsys, *words, a_manifest(tmp_path, ("eval", "test")))
    assert refused.code == 2 and "those for evaluation would bend the measure" in " ".join(refused.err)


def a_manifest(folder: Path, subsets: tuple[str, ...]) -> Path:
    """A manifest of a trial in each subset, whose recordings are not there."""
    path = folder / "manifest.tsv"
    lines = [f"{n}\tbonafide\t{n}.wav\t{subset}" for n, subset in enumerate(subsets)]
    path.write_text("\n".join(["id\tlabel\tpath\tsubset", *lines]) + "\n")
    return path


def test_a_shipped_model_is_calibrated_by_its_name(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for label, path in (("bonafide", recording), ("spoof", recording.with_name("spoof-kokoro-en.m4a"))):
        (tmp_path / label).mkdir()
        shutil.copy(path, tmp_path / label)
    words = ["--corpus", "folders", "--root", tmp_path, "--model", "efficient", "-o", tmp_path / "mine.onnx"]
    made = invoke(capsys, "calibrate", *words, "--point", "eer", "--json").json_with("bona fide trials: 1, spoofs: 1;")
    assert made["bonafide"] == 1
    mine = Detector(tmp_path / "mine.onnx")
    assert mine.notes.name == "efficient-calibrated"
    assert [mine.detect(next((tmp_path / label).iterdir())).label for label in ("bonafide", "spoof")] == [
        "bonafide",
        "spoof",
    ]


def test_a_picture_shows_before_and_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores, plot = four_columns(tmp_path / "raw.txt", made()), tmp_path / "plot.png"
    shown = invoke(capsys, "calibrate", scores, "--plot", plot)
    assert (shown.code, shown.err) == (0, [])
    assert plot.read_bytes().startswith(PNG)
    lines = shown.out.splitlines()
    assert lines[0].startswith("llr = ")
    assert lines[0].endswith(", from 60 bona fide and 80 spoofs")
    assert lines[1].startswith("Cllr ")
    assert lines[2].startswith("threshold 0.0000 on llr; least cost at ")
    assert {path.name for path in tmp_path.iterdir()} == {"raw.txt", "plot.png"}


def test_recordings_that_cannot_be_read_are_counted(
    recording: Path, loudness_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mine.onnx"
    done = invoke(capsys, "calibrate", *la(mini_copy(recording, tmp_path / "LA"), loudness_onnx), "-o", output)
    assert done.code == 1
    assert [line.partition(";")[0] for line in done.err] == [
        "aasist: 2 of 24 trials could not be scored and take no part"
    ]
    assert output.exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give a score file, or --model with --corpus and --root"),
        (["SCORES", "--model", "efficient"], "give a score file, or --model with --corpus and --root"),
        (["SCORES", "--corpus", "folders"], "go with --model; a score file takes --protocol"),
        (["SCORES", "--subset", "dev"], "go with --model; a score file takes --protocol"),
        (["--model", "efficient", "--protocol", "SCORES"], "go with a score file; a model takes --corpus and --root"),
        (["--model", "efficient", "--where", "a=b"], "go with a score file; a model takes --corpus and --root"),
        (["--model", "efficient"], "Give --corpus and --root"),
        (["SCORES", "--miss-cost", "0"], "--miss-cost and --acceptance-cost must be above 0"),
        (["SCORES", "--acceptance-cost", "-1"], "--miss-cost and --acceptance-cost must be above 0"),
        (["SCORES", "--miss-cost", "inf"], "must be a finite number"),
        (["SCORES", "--spoof-prior", "1"], "spoof_prior must lie between 0 and 1"),
        (["SCORES", "--most-missed", "1"], "--most-missed must be from 0 to below 1"),
        (["SCORES", "-o", "SCORES"], "is what was given: it would be replaced"),
        (["SCORES", "--plot", "SCORES"], "is what was given: it would be replaced"),
        (["SCORES", "-o", "new", "--plot", "./new"], "-o and --plot both name"),
        (["SCORES", "-o", "."], "it is a folder"),
        (["SCORES", "-o", "none/mine.tsv"], "no such folder, or no permission"),
        (["SCORES", "--plot", "none/plot.png"], "no such folder, or no permission"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage_and_nothing_is_written(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scores = four_columns(tmp_path / "scores.txt", made())
    content = scores.read_bytes()
    assert said in invoke(capsys, "calibrate", *(str(scores) if word == "SCORES" else word for word in words)).misuse
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"scores.txt": content}


def test_the_model_that_is_calibrated_is_not_replaced(
    root: Path, loudness_onnx: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = loudness_onnx.read_bytes()
    assert "would be replaced" in invoke(capsys, "calibrate", *la(root, loudness_onnx), "-o", loudness_onnx).misuse
    assert loudness_onnx.read_bytes() == before


def test_a_checkpoint_is_refused_before_anything_is_scored(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "model.safetensors"
    checkpoint.write_bytes(b"")
    complaint = invoke(capsys, "calibrate", *la(root, checkpoint), "-o", tmp_path / "mine.onnx").complaint
    assert complaint.startswith(f"{checkpoint}: a checkpoint holds no calibration; export it first")


@pytest.mark.parametrize(
    ("lines", "where", "said"),
    [
        (["a - bonafide 1", "b A01 spoof x"], ":2", "the score must be a number, got 'x'"),
        (["a - bonafide 1", "b A01 spoof nan"], ":2", "the score must be a finite number"),
        (["a - human 1", "b A01 spoof 0"], ":1", "must be 'bonafide' or 'spoof', got 'human'"),
        (["a - bonafide 1", "a A01 spoof 0"], ":2", "trial 'a' stands on line 1 already"),
        (["a - bonafide 1"], "", "none of 1 trials is spoofed: an error rate needs trials of both classes"),
        (["a - bonafide 0", "b A01 spoof 1"], "", "bona fide trials score no higher than spoofs"),
        (["a 1", "b 0"], "", "the score file holds no key"),
    ],
)
def test_scores_that_cannot_be_calibrated_are_one_line_that_names_file_and_line(
    lines: list[str], where: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = tmp_path / "scores.txt"
    write_lines(scores, lines)
    words = ["-o", tmp_path / "llr.tsv", "--plot", tmp_path / "plot.png"]
    complaint = invoke(capsys, "calibrate", scores, *words).complaint
    assert complaint.startswith(f"{scores}{where}: "), complaint
    assert said in complaint
    assert {path.name for path in tmp_path.iterdir()} == {"scores.txt"}


def test_errors_of_scores_with_a_protocol_name_the_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials = [trial._replace(score=-trial.score) for trial in made()]
    scores, key = two_columns(tmp_path / "scores.txt", trials), protocol_2019(tmp_path / "key.txt", trials)
    complaint = invoke(capsys, "calibrate", scores, "--protocol", key).complaint
    assert complaint.startswith(f"{scores}: bona fide trials score no higher")


def test_a_map_fitted_to_few_is_said_to_be_too_sure_and_what_was_written_is_named(
    root: Path, loudness_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "mine.onnx"
    done = invoke(capsys, "calibrate", *la(root, loudness_onnx), "-o", output)
    assert done.out.splitlines()[-1] == f"{output}: the calibrated model"
    assert "calibrated model" not in invoke(capsys, "calibrate", *la(root, loudness_onnx)).out

    scores, llrs = four_columns(tmp_path / "raw.txt", made()), tmp_path / "llr.tsv"
    done = invoke(capsys, "calibrate", scores, "-o", llrs)
    assert done.out.splitlines()[-1] == f"{llrs}: the calibrated scores"
    assert not done.err
    assert invoke(capsys, "calibrate", scores, "-o", llrs, "--json").json["output"] == str(llrs)
    assert invoke(capsys, "calibrate", scores, "--json").json["output"] is None

    few = tmp_path / "few.tsv"
    values = {"b1": 1.0, "b2": 2.0, "b3": 0.4, "f1": -1.0, "f2": 0.0, "f3": 1.2}
    lines = [f"{name}\t{'bonafide' if name[0] == 'b' else 'spoof'}\t{value}" for name, value in values.items()]
    write_lines(few, ["id\tlabel\tscore", *lines])
    (caution,) = invoke(capsys, "calibrate", few).err
    assert "bona fide trials: 3, spoofs: 3;" in caution
    assert "A map that is fitted to so few is likely too sure of itself" in caution
