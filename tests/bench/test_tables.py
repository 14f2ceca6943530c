"""Tables of times and of layers."""

from __future__ import annotations

from dataclasses import replace

from aasist.bench.contender import Contender, Row
from aasist.bench.roofline import LayerReached
from aasist.bench.tables import facts, layers_table, milliseconds, times_table, unmeasured
from aasist.evaluation.tables import NOTHING

CONTENDER = Contender("efficient", "efficient.onnx", "onnxruntime", "fp32", 1, 1)
ROW = Row(CONTENDER, (10.0, 20.0, 30.0), peak_memory_mb=64.4, load_seconds=0.213, joules=0.5, reference_ms=400.0)


def test_milliseconds_have_three_digits_or_more() -> None:
    assert [milliseconds(value) for value in (4.126, 41.26, 412.6, 8231.7)] == ["4.13", "41.3", "413", "8,232"]


def test_a_line_says_all_and_columns_without_figures_are_left_out() -> None:
    table = times_table([facts(ROW)])
    line = dict(zip(table.headers, table.rows[0], strict=True))
    assert line["ms a window: p50"] == "20.0"
    assert (line["peak MB"], line["load, s"], line["J a window"], line["times the published one"]) == (
        "64", "0.21", "0.500", "20.0",
    )  # fmt: skip
    bare = times_table([facts(replace(ROW, joules=None, reference_ms=None))])
    assert not {"J a window", "times the published one"} & set(bare.headers)


def test_who_was_not_timed_has_a_line_with_nothing_in_it() -> None:
    table = times_table([facts(ROW), unmeasured(replace(CONTENDER, precision="bf16"))])
    assert table.rows[1][:5] == ("efficient", "onnxruntime", "bf16", "1", "1")
    assert set(table.rows[1][5:]) == {NOTHING}


def test_a_layer_without_a_roofline_or_without_time_says_so() -> None:
    table = layers_table(
        [LayerReached("front", 1.0, 2.0, 0.5, 20.0, 5.0), LayerReached("graphs", 0.0, 0.1, 0.0, 0.0, None)]
    )
    assert table.rows[0] == ("front", "1.000", "2.0", "50 %", "20.0", "50.0", "5.00", "25 %")
    assert table.rows[1][-3:] == (NOTHING, NOTHING, NOTHING)
