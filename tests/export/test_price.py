"""What a smaller file saves and costs."""

from __future__ import annotations

import time

import numpy as np
import pytest

from aasist.evaluation.det import eer
from aasist.export.price import Price, accuracy, time_ratio
from aasist.session import Float32


class Slow:
    """Takes as long as it is told, on a clock that the test moves."""

    precision = "fp32"

    def __init__(self, seconds: float, clock: list[float]) -> None:
        self.seconds, self.clock, self.runs = seconds, clock, 0

    def run(self, windows: Float32) -> Float32:
        self.clock[0] += self.seconds
        self.runs += 1
        return np.zeros((len(windows), 2), np.float32)


def test_the_time_ratio_is_above_one_where_the_smaller_model_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    before, after = Slow(3.0, clock), Slow(2.0, clock)
    found = time_ratio(before, after, np.zeros((1, 8), np.float32), threads=1, turns=5)
    assert found.median == pytest.approx(1.5)
    assert found.quartiles == pytest.approx((1.5, 1.5))
    assert before.runs == after.runs == 6


def test_accuracy_is_paired_and_its_sign_is_that_of_what_is_lost() -> None:
    random = np.random.default_rng(0)
    labels = np.arange(200) < 100
    before = np.where(labels, 1.5, -1.5) + random.standard_normal(200)
    after = before + 1.5 * random.standard_normal(200)
    found = accuracy("dev", before, after, labels, None, rounds=200)
    assert (found.bonafide, found.spoof) == (100, 100)
    assert found.eer.b == eer(before[labels], before[~labels])
    assert found.eer.a == eer(after[labels], after[~labels])
    assert found.eer.difference == found.eer.a - found.eer.b > 0
    assert found.llr.mean == pytest.approx(np.abs(after - before).mean())
    same = accuracy("dev", before, before + 1.0, labels, None, rounds=50)
    assert (same.eer.difference, same.eer.interval) == (0.0, (0.0, 0.0))


def test_the_table_and_the_report_say_the_same() -> None:
    labels = np.arange(40) < 20
    before = np.where(labels, 1.0, -1.0) + np.linspace(-2, 2, 40)
    clock = [0.0]
    ratio = time_ratio(Slow(1, clock), Slow(1, clock), np.zeros((1, 8), np.float32), threads=1, turns=3)
    price = Price(2_000_000, 500_000, ratio, [accuracy("dev", before, before[::-1] * -1, labels, None, rounds=20)])
    size, _, error, apart = price.table("int8").rows
    assert size == ("size", "2.000 MB", "0.500 MB", "4.00 times smaller")
    told = price.to_dict()
    assert told["bytes"] == {"before": 2_000_000, "after": 500_000}
    (row,) = told["accuracy"]
    assert error[0] == "EER, dev"
    assert apart[2:] == (f"{row['llr_mean_apart']:.3f}", f"{row['llr_largest_apart']:.3f} at the most")
    assert error[1].startswith(f"{100 * row['eer_before']:.1f}")
    assert row["difference"] == row["eer_after"] - row["eer_before"]
