"""A service whose model is the cascade: the verdicts of the command, by one queue for both models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aasist.runtime import pipeline
from aasist.runtime.pipeline import CASCADE, STAGES, Pipeline

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


def test_both_stages_are_shown_as_serving(cascading) -> None:
    rows = cascading.get("/v1/models").json()["models"]
    assert [row["name"] for row in rows if row["serving"]] == sorted(STAGES)
    assert all(row["threshold"] == 0.0 for row in rows)
