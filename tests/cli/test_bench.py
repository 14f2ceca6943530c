"""``aasist bench`` in this process: its JSON and its table, what is refused, and what a light install does without."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from aasist.bench.contender import WINDOW_SECONDS
from aasist.cli import bench as verb
from aasist.cli import timed
from aasist.errors import MissingExtra
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.runtime import runtimes
from aasist.runtime.models import shipped
from aasist.runtime.threads import available_threads

from .test_metrics import Outcome, invoke

KEYS = {
    "model", "runtime", "precision", "threads", "batch", "p50_ms", "p95_ms", "p99_ms", "times_real_time",
    "peak_memory_mb",
}  # fmt: skip


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """An install without torch, and without the reference that it would bring."""
    monkeypatch.setattr(runtimes, "is_installed", lambda runtime: runtime == "onnxruntime")
    monkeypatch.setitem(sys.modules, "aasist.export.exact", None)


def rows_of(outcome: Outcome) -> list[dict[str, Any]]:
    values = json.loads(outcome.out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
    assert isinstance(values, list)
    return values


def complaints(outcome: Outcome) -> list[str]:
    """Without the lines that say how far it is."""
    return [line for line in outcome.err if line.startswith("aasist: ")]


@pytest.mark.usefixtures("light")
def test_json_is_a_list_of_objects_with_exactly_these_keys(
    loudness_onnx: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = invoke(capsys, "bench", loudness_onnx, "--json", "--rounds", 3, "--batch", 1, "--batch", 4)
    assert (outcome.code, complaints(outcome)) == (0, [])
    rows = rows_of(outcome)
    assert [row["batch"] for row in rows] == [1, 4]
    for row in rows:
        assert set(row) == KEYS  # without torch there is no ratio
        assert (row["model"], row["runtime"], row["precision"]) == (str(loudness_onnx), "onnxruntime", "fp32")
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
        assert row["times_real_time"] == pytest.approx(1000 * WINDOW_SECONDS / row["p50_ms"], rel=0.05)
        assert row["peak_memory_mb"] > 0


@pytest.mark.usefixtures("light")
def test_the_table_has_a_line_each_and_says_what_to_take_and_on_which_machine(
    loudness_onnx: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = invoke(capsys, "bench", loudness_onnx, "--rounds", 2, "--no-roofline")
    assert outcome.code == 0
    head, line, *rest = outcome.out.splitlines()
    assert head.split()[:5] == ["model", "runtime", "precision", "threads", "batch"]
    assert "times the published one" not in head
    assert line.split()[1:5] == ["onnxruntime", "fp32", "1", "1"]
    assert any(said.startswith(f"Recommended: {loudness_onnx} on onnxruntime in fp32, 1 thread (") for said in rest)
    assert rest[-1].startswith("2 rounds. Measured 20")


def test_the_roofline_stands_below_the_table(
    small_onnx: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from aasist.bench import survey
    from aasist.bench.peaks import Peaks

    monkeypatch.setattr(runtimes, "is_installed", lambda runtime: runtime == "onnxruntime")
    monkeypatch.setattr(survey, "peaks", lambda threads, *_: Peaks(threads, {"fp32": 50.0}, 10.0))
    outcome = invoke(capsys, "bench", small_onnx, "--rounds", 1)
    assert (outcome.code, complaints(outcome)) == (0, [])
    layers = [line.split()[0] for line in outcome.out.splitlines() if line.rstrip().endswith("%")]
    assert layers == ["front", "block", "block", "graphs", "all"]
    assert "Peaks of this machine, 1 thread: 50 GFLOP/s in fp32; 10.0 GB/s copied." in outcome.out


@pytest.mark.usefixtures("light")
def test_what_cannot_run_is_said_and_the_others_are_timed(
    loudness_onnx: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = available_threads() + 1
    outcome = invoke(capsys, "bench", loudness_onnx, "--json", "--rounds", 1, "--threads", 1, "--threads", many)
    assert outcome.code == 1
    assert [row["threads"] for row in rows_of(outcome)] == [1]
    (reason,) = complaints(outcome)
    assert f"{many} threads, batch 1: this process may use {many - 1} of the processor's threads" in reason


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize(
    ("precision", "said"),
    [
        ("bf16", "onnxruntime cannot run in bf16 here: "),
        ("int8", "make a file in int8 with 'aasist quantize'"),
    ],
)
def test_a_precision_that_nothing_runs_in_is_refused_with_what_to_do(
    precision: str, said: str, loudness_onnx: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = invoke(capsys, "bench", loudness_onnx, "--rounds", 1, "--precision", precision)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.complaint.startswith(
        f"nothing to time: {loudness_onnx}, onnxruntime, {precision}, 1 thread, batch 1: "
    )
    assert said in outcome.complaint


@pytest.mark.usefixtures("light")
def test_each_stage_is_told_where_no_bar_is_seen(loudness_onnx: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = invoke(capsys, "bench", loudness_onnx, "--rounds", 2, "--no-roofline", "--runtime", "onnxruntime")
    assert outcome.err[:2] == [
        "memory: 1 to load and run, each in a process of its own",
        "time: 5 rounds, all in turns",
    ]


@pytest.mark.usefixtures("light")
def test_a_file_that_is_no_model_is_refused_before_anything_is_timed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "neither one of aasist, aasist-l, " in invoke(capsys, "bench", "nowhere").complaint
    assert "cascade is several models in turn" in invoke(capsys, "bench", "cascade").complaint
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    assert "not an ONNX file" in invoke(capsys, "bench", broken).complaint


@pytest.mark.usefixtures("light")
def test_without_torch_the_published_models_are_left_out_unless_they_are_named(tmp_path: Path) -> None:
    found = timed.chosen((), (), tmp_path, False, pytest.fail)
    assert [entry.name for entry in found.entries] == list(shipped())
    assert all(entry.checkpoint is None for entry in found.entries)
    assert len(found.left_out) == 2
    assert all("extra 'export'" in sentence for sentence in found.left_out)
    with pytest.raises(MissingExtra, match=r"timing aasist, which is exported first, needs the extra 'export'"):
        timed.chosen(("aasist",), (), tmp_path, False, lambda said: None)
    with pytest.raises(MissingExtra, match="--weights"):
        timed.chosen(("efficient",), (Path("AASIST.pth"),), tmp_path, False, pytest.fail)


@pytest.mark.usefixtures("light")
def test_a_runtime_that_is_not_installed_names_its_extra(
    loudness_onnx: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    complaint = invoke(capsys, "bench", loudness_onnx, "--runtime", "openvino").complaint
    assert "'openvino'" in complaint
    assert "pip install" in complaint


def test_the_published_weights_are_found_and_others_refused(
    small_model: Aasist,
    reference: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AASIST_REFERENCE", str(reference))
    found = timed.chosen(("efficient", "small", "efficient"), (), tmp_path, True, pytest.fail)
    assert found.weights == {"aasist": reference / "AASIST.pth", "aasist-l": reference / "AASIST-L.pth"}
    assert [entry.name for entry in found.entries] == ["efficient", "small"]  # each once
    assert all(entry.checkpoint is not None for entry in found.entries)

    monkeypatch.delenv("AASIST_REFERENCE")
    assert timed.chosen(("small",), (), tmp_path, True, pytest.fail).weights == {}
    given = timed.chosen(("small",), (reference / "AASIST-L.pth",), tmp_path, True, pytest.fail)
    assert given.weights == {"aasist-l": reference / "AASIST-L.pth"}

    saved = tmp_path / "other.safetensors"
    checkpoint.save(small_model, saved)
    outcome = invoke(capsys, "bench", "small", "--weights", saved)
    assert outcome.code == 2
    assert "--weights wants a checkpoint of aasist or aasist-l" in outcome.err[-1]
    twice = ["--weights", reference / "AASIST.pth", "--weights", reference / "AASIST.pth"]
    assert invoke(capsys, "bench", "small", *twice).code == 2


def test_a_checkpoint_is_exported_on_the_fly_to_run_in_every_runtime(small_model: Aasist, tmp_path: Path) -> None:
    saved = tmp_path / "mine.safetensors"
    checkpoint.save(small_model, saved)
    folder = tmp_path / "made"
    folder.mkdir()
    said: list[str] = []
    (entry,) = timed.chosen((str(saved),), (), folder, True, said.append).entries
    assert (entry.name, entry.checkpoint, entry.window_samples) == (str(saved), str(saved), 8_000)
    assert Path(entry.file).is_file()
    assert said == [f"exporting {saved}; this takes half a minute"]


def test_the_options_name_the_runtimes_there_are() -> None:
    assert verb.RUNTIME_NAMES == runtimes.RUNTIMES


@pytest.mark.parametrize("words", [("--rounds", 0), ("--threads", 0), ("--batch", 0), ("--seconds", 0)])
def test_numbers_below_one_are_no_use(words: tuple[object, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(capsys, "bench", *words).code == 2
