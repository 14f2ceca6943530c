"""The run folder: refused where it cannot serve, and never left with half a file in it."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from aasist import files
from aasist.model.aasist import Aasist
from aasist.training.recipe import Recipe, in_full, with_changes
from aasist.training.run import (
    LAST,
    METRICS,
    STATE,
    WRITTEN,
    Run,
    RunError,
    environment,
    recipe_of,
    require_no_run,
    require_run,
)
from aasist.training.state import Progress, from_bytes

RECIPE = with_changes(Recipe(), {"epochs": 3})
FACTS: dict[str, Any] = {"data": {"train": {"sha256": "a"}, "dev": {"sha256": "b"}}}
TENSORS = {"weights": torch.arange(100.0)}


def begun(folder: Path, small_model: Aasist, facts: dict[str, Any] = FACTS) -> Path:
    with Run(folder) as run:
        run.begin(RECIPE, facts)
        run.line({"kind": "step", "step": 1})
        run.save(small_model, TENSORS, Progress(step=1))
    return folder


def test_a_folder_that_holds_a_run_is_not_begun_anew(tmp_path: Path, small_model: Aasist) -> None:
    begun(tmp_path / "run", small_model)
    with pytest.raises(RunError, match=r"run holds a run: go on with it by --resume, or name another folder"):
        require_no_run(tmp_path / "run")
    with Run(tmp_path / "run") as run, pytest.raises(RunError) as error:
        run.begin(RECIPE, FACTS)
    assert error.value.code == "run_exists"


@pytest.mark.parametrize("name", WRITTEN[1:])
def test_a_file_that_a_run_would_write_over_is_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("somebody's")
    with (
        Run(tmp_path) as run,
        pytest.raises(RunError, match=rf"holds no run .* write over, {name}: name another") as error,
    ):
        run.begin(RECIPE, FACTS)
    assert error.value.code == "run_exists"
    assert (tmp_path / name).read_text() == "somebody's"


def test_a_run_that_was_killed_while_it_began_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever that was: before the recipe is there, the folder holds nothing of it."""
    written: list[str] = []
    real = Run.write

    def write(self: Run, name: str, content: bytes) -> None:
        if len(written) == most:
            raise KeyboardInterrupt
        written.append(name)
        real(self, name, content)

    monkeypatch.setattr(Run, "write", write)
    for most in (1, 2):
        with pytest.raises(KeyboardInterrupt), Run(tmp_path / str(most)) as run:
            run.begin(RECIPE, FACTS)
        assert sorted(path.name for path in (tmp_path / str(most)).iterdir()) == sorted([*written, ".lock"])
        written.clear()
    monkeypatch.undo()
    for most in (1, 2):
        with Run(tmp_path / str(most)) as run:
            run.resume(RECIPE, FACTS)
            assert run.state() is None
            assert run.cut_metrics(0) == 0
        assert json.loads((tmp_path / str(most) / "environment.json").read_text())["starts"] == [FACTS] * most


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_without_a_run_is_not_resumed(there: bool, tmp_path: Path) -> None:
    if there:
        (tmp_path / "run").mkdir()
    with pytest.raises(RunError, match="holds no run to resume: leave --resume out to begin one"):
        require_run(tmp_path / "run")


def test_a_resume_with_another_recipe_names_every_key_that_differs(tmp_path: Path, small_model: Aasist) -> None:
    begun(tmp_path / "run", small_model)
    other = with_changes(RECIPE, {"epochs": 4, "optimiser.learning_rate": 1e-3, "run.steps": 7})
    with Run(tmp_path / "run") as run, pytest.raises(RunError) as error:
        run.resume(other, FACTS)
    assert error.value.code == "other_recipe"
    assert "epochs: 3 in the run, 4 now; optimiser.learning_rate: 0.0001 in the run, 0.001 now" in error.value.message
    assert "steps" not in error.value.message
    assert recipe_of(tmp_path / "run") == in_full(RECIPE)


@pytest.mark.parametrize(
    ("was", "now", "said"),
    [
        ({}, {"dev": {"sha256": "c"}}, "begun on other data: dev: b in the run, c now ("),
        ({}, {"noise": {"sha256": "n"}}, "begun on other data: noise: none in the run, n now ("),
        ({"noise": {"sha256": "n"}}, {}, "begun on other data: noise: n in the run, none now ("),
    ],
)
def test_a_resume_on_other_data_says_which(
    was: dict[str, Any], now: dict[str, Any], said: str, tmp_path: Path, small_model: Aasist
) -> None:
    """Noise that is new or gone is other data too."""
    begun(tmp_path / "run", small_model, {"data": {**FACTS["data"], **was}})
    before = (tmp_path / "run" / "environment.json").read_bytes()
    with Run(tmp_path / "run") as run, pytest.raises(RunError) as error:
        run.resume(RECIPE, {"data": {**FACTS["data"], **now}})
    assert error.value.code == "other_data"
    assert said in error.value.message
    assert (tmp_path / "run" / "environment.json").read_bytes() == before


