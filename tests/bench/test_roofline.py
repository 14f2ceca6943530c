"""Peaks, and what layers reach of them."""

from __future__ import annotations

import pytest

from aasist.bench.layers import FRONT, GRAPHS
from aasist.bench.nodes import Node
from aasist.bench.peaks import Peaks, best_rate
from aasist.bench.roofline import layers_reached

PEAKS = Peaks(threads=1, gflops={"fp32": 100.0, "bf16": 400.0}, gigabytes=10.0)


def test_the_roof_is_the_slower_of_multiplying_and_moving() -> None:
    assert PEAKS.at_most("fp32", gflop=1.0, megabytes=1.0) == pytest.approx(10.0)
    assert PEAKS.at_most("fp32", gflop=0.001, megabytes=100.0) == pytest.approx(10.0)
    assert PEAKS.at_most("bf16", gflop=1.0, megabytes=1.0) == pytest.approx(2.5)
    assert PEAKS.at_most("int8", gflop=1.0, megabytes=1.0) is None
    assert PEAKS.at_most("fp16", gflop=1.0, megabytes=1.0) == PEAKS.at_most("fp32", gflop=1.0, megabytes=1.0)


def test_layers_share_the_time_of_the_whole_and_sum_to_it() -> None:
    work = [Node(FRONT, 1.0, 0.1, 2.0), Node(1, 5.0, 1.0, 4.0), Node(1, 1.0, 0.0, 50.0), Node(GRAPHS, 1.0, 0.0, 1.0)]
    front, block, graphs, whole = layers_reached(work, work, PEAKS, precision="fp32", whole_ms=40.0)
    assert [layer.name for layer in (front, block, graphs, whole)] == ["front", "block 1", "graphs", "all"]
    assert block.share_of_time == pytest.approx(6 / 8)
    assert block.milliseconds == pytest.approx(30.0)
    assert block.least_ms == pytest.approx(10.0 + 5.0)  # one node multiplies, the other moves
    assert block.reached == pytest.approx(0.5)
    assert whole.milliseconds == pytest.approx(sum(o.milliseconds for o in (front, block, graphs)))
    assert whole.gflop == pytest.approx(1.1)
    assert whole.least_ms == pytest.approx(1.0 + 15.0 + 0.1)


def test_the_times_of_one_runtime_meet_the_work_that_another_counts() -> None:
    work = [Node(FRONT, 1.0, 1.0, 1.0), Node(1, 1.0, 2.0, 1.0)]
    times = [Node(FRONT, 3.0), Node(1, 1.0)]
    front, block, whole = layers_reached(times, work, PEAKS, precision="bf16", whole_ms=8.0, scale=2.0)
    assert (front.milliseconds, block.milliseconds) == pytest.approx((6.0, 2.0))
    assert (front.gflop, block.gflop, whole.megabytes) == pytest.approx((2.0, 4.0, 4.0))
    assert front.least_ms == pytest.approx(5.0)


def test_a_precision_without_a_peak_reaches_nothing_that_could_be_told() -> None:
    work = [Node(FRONT, 1.0, 1.0, 1.0)]
    assert [layer.reached for layer in layers_reached(work, work, PEAKS, precision="int8", whole_ms=1.0)] == [
        None,
        None,
    ]


def test_the_best_of_several_runs_is_a_peak() -> None:
    runs = 0

    def run() -> None:
        nonlocal runs
        runs += 1

    assert best_rate(run, 1.0, seconds=0.0) > 0
    assert runs == 3
