"""``aasist runs``: trainings side by side."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from aasist.cli import run
from aasist.training.recipe import Recipe, with_changes
from aasist.training.run import STATE, Run
from aasist.training.state import Progress, to_bytes


def made(folder: Path, rates: list[float], **changes: Any) -> Path:
    """The folder of a run whose epochs of two steps had these dev error rates, and within a source a tenth more."""
    with Run(folder) as kept:
        kept.begin(with_changes(Recipe(), {name.replace("__", "."): value for name, value in changes.items()}), {})
        for epoch, rate in enumerate(rates):
            machine = {"seconds": 100.0 * (epoch + 1)}
            for step in (2 * epoch + 1, 2 * epoch + 2):
                kept.line({"kind": "step", "step": step, "epoch": epoch, "loss": 1 / step, "machine": machine})
            line = {"kind": "epoch", "step": 2 * epoch + 2, "epoch": epoch, "loss": 0.5 / (epoch + 1), "dev_eer": rate}
            line["dev_within_source"] = rate + 0.1
            kept.line({**line, "machine": machine})
    return folder


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A folder of runs: a good one, a better one, and one without an epoch."""
    made(tmp_path / "good", [0.3, 0.2, 0.25])
    made(tmp_path / "better", [0.1], seed=7, optimiser__learning_rate=1e-3)
    made(tmp_path / "begun", [], run__steps=5)
    return tmp_path


def test_the_best_comes_first_and_differing_keys_are_named(three: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", str(three), "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(one["path"]).name for one in found] == ["better", "good", "begun"]
    assert found[0]["differs"] == {"seed": 7, "optimiser.learning_rate": 1e-3}
    assert found[1]["differs"] == {"seed": 1234, "optimiser.learning_rate": 1e-4}
    assert found[1] | {"path": "", "differs": {}} == {
        "path": "",
        "differs": {},
        "steps": 6,
        "epochs": 3,
        "best_dev_eer": 0.2,
        "best_within_source": pytest.approx(0.3),
        "best_epoch": 1,
        "last_dev_eer": 0.25,
        "last_within_source": pytest.approx(0.35),
        "loss": pytest.approx(0.5 / 3),
        "seconds": 300.0,
    }
    assert (found[2]["steps"], found[2]["best_dev_eer"], found[2]["loss"]) == (0, None, None)


def test_steps_that_no_line_of_the_log_tells_of_yet_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(tmp_path / "stopped", [])
    (folder / STATE).write_bytes(to_bytes({"a": torch.zeros(1)}, Progress(step=5, seconds=2.5)))
    assert run(["runs", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["steps"], found["seconds"]) == (5, 2.5)
    (folder / STATE).write_bytes(b"\xff" * 8)
    assert run(["runs", str(folder)]) == 1
    assert "not the state of a run" in capsys.readouterr().err


def test_the_table_has_a_row_for_each(
    three: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["runs", str(three / "good"), str(three / "better")]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.split()[0] == "run"
    assert first.split()[1:] == [
        "seed=7",
        "optimiser.learning_rate=0.001",
        "2",
        "1/100",
        "10.00%",
        "20.00%",
        "1",
        "10.00%",
        "0.5000",
        "1:40",
    ]
    assert second.split()[3:6] == ["6", "3/100", "20.00%"]


def test_curves_are_drawn_into_a_picture(three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["runs", str(three), "--plot", str(tmp_path / "curves.png")]) == 0
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_without_a_run_fails_and_the_others_are_shown(
    three: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nothing").mkdir()
    assert run(["runs", str(tmp_path / "nothing"), str(three / "good")]) == 1
    out, err = capsys.readouterr()
    assert "nothing: no run is here" in err
    assert "20.00%" in out


def test_a_log_that_is_damaged_is_named_and_one_that_is_being_written_is_not(
    three: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open(three / "good" / "metrics.jsonl", "a") as log:
        log.write('{"kind": "step", "st')
    assert run(["runs", str(three / "good"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 6
    (three / "better" / "metrics.jsonl").write_text("not a log\n")
    assert run(["runs", str(three), "--json"]) == 1
    out, err = capsys.readouterr()
    assert "better/metrics.jsonl: not the log of a run" in err
    assert len(out.splitlines()) == 2


def test_recipes_that_are_the_same_differ_in_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """How a run was run is not what its recipe is."""
    made(tmp_path / "one", [0.1], run__steps=5)
    made(tmp_path / "two", [0.2], loading__workers=3)
    assert run(["runs", str(tmp_path), "--json"]) == 0
    assert [json.loads(line)["differs"] for line in capsys.readouterr().out.splitlines()] == [{}, {}]


def test_seeds_and_folds_of_one_recipe_have_a_mean_and_a_deviation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other data, other seeds and other folders of noise are no other recipe; another learning rate is."""
    made(tmp_path / "one", [0.3, 0.2, 0.25], seed=1, data__train=("fold-1/train.tsv",))
    made(tmp_path / "two", [0.1], seed=2, data__train=("fold-2/train.tsv",))
    made(tmp_path / "three", [], seed=3)
    made(tmp_path / "other", [0.05], optimiser__learning_rate=1e-3)
    assert run(["runs", str(tmp_path), "--mean", "--json"]) == 0
    other, same = map(json.loads, capsys.readouterr().out.splitlines())
    assert [Path(folder).name for folder in same["runs"]] == ["two", "one", "three"]
    assert same["differs"] == {"optimiser.learning_rate": 1e-4}
    # Of two runs: the mean, and half the difference times the square root of two.
    assert same["best_dev_eer"] == pytest.approx({"count": 2, "mean": 0.15, "deviation": 0.1 / 2**0.5})
    assert same["last_within_source"] == pytest.approx({"count": 2, "mean": 0.275, "deviation": 0.15 / 2**0.5})
    assert other["best_dev_eer"] == {"count": 1, "mean": 0.05, "deviation": None}
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["runs", str(tmp_path), "--mean"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "optimiser.learning_rate=0.001" in out[1]
    assert "15.00% ± 7.07 (2)" in out[2]


def test_runs_of_one_recipe_in_two_folders_are_not_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """So that two sets of data can be compared: the runs of each in a folder of their own."""
    for data, rate in (("less", 0.3), ("more", 0.2)):
        for seed in (1, 2):
            made(tmp_path / data / str(seed), [rate + seed / 100], seed=seed)
    assert run(["runs", str(tmp_path / "less"), str(tmp_path / "more"), "--mean", "--json"]) == 0
    found = [json.loads(line)["best_dev_eer"]["mean"] for line in capsys.readouterr().out.splitlines()]
    assert found == pytest.approx([0.215, 0.315])


def test_the_header_stays_one_line_on_a_narrow_terminal(
    three: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["runs", str(three / "good"), str(three / "better")]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert " ".join(head.split()) == "run differs steps epochs dev EER within epoch last loss time"
    assert all(len(line) <= 80 for line in (head, *rows))
    assert len(rows) > 2, "paths and keys are what is broken into lines"
