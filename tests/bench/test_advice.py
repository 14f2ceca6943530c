"""Which row is recommended."""

from __future__ import annotations

from aasist.bench.advice import advice, quicker, recommended
from aasist.bench.contender import Contender, Row


def row(
    milliseconds: float,
    *,
    model: str = "efficient",
    runtime: str = "onnxruntime",
    precision: str = "fp32",
    threads: int = 1,
    batch: int = 1,
    megabytes: float = 100.0,
) -> Row:
    contender = Contender(model, f"{model}.onnx", runtime, precision, threads, batch)
    return Row(contender, (milliseconds,), peak_memory_mb=megabytes, load_seconds=0.1)


def test_the_quickest_in_fp32_is_recommended_and_a_quicker_precision_is_named() -> None:
    rows = [row(20.0), row(10.0, runtime="openvino"), row(4.0, runtime="openvino", precision="bf16")]
    best = recommended(rows, "efficient")
    assert best is rows[1]
    assert quicker(rows, best) is rows[2]
    line = advice(rows, "efficient")
    assert line.startswith(
        "recommended: efficient on openvino in fp32, 1 thread (10.0 ms a window, 404 times real time"
    )
    assert "openvino in bf16" in line
    assert "moves scores" in line


def test_of_those_about_as_quick_fewest_threads_then_least_memory_is_taken() -> None:
    rows = [row(10.0, threads=4), row(10.4, megabytes=300.0), row(10.3, runtime="openvino", megabytes=90.0), row(11.0)]
    assert recommended(rows, "efficient") is rows[2]


def test_a_precision_that_is_hardly_quicker_is_not_spoken_of() -> None:
    rows = [row(10.0), row(9.5, precision="bf16")]
    assert quicker(rows, rows[0]) is None
    assert "bf16" not in advice(rows, "efficient")


def test_a_model_that_is_there_in_int8_alone_is_recommended_as_it_is() -> None:
    rows = [row(10.0, precision="int8"), row(12.0, precision="int8", runtime="openvino")]
    assert recommended(rows, "efficient") is rows[0]


def test_the_default_model_is_spoken_of_where_it_was_timed_else_the_quickest() -> None:
    rows = [row(20.0), row(5.0, model="small"), row(300.0, model="aasist")]
    assert "efficient on" in advice(rows, "efficient")
    assert "small on" in advice(rows[1:], "efficient")


def test_without_rows_nothing_is_said() -> None:
    assert advice([], "efficient") == ""
    assert recommended([row(1.0)], "small") is None
