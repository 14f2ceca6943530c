"""Saturation of int8 products, asked of the processor, and what becomes of files that it would cut off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from aasist.errors import ModelError
from aasist.runtime import modelfile, saturation
from aasist.runtime.detector import Detector
from aasist.runtime.models import open_model
from aasist.runtime.notes import FULL_BITS, REDUCED_BITS, ModelNotes


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    saturation.saturates.cache_clear()
    yield
    saturation.saturates.cache_clear()


@pytest.fixture
def int8(loudness_onnx: Path, tmp_path: Path) -> Path:
    """A file that says its int8 weights have 8 bits."""
    content, notes = modelfile.read(loudness_onnx)
    path = tmp_path / "int8.onnx"
    modelfile.write(path, content, replace(notes, precision="int8", weight_bits=FULL_BITS))
    return path


@pytest.mark.parametrize("bits", [REDUCED_BITS, FULL_BITS])
def test_the_convolution_that_is_asked_is_valid_onnx_with_the_largest_weights(bits: int) -> None:
    proto = onnx.load_from_string(saturation.convolution(bits))
    onnx.checker.check_model(proto, full_check=True)
    weight = next(tensor for tensor in proto.graph.initializer if tensor.name == "weight")
    values = onnx.numpy_helper.to_array(weight)
    assert values.shape == (16, 16, 1, 3)
    assert set(values.ravel().tolist()) == {127 if bits == FULL_BITS else 64}


def test_weights_of_seven_bits_saturate_nowhere() -> None:
    np.testing.assert_array_equal(saturation.largest_sum(REDUCED_BITS), saturation.EXPECTED)


@pytest.mark.parametrize(("sums", "expected"), [((101, 101), True), ((200, 101), True), ((200, 200), False)])
def test_one_sum_that_is_too_small_is_saturation(
    sums: tuple[int, ...], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def largest_sum(bits: int) -> np.ndarray:
        asked.append(bits)
        return np.array(sums, np.uint8)

    monkeypatch.setattr(saturation, "largest_sum", largest_sum)
    assert saturation.saturates() is expected
    assert asked == [FULL_BITS]


def test_where_onnx_runtime_cannot_be_asked_eight_bits_are_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saturation, "find_spec", lambda name: None)
    assert saturation.saturates()


def test_a_file_of_eight_bits_is_refused_where_they_saturate_and_runs_where_not(
    int8: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saturation, "saturates", lambda: True)
    with pytest.raises(ModelError, match=r"int8\.onnx: its int8 weights have 8 bits.*a file of 7 bits") as caught:
        Detector(int8)
    assert caught.value.code == "precision"
    monkeypatch.setattr(saturation, "saturates", lambda: False)
    assert open_model(int8, threads=1).identity.precision == "int8"


def test_a_file_of_seven_bits_asks_nobody(loudness_onnx: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def saturates() -> bool:
        raise AssertionError("asked")

    monkeypatch.setattr(saturation, "saturates", saturates)
    notes = modelfile.read(loudness_onnx)[1]
    saturation.require_whole_sums(notes)
    saturation.require_whole_sums(replace(notes, precision="int8", weight_bits=REDUCED_BITS))


def test_notes_without_int8_weights_do_not_mention_them_so_that_older_versions_read_them() -> None:
    assert "weight_bits" not in ModelNotes(name="x").to_json()
    seven = ModelNotes(name="x", precision="int8", weight_bits=REDUCED_BITS)
    assert ModelNotes.from_json(seven.to_json()) == seven
    with pytest.raises(ModelError, match="cannot run a model with weight_bits 4"):
        replace(seven, weight_bits=4)
