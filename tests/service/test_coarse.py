"""How much of a verdict is told."""

from __future__ import annotations

import json

import pytest

from aasist.runtime.verdict import score_of
from aasist.service.coarse import coarsened

DOCUMENT = {
    "label": "spoof", "score": score_of(-1.437), "llr": -1.437, "threshold": 0.0,
    "segments": [{"start": 0.0, "end": 4.0, "score": score_of(0.51), "llr": 0.51}],
    "windows": [{"start": 0.0, "end": 4.0, "score": score_of(-0.49), "llr": -0.49}],
}  # fmt: skip


def test_in_full_nothing_is_changed():
    assert coarsened(DOCUMENT, "full") == DOCUMENT


def test_rounded_tells_whole_numbers_and_what_follows_from_them():
    found = coarsened(DOCUMENT, "rounded")
    assert (found["llr"], found["score"], found["label"]) == (-1.0, 0.27, "spoof")
    assert (found["segments"][0]["llr"], found["windows"][0]["llr"]) == (1.0, 0.0)
    assert (found["segments"][0]["start"], found["segments"][0]["end"]) == (0.0, 4.0)
    assert DOCUMENT["llr"] == -1.437


def test_label_tells_no_number_that_could_be_climbed():
    text = json.dumps(coarsened(DOCUMENT, "label"))
    found = json.loads(text)
    assert found["label"] == "spoof"
    assert found["llr"] is found["score"] is found["segments"][0]["llr"] is found["segments"][0]["score"] is None
    assert found["windows"] == []
    assert "1.437" not in text


@pytest.mark.parametrize("detail", ["full", "rounded", "label"])
def test_what_was_not_scored_stays_so(detail):
    silent = {**DOCUMENT, "label": "undecided", "llr": None, "score": None, "segments": []}
    del silent["windows"]
    assert coarsened(silent, detail) == silent
