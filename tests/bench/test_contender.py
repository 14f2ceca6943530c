"""Rows: their percentiles, and the object that ``--json`` prints."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.bench.contender import Contender, Row

CONTENDER = Contender("efficient", "efficient.onnx", "onnxruntime", "fp32", 1, 1)
ROW = Row(CONTENDER, (10.0, 20.0, 30.0), peak_memory_mb=64.0, load_seconds=0.2, reference_ms=400.0)
KEYS = {
    "model", "runtime", "precision", "threads", "batch", "p50_ms", "p95_ms", "p99_ms", "times_real_time",
    "peak_memory_mb", "ratio_to_reference",
}  # fmt: skip


def between(values: list[float], percent: float) -> float:
    """A slow twin: the value at its place among the sorted ones, linear between two."""
    ordered = sorted(values)
    place = percent / 100 * (len(ordered) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (place - low) * (ordered[high] - ordered[low])


@given(st.lists(st.floats(0.01, 1e5), min_size=1, max_size=40))
def test_percentiles_are_those_of_the_sorted_rounds(values: list[float]) -> None:
    row = replace(ROW, milliseconds=tuple(values))
    for percent in (50, 95, 99):
        assert row.percentile(percent) == pytest.approx(between(values, percent))
    assert row.p50_ms <= row.percentile(95) <= row.percentile(99)


def test_the_object_has_these_keys_and_its_ratios_follow_from_the_median() -> None:
    values = ROW.to_dict()
    assert set(values) == KEYS
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    assert (values["p50_ms"], values["p95_ms"], values["p99_ms"]) == (20.0, 29.0, 29.8)
    assert values["times_real_time"] == pytest.approx(4.0375 / 0.020)
    assert values["ratio_to_reference"] == pytest.approx(400 / 20)


def test_without_a_reference_the_ratio_is_absent() -> None:
    assert set(replace(ROW, reference_ms=None).to_dict()) == KEYS - {"ratio_to_reference"}


def test_a_run_comes_to_a_window_of_64600_samples_whatever_the_batch_and_the_window() -> None:
    assert CONTENDER.of_window(3.0) == 3.0
    assert replace(CONTENDER, batch=4).of_window(3.0) == pytest.approx(0.75)
    assert replace(CONTENDER, batch=2, window_samples=32_300).of_window(3.0) == pytest.approx(3.0)


def test_a_contender_survives_the_way_to_another_process() -> None:
    assert Contender(**json.loads(json.dumps(CONTENDER.to_json()))) == CONTENDER
