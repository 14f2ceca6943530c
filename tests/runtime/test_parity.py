"""The proof of parity in a model file: it comes back, is under the digest, and holds for its own graph alone."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from aasist.errors import ModelError
from aasist.runtime import modelfile
from aasist.runtime.modelfile import ModelNotes
from aasist.runtime.parity import PARITY_KEY, Case, Parity, graph_sha256, parity_of, with_parity

PARITY = Parity(
    reference="torch",
    runtime="onnxruntime",
    tolerance=1e-4,
    cases=(Case(1, 16_000, 0.1, 2e-6), Case(2, 64_600, 0.1, 5e-6), Case(1, 64_600, 0.0, 0.0)),
    opset=20,
    exporter="by hand",
    versions={"torch": "1.2.3", "onnxruntime": "4.5.6"},
)


@pytest.fixture
def proven(loudness_onnx: Path) -> bytes:
    """A file of ours with a proof."""
    content, notes = modelfile.read(loudness_onnx)
    noted = with_parity(content, replace(PARITY, graph_sha256=graph_sha256(content)))
    return modelfile.with_notes(noted, notes)


def test_a_proof_comes_back_from_the_file_and_a_file_without_has_none(proven: bytes, loudness_onnx: Path) -> None:
    found = parity_of(proven)
    assert found is not None and found.cases == PARITY.cases and found.versions == PARITY.versions
    assert found.largest_difference == 5e-6
    assert modelfile.notes_of(proven) == modelfile.read(loudness_onnx)[1]
    assert parity_of(loudness_onnx.read_bytes()) is None


def test_new_notes_keep_the_proof_and_a_new_proof_takes_its_place(proven: bytes) -> None:
    renamed = modelfile.with_notes(proven, ModelNotes(name="other"))
    assert parity_of(renamed) == parity_of(proven)
    again = with_parity(proven, replace(PARITY, exporter="again", graph_sha256=graph_sha256(proven)))
    assert [entry.key for entry in onnx.load_from_string(again).metadata_props].count(PARITY_KEY) == 1
    found = parity_of(again)
    assert found is not None and found.exporter == "again"


def test_a_proof_of_another_graph_proves_nothing(proven: bytes) -> None:
    proto = onnx.load_from_string(proven)
    proto.graph.name = "another"
    assert parity_of(proto.SerializeToString()) is None


def test_an_altered_proof_is_an_altered_file(proven: bytes) -> None:
    with pytest.raises(ModelError) as caught:
        modelfile.notes_of(proven.replace(b"by hand", b"by hanD"))
    assert caught.value.code == "altered_model"


def test_in_words_it_says_how_far_where_and_by_what() -> None:
    words = PARITY.in_words()
    for part in ("within 5e-06 of torch in onnxruntime", "16,000 to 64,600 samples", "batches of 1, 2;", "opset 20",
                 "torch 1.2.3"):  # fmt: skip
        assert part in words


def test_a_difference_that_is_no_number_is_the_largest() -> None:
    assert math.isnan(replace(PARITY, cases=(Case(1, 1, 0.1, math.nan), *PARITY.cases)).largest_difference)


@pytest.mark.parametrize(
    "change",
    [{"cases": 3}, {"cases": [{"batch": 1}]}, {"cases": []}, {"colour": "red"}, {"versions": []}, {"tolerance": "x"}],
    ids=str,
)
def test_text_that_is_no_proof_is_refused(change: dict[str, object]) -> None:
    values = json.loads(PARITY.to_json())
    assert Parity.from_json(json.dumps(values)) == PARITY
    with pytest.raises(ModelError, match="proof of parity"):
        Parity.from_json(json.dumps(values | change))
    for text in ("", "[]", "null", "{"):
        with pytest.raises(ModelError):
            Parity.from_json(text)
