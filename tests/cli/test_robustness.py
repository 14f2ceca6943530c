"""``aasist robustness`` in this process: its table, its JSON, and what is refused before any hour is spent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from aasist.model import checkpoint
from aasist.model.aasist import Aasist

from ..trials.test_scoring import mini_copy
from .test_metrics import Outcome, invoke


@pytest.fixture(autouse=True)
def own_threads(same_threads: None) -> None:
    """The verb sets torch's threads for the whole process."""


@pytest.fixture(scope="module")
def root(recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return mini_copy(recording, tmp_path_factory.mktemp("LA"), damaged=False)


@pytest.fixture(scope="module")
def saved(small_model: Aasist, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("robustness") / "small.safetensors"
    checkpoint.save(small_model, path)
    return path


@pytest.fixture
def robustness(saved: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[object]:
    def call(*words: object, models: tuple[object, ...] = (saved,), data: Path = root) -> Outcome:
        given = ["--corpus", "asvspoof2019-la", "--root", data, "--rounds", 5, "--threads", 1]
        return invoke(capsys, "robustness", *models, *given, *words)

    yield call


def test_a_table_says_clean_and_robust_error_of_each_model_and_that_the_attacker_knows_all(
    robustness, saved: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    other.write_bytes(saved.read_bytes())
    done = robustness("--attack", "fgsm", "--snr", 40, "--snr", 60, "--most", 4, models=(saved, other))
    assert (done.code, done.err) == (0, [])
    head, *rows = done.out.split("\n\n")[0].splitlines()
    assert "EER, % (95 % interval)" in head
    assert [line.split()[1] for line in rows] == 2 * ["clean", "fgsm-60db", "fgsm-40db"]
    assert {line.split()[0] for line in rows} == {str(saved), str(other)}
    assert rows[0].split()[1:] == rows[3].split()[1:], "the same model on the same trials"
    assert "White-box fgsm: the attacker has the weights" in done.out


def test_json_is_an_object_a_model_with_rates_as_fractions(robustness, saved: Path) -> None:
    done = robustness("--steps", 2, "--snr", 30, "--most", 5, "--json", "--seed", 3)
    (line,) = done.out.splitlines()
    found = json.loads(line)
    assert found["model"]["name"] == str(saved)
    assert len(found["model"]["sha256"]) == 64
    assert found["attack"] == {"kind": "pgd", "steps": 2, "seed": 3, "knows": "weights"}
    assert (found["trials"], found["without_gradient"], found["unscored"]) == (10, 0, {})
    clean, attacked = found["rows"]
    assert (clean["snr_db"], attacked["snr_db"]) == (None, 30)
    assert 0 <= clean["eer"] <= attacked["eer"] <= 1
    assert attacked["change"] == pytest.approx(attacked["eer"] - clean["eer"])
    assert len(attacked["interval"]) == len(attacked["change_interval"]) == 2
    assert (attacked["bonafide"], attacked["spoof"]) == (5, 5)
    assert robustness("--steps", 2, "--snr", 30, "--most", 5, "--json", "--seed", 3).out == done.out


def test_without_rounds_there_are_no_intervals(robustness) -> None:
    done = robustness("--attack", "fgsm", "--snr", 40, "--most", 3, "--rounds", 0)
    assert "interval" not in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--snr", -3), "-3"),
        (("--snr", 500), "500"),
        (("--snr", "nan"), "nan"),
        (("--snr", 40, "--snr", 40), "--snr names a strength twice: 40, 40"),
        (("--attack", "fgsm", "--steps", 3), "--steps is of --attack pgd"),
        (("--attack", "carlini"), "carlini"),
        (("--most", 0), "0"),
    ],
)
def test_strengths_that_make_no_sense_are_refused(words: tuple[object, ...], said: str, robustness) -> None:
    done = robustness(*words)
    assert done.code == 2
    assert said in done.err[-1]


def test_models_that_show_no_gradient_or_are_not_there_are_refused(
    robustness, saved: Path, loudness_onnx: Path, tmp_path: Path
) -> None:
    done = robustness(models=(saved, loudness_onnx))
    assert done.code == 1
    assert "shows no gradient: give the checkpoint" in done.err[-1]
    done = robustness(models=(tmp_path / "none.safetensors",))
    assert done.code == 1
    assert "neither shipped" in done.err[-1]


def test_trials_of_one_class_are_refused(robustness, root: Path, tmp_path: Path, saved: Path, capsys) -> None:
    folder = root / "ASVspoof2019_LA_eval" / "flac"
    path = next(folder.glob("*.flac"))
    (tmp_path / "one.tsv").write_text(f"path\tlabel\n{path}\tbonafide\n")
    done = invoke(capsys, "robustness", saved, "--corpus", "manifest", "--root", tmp_path / "one.tsv")
    assert done.code == 1
    assert "none of 1 trials is spoofed" in done.err[-1]


def test_a_recording_that_cannot_be_read_is_named_and_the_others_are_done(
    robustness, recording: Path, tmp_path: Path
) -> None:
    damaged = mini_copy(recording, tmp_path)
    done = robustness("--attack", "fgsm", "--snr", 40, "--json", data=damaged)
    assert done.code == 1
    assert "2 of 24 trials could not be scored and take no part" in done.err[0]
    found = json.loads(done.out)
    assert set(found["unscored"]) == {"LA_E_90", "LA_E_91"}
    assert found["rows"][0]["bonafide"] == 10


def test_a_model_whose_scores_nothing_moves_is_said_to_be_no_sign_of_robustness(
    robustness, small_model: Aasist, tmp_path: Path
) -> None:
    import copy

    dead = copy.deepcopy(small_model)
    with torch.no_grad():
        dead.out.weight.zero_()
    checkpoint.save(dead, tmp_path / "dead.safetensors")
    done = robustness("--attack", "fgsm", "--snr", 40, "--most", 2, models=(tmp_path / "dead.safetensors",))
    assert done.code == 0
    assert "4 trials gave no gradient to follow" in done.err[0]
    assert "no sign of robustness" in done.err[0]
