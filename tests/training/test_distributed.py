"""Two ranks at half a batch train what one trains at a whole one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aasist.errors import AasistError
from aasist.model import checkpoint
from aasist.training.distributed import Ranks, require_divisible

from . import small
from .same import lines

# Neither batch norms nor dropout nor augmentation: of what remains, nothing depends on who has which row.
PLAIN = {"optimiser.freeze_norms": "true", "model.dropouts": "0,0,0,0", "optimiser.learning_rate": "1e-3"}


def words(mini: Path, folder: Path, **changes: object) -> list[str]:
    values = {**{name: value for name, value in small.CHANGES.items() if value is not None}, **PLAIN}
    values |= {name.replace("__", "."): value for name, value in changes.items()}
    texts = [f"{n}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for n, v in values.items()]
    return ["train", "aasist", "--corpus", "asvspoof2019-la", "--root", str(mini), "-o", str(folder), *texts]


def run(arguments: list[str], world: int) -> list[str]:
    """``aasist`` on so many ranks, as torchrun starts them -> what each said on stderr."""
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
    assert [process.returncode for process in processes] == [0] * world, said
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
