"""Dress rehearsal: from a corpus to a verdict by commands alone, as a researcher with ASVspoof 2019 LA would type them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from aasist.audio.read import read
from aasist.cli import run
from aasist.protocol.corpora import read_corpus

from . import rehearsal
from .training.same import lines

SMALLER = (
    "model.window_samples=16000",
    "model.channels=8,8,12,12,12,12",
    "model.graph_dims=12,8",
    "batch=8",
    "epochs=2",
    "optimiser.learning_rate=1e-3",
    "run.log_steps=1",
    "threads=1",
)
"""The published recipe with a model that a test can wait for."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's example recordings and what two vocoders make of them, as LA.zip unpacks."""
    return rehearsal.corpus(tmp_path_factory.mktemp("LA"))


def test_train_resume_compare_evaluate_export_and_detect(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], recording: Path
) -> None:
    def aasist(*words: object) -> str:
        code = run([str(word) for word in words])
        said = capsys.readouterr()
        assert code == 0, said.err
        return said.out

    folder = tmp_path / "runs" / "aasist"
    command = ("train", "aasist", "--corpus", "asvspoof2019-la", "--root", root, "-o", folder, *SMALLER)
    assert "interrupted at step 2 of 6" in aasist(*command, "steps=2")
    said = aasist(*command, "--resume")
    assert "6 steps, best dev EER " in said
    logged = lines(folder)
    assert [line["step"] for line in logged if line["kind"] == "step"] == [1, 2, 3, 4, 5, 6]
    assert [line["epoch"] for line in logged if line["kind"] == "epoch"] == [0, 1]

    compared = json.loads(aasist("runs", folder, "--json"))
    assert compared["steps"] == 6
    assert compared["best_dev_eer"] == min(line["dev_eer"] for line in logged if line["kind"] == "epoch")

    figures = json.loads(aasist("metrics", folder / "dev-scores.tsv", "--rounds", "0", "--json"))
    assert figures["eer"] == pytest.approx(compared["best_dev_eer"])

    for name in ("best", "averaged"):
        model = folder / f"{name}.safetensors"
        words = ("--corpus", "asvspoof2019-la", "--root", root, "--model", model, "--first-window")
        figures = json.loads(aasist("evaluate", *words, "--rounds", "0", "--json"))
        assert set(figures["by_attack"]) == {"A07", "A08"}
        assert figures["min_tdcf"] is not None

    onnx = tmp_path / "mine.onnx"
    aasist("export", folder / "averaged.safetensors", "-o", onnx)
    verdict = json.loads(aasist("detect", "--model", onnx, "--json", recording))
    assert verdict["error"] is None
    assert verdict["label"] in ("bonafide", "spoof", "undecided")
    assert verdict["model"]["name"] == "aasist"


PIECE = 800
"""Samples, 50 ms: whatever is as long as two of them has one of them whole."""


def speech(root: Path, subset: str) -> list[bytes]:
    """The bona fide recordings of a subset, as 16-bit samples."""
    trials = read_corpus("asvspoof2019-la", root, subset)
    assert trials.bonafide is not None
    paths = [root / path for path in trials.columns["path"][trials.bonafide].tolist()]
    return [(read(path) * 2**15).astype("<i2").tobytes() for path in paths]


def shared(clips: list[bytes], others: list[bytes]) -> int:
    """How many pieces of ``clips`` that are not silent stand in ``others``."""
    pieces = [clip[at : at + 2 * PIECE] for clip in clips for at in range(0, len(clip) - 2 * PIECE + 1, 2 * PIECE)]
    return sum(any(piece.strip(b"\0") and piece in other for other in others) for piece in pieces)


def test_no_second_of_speech_stands_in_two_subsets(root: Path) -> None:
    """Though within one, each clip begins in the middle of the one before."""
    clips = {subset: speech(root, subset) for subset in ("train", "dev", "eval")}
    for one, other in itertools.permutations(clips, 2):
        assert not shared(clips[one], clips[other]), (one, other)
    assert shared(clips["train"][1:2], clips["train"][:1]) == 12


def test_the_evaluation_has_attacks_of_its_own(root: Path) -> None:
    attacks = {
        subset: set(read_corpus("asvspoof2019-la", root, subset).columns["attack"].tolist())
        for subset in ("train", "dev", "eval")
    }
    assert attacks["train"] == attacks["dev"] == {"-", "A01", "A02"}
    assert attacks["eval"] == {"-", "A07", "A08"}