def test_a_resume_adds_its_start_to_the_record_and_takes_the_keys_of_how_to_run(
    tmp_path: Path, small_model: Aasist
) -> None:
    begun(tmp_path / "run", small_model)
    with Run(tmp_path / "run") as run:
        run.resume(with_changes(RECIPE, {"run.steps": 7}), {**FACTS, "threads": 3})
    starts = json.loads((tmp_path / "run" / "environment.json").read_text())["starts"]
    assert [start.get("threads") for start in starts] == [None, 3]
    assert recipe_of(tmp_path / "run").run.steps == 7


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write into .*file/run: Not a directory; name another folder"):
        Run(tmp_path / "file" / "run")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o500)
    with pytest.raises(RunError, match="cannot write into"):
        Run(tmp_path / "run")


def test_a_folder_in_which_nothing_came_of_a_run_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name in ("there", "new"):
        with Run(tmp_path / name):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert not list((tmp_path / "there").iterdir())


def hold(folder: str, held: object, done: object) -> None:
    with Run(Path(folder)):
        held.set()  # type: ignore[attr-defined]
        done.wait()  # type: ignore[attr-defined]


def test_two_processes_do_not_train_in_one_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    held, done = context.Event(), context.Event()
    other = context.Process(target=hold, args=(str(tmp_path / "run"), held, done))
    other.start()
    try:
        assert held.wait(30)
        with pytest.raises(RunError, match="another process trains in it"):
            Run(tmp_path / "run")
    finally:
        done.set()
        other.join()


def test_nor_does_one_process_twice(tmp_path: Path) -> None:
    """And a folder that was refused is held all the same."""
    with Run(tmp_path / "run"):
        (tmp_path / "link").symlink_to(tmp_path / "run")
        with pytest.raises(RunError, match="this process trains in it already"):
            Run(tmp_path / "link")
        with pytest.raises(RunError, match="this process trains in it already"):
            Run(tmp_path / "run")
    with Run(tmp_path / "run"):
        pass


def killed_beside_a_worker(folder: str, worker: Any) -> None:
    with Run(Path(folder)):
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
        worker.value = child
        os.kill(os.getpid(), signal.SIGKILL)


def test_workers_that_outlive_a_killed_process_do_not_keep_its_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    worker = context.Value("i")
    process = context.Process(target=killed_beside_a_worker, args=(str(tmp_path / "run"), worker))
    process.start()
    process.join()
    assert worker.value > 1
    try:
        os.kill(worker.value, 0)  # it lives
        with Run(tmp_path / "run"):
            pass
    finally:
        os.kill(worker.value, signal.SIGKILL)


def test_a_full_disk_leaves_the_old_files_and_says_how_to_go_on(
    tmp_path: Path, small_model: Aasist, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(tmp_path / "run", small_model)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(file: object, count: int = 0) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with Run(folder) as run, pytest.raises(RunError) as error:
        run.save(small_model, {"weights": torch.arange(200.0)}, Progress(step=2))
    assert "No space left on device; what was saved last is whole, make room and go on with --resume" in str(
        error.value
    )
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    tensors, progress = from_bytes(before[STATE], STATE)
    assert progress.step == 1
    assert torch.equal(tensors["weights"], TENSORS["weights"])


def test_drafts_of_a_killed_process_are_swept_away(tmp_path: Path, small_model: Aasist) -> None:
    folder = begun(tmp_path / "run", small_model)
    (folder / f".{LAST}.0123abcd.part").write_bytes(b"half")
    with Run(folder):
        assert not list(folder.glob(".*.part"))


def test_lines_behind_the_state_are_cut_off(tmp_path: Path, small_model: Aasist) -> None:
    folder = begun(tmp_path / "run", small_model)
    whole = (folder / METRICS).read_bytes()
    _, progress = from_bytes((folder / STATE).read_bytes(), STATE)
    with Run(folder) as run:
        run.line({"kind": "step", "step": 2})
        run.cut_metrics(progress.metrics_bytes)
    assert (folder / METRICS).read_bytes() == whole


def test_lines_are_on_the_disk_before_a_state_speaks_of_them(
    tmp_path: Path, small_model: Aasist, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(tmp_path / "run", small_model)
    settled: list[str] = []
    real = os.fsync

    def fsync(number: int) -> None:
        settled.append(Path(f"/proc/self/fd/{number}").readlink().name)
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    with Run(folder) as run:
        run.save(small_model, TENSORS, Progress(step=2))
    assert settled[0] == METRICS
    assert STATE in settled[-1]


@pytest.mark.parametrize("kept", ['{"kind": "step", "step": 1}\n', ""])
def test_a_log_that_was_shortened_is_told_of_and_ends_in_a_whole_line(
    kept: str, tmp_path: Path, small_model: Aasist
) -> None:
    folder = begun(tmp_path / "run", small_model)
    (folder / METRICS).write_text(f'{kept}{{"kind": "st')
    with Run(folder) as run:
        assert run.cut_metrics(1_000) == 1_000 - len(kept) - len('{"kind": "st')
    assert (folder / METRICS).read_text() == kept


def test_the_record_says_what_a_run_runs_on() -> None:
    record = environment(RECIPE, FACTS["data"], precision="bf16", device="cpu", world=2)
    assert record["data"] == FACTS["data"]
    assert (record["precision"], record["ranks"], record["seed"]) == ("bf16", 2, RECIPE.seed)
    assert record["versions"]["torch"].startswith("2.")
    assert record["git"] is None or len(record["git"]["commit"]) == 40
    json.dumps(record)
