"""Two ranks at half a batch train what one trains at a whole one."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from aasist.cli import run as aasist
from aasist.errors import AasistError
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.protocol.corpora import read_corpus
from aasist.training.distributed import Ranks, require_divisible
from aasist.training.plan import Sampling, plan
from aasist.training.state import from_bytes

from . import small
from .same import lines

# Neither batch norms nor dropout nor augmentation: of what remains, nothing depends on who has which row.
PLAIN = {"optimiser.freeze_norms": "true", "model.dropouts": "0,0,0,0", "optimiser.learning_rate": "1e-3"}


def words(mini: Path, folder: Path, **changes: object) -> list[str]:
    values = {**{name: value for name, value in small.CHANGES.items() if value is not None}, **PLAIN}
    values |= {name.replace("__", "."): value for name, value in changes.items()}
    texts = [f"{n}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for n, v in values.items()]
    return ["train", "aasist", "--corpus", "asvspoof2019-la", "--root", str(mini), "-o", str(folder), *texts]


def run(arguments: list[str], world: int, *, code: int = 0) -> list[str]:
    """``aasist`` on so many ranks, as torchrun starts them, which all end with ``code`` -> what each said on stderr. One alone runs in this
    process, and what it said is not told."""
    if world == 1:
        assert aasist(arguments) == code
        return []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(world):
        ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
        where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        environment = {**os.environ, **{name: str(value) for name, value in {**ranks, **where}.items()}}
        command = [sys.executable, "-m", "aasist", *arguments]
        processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        )
    said = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [code] * world, said
    return said


@pytest.fixture(scope="module")
def both(mini: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The run of one rank, and that of two which was stopped in its middle and resumed by one."""
    one, two = tmp_path_factory.mktemp("ranks") / "one", tmp_path_factory.mktemp("ranks") / "two"
    run(words(mini, one, epochs=2), 1)
    said = run(words(mini, two, epochs=2, steps=6), 2)
    assert "2 ranks" in said[0]
    assert "epoch" not in said[1], "only the first rank speaks"
    return one, two


def test_two_ranks_train_what_one_does(both: tuple[Path, Path], mini: Path, tmp_path: Path) -> None:
    """After six steps in which every rank had its half of each batch."""
    run(words(mini, tmp_path / "six", epochs=2, steps=6), 1)
    one, two = (checkpoint.load(folder / "last.safetensors").state_dict() for folder in (tmp_path / "six", both[1]))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], rtol=1e-5, atol=1e-5)
    for alone, shared in zip(lines(tmp_path / "six"), lines(both[1]), strict=True):
        assert alone["loss"] == pytest.approx(shared["loss"], rel=1e-5)
    assert lines(tmp_path / "six")[-2]["kind"] == "epoch"


def test_a_run_of_two_ranks_is_resumed_by_one(both: tuple[Path, Path], mini: Path) -> None:
    whole, resumed = both
    run([*words(mini, resumed, epochs=2), "--resume"], 1)
    starts = json.loads((resumed / "environment.json").read_text())["starts"]
    assert [start["ranks"] for start in starts] == [2, 1]
    for name in ("last", "averaged"):
        one, two = (checkpoint.load(folder / f"{name}.safetensors").state_dict() for folder in (whole, resumed))
        for key, tensor in one.items():
            torch.testing.assert_close(tensor, two[key], rtol=1e-4, atol=2e-5)
    assert [line["step"] for line in lines(resumed)] == [line["step"] for line in lines(whole)]


def test_two_ranks_are_taught_what_one_is(mini: Path, tmp_path: Path) -> None:
    checkpoint.save(Aasist(small.recipe(mini).model.resolved()), tmp_path / "teacher.safetensors")
    taught = {"teachers__models": tmp_path / "teacher.safetensors", "teachers__weight": 2, "teachers__hint_weight": 1}
    for world in (1, 2):
        run(words(mini, tmp_path / str(world), **taught, steps=2, run__log_steps=1), world)
    for alone, shared in zip(lines(tmp_path / "1"), lines(tmp_path / "2"), strict=True):
        assert alone["loss"] == pytest.approx(shared["loss"], rel=1e-5)


def of_the_second_rank(mini: Path, count: int) -> list[str]:
    """Trials that the second of two ranks meets in the first batches."""
    train = read_corpus("asvspoof2019-la", mini, "train")
    rows = plan(train, Sampling(), small.recipe(mini).seed, 0).rows[1::2]
    return [str(trial) for trial in train.ids[rows[:count]]]


def damaged(mini: Path, root: Path, names: list[str]) -> Path:
    shutil.copytree(mini, root)
    for name in names:
        next(root.rglob(f"{name}.flac")).write_bytes(b"fLaC but nothing else")
    return root


def test_what_another_rank_cannot_read_is_named_and_kept_and_torchrun_stops_with_all_saved(
    mini: Path, tmp_path: Path
) -> None:
    lost = of_the_second_rank(mini, 1)
    root, folder = damaged(mini, tmp_path / "la", lost), tmp_path / "run"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "aasist"]
    arguments = words(root, folder, epochs=200, loading__workers=1, run__log_steps=1)
    process = subprocess.Popen([*command, *arguments], stderr=subprocess.PIPE, text=True)
    while not (folder / "metrics.jsonl").exists() or len(lines(folder)) < 2:
        time.sleep(0.05)
        assert process.poll() is None, process.communicate()
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert "all is saved; go on with: aasist train -o " in said
    assert f"left out: {lost[0]} (" in (folder / "log.txt").read_text()
    progress = from_bytes((folder / "state.safetensors").read_bytes(), "the run")[1]
    assert [fault["id"] for fault in progress.faults] == lost
    assert progress.step == lines(folder)[-1]["step"]


def test_ranks_stop_together_when_too_much_cannot_be_read(mini: Path, tmp_path: Path) -> None:
    """Though all of it is the second's: the first would wait for it for ever."""
    root = damaged(mini, tmp_path / "la", of_the_second_rank(mini, 2))
    said = run(words(root, tmp_path / "run"), 2, code=1)
    assert all("2 trials could not be read, and no more than 1 may" in text for text in said)
    assert (tmp_path / "run" / "state.safetensors").exists()


@pytest.mark.parametrize(("batch", "unit", "world"), [(24, 1, 5), (6, 2, 2), (3, 2, 1)])
def test_a_batch_that_ranks_cannot_share_evenly_is_refused(batch: int, unit: int, world: int) -> None:
    with pytest.raises(AasistError, match=f"batch must be a multiple of {unit * world} .*got {batch}"):
        require_divisible(batch, unit, Ranks(world=world))


def test_one_rank_alone_sums_and_shares_what_it_has() -> None:
    ranks, tensor = Ranks(), torch.ones(3)
    ranks.sum_([tensor])
    assert tensor.tolist() == [1.0] * 3
    assert ranks.first
    assert (ranks.shared(b"x"), ranks.collected("x")) == (b"x", ["x"])
