"""A service whose model is the cascade: the verdicts of the command, by one queue for both models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from aasist.cli import aasist
from aasist.runtime import pipeline
from aasist.runtime.models import CASCADE
from aasist.runtime.pipeline import STAGES, Pipeline

from .live import Live
from .test_detect import form

RECORDINGS = ("human-librivox-en.flac", "spoof-espeak-de.wav", "spoof-flite-en.flac")


@pytest.fixture
def cascading(serving, loudness_onnx):
    return serving(model=CASCADE, stream_model=str(loudness_onnx))


@pytest.mark.parametrize("kept_bytes", [pipeline.KEPT_BYTES, 0], ids=["kept", "heard again"])
def test_the_answer_is_that_of_the_cascade_whichever_stage_decides(
    cascading, recording: Path, monkeypatch: pytest.MonkeyPatch, kept_bytes: int
) -> None:
    monkeypatch.setattr(pipeline, "KEPT_BYTES", kept_bytes)
    examples = [recording.parent / name for name in RECORDINGS]
    found = [cascading.post("/v1/detect", **form(path.read_bytes(), path.name)).json() for path in examples]
    expected = [Pipeline(threads=1).detect(path).to_dict() for path in examples]
    for values, wanted, path in zip(found, expected, examples, strict=True):
        assert values == json.loads(json.dumps({**wanted, "path": path.name}))
    assert {values["model"]["name"] for values in found} == set(STAGES)


def test_both_stages_are_shown_as_serving_in_the_order_of_their_turn(cascading) -> None:
    rows = cascading.get("/v1/models").json()["models"]
    assert [row["name"] for row in rows if row["serving"]] == list(STAGES)
    assert all(row["threshold"] == 0.0 for row in rows)


def test_the_command_serves_it_and_the_command_asks_it(tmp_path: Path, recording: Path, loudness_onnx: Path) -> None:
    """Also of what nobody judged the same is told here and there."""
    (tmp_path / "bad.wav").write_bytes(b"no recording")
    names = [str(recording.parent / name) for name in RECORDINGS] + [str(tmp_path / "bad.wav")]
    with Live(tmp_path / "state", model=CASCADE, stream_model=loudness_onnx) as live:
        there = CliRunner().invoke(aasist, ["detect", *names, "--json", "--server", live.url])
    here = CliRunner().invoke(aasist, ["detect", *names, "--json", "--model", CASCADE, "--threads", "1"])
    assert there.exit_code == here.exit_code == 1
    assert there.stdout == here.stdout
