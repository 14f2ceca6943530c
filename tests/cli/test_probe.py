"""``aasist probe``: its tables, its files, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from aasist.cli import run

from ..training import small

SMALL = [
    f"{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}"
    for name, value in small.CHANGES.items()
]


@pytest.fixture(scope="module")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny corpus in ASVspoof 2019 LA's layout, of one speaker."""
    return small.corpus(tmp_path_factory.mktemp("la"))


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """A probe sets torch's threads for the whole process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def words(mini: Path, *more: str) -> list[str]:
    return ["probe", "aasist", "--corpus", "asvspoof2019-la", "--root", str(mini), "--trials", "40", "--rounds", "20",
            *SMALL, *more]  # fmt: skip


def test_it_says_what_each_cue_tells_and_whether_all_are_near_chance(
    mini: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The spoofs of this corpus lack high frequencies."""
    assert run(words(mini)) == 0
    out = capsys.readouterr().out
    assert out.startswith("40 draws of 18 recordings, ")
    assert "The recordings as they are\n" in out
    assert "NOT near chance" in out
    assert "EER, recordings held out" in out
    rows = [line.split()[0] for line in out.splitlines() if " dB " in line]
    assert "edge_drop" in rows[:3]


def test_json_and_the_folder_hold_the_same(mini: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    assert run(words(mini, "--json", "-o", str(tmp_path / "found"))) == 0
    said = json.loads(capsys.readouterr().out)
    assert json.loads((tmp_path / "found" / "probe.json").read_text()) == said
    assert (tmp_path / "found" / "probe.png").read_bytes().startswith(b"\x89PNG")
    assert said["draws"] == 40
    assert said["recordings"]["joint"]["eer_at_random"]["value"] < 0.3
    assert said["windows"]["near_chance"] is False
    assert said["pairs"] == 0
    assert said["windows"]["joint"]["accuracy_within_pairs"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["probe", "aasist"], "data.train"),
        (["probe", "nothing", "--data", "x.tsv"], "nothing"),
        (["probe", "aasist", "--data", "x.tsv", "sampling.mod=pairs"], "sampling.mod"),
        (["probe", "aasist", "--corpus", "asvspoof2019-la"], "--root"),
    ],
)
def test_what_it_cannot_use_is_named(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) != 0
    assert said in capsys.readouterr().err
