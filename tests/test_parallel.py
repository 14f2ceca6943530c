"""Work side by side: order, bounds, errors, and the ends of processes."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from aasist.parallel import in_order


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 2, 50])
def test_results_come_in_order_whatever_the_number_of_threads(threads: int, count: int) -> None:
    def work(item: int) -> int:
        time.sleep(0.002 * (item % 3))
        return item * item

    assert list(in_order(work, range(count), threads=threads)) == [n * n for n in range(count)]


@pytest.mark.parametrize("ahead", [2, 3, 10])
def test_no_more_items_are_taken_than_may_wait(ahead: int) -> None:
    gate, taken = threading.Event(), []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    def work(item: int) -> int:
        gate.wait(20)
        return item

    results = in_order(work, items(), threads=2, ahead=ahead)
    opener = threading.Timer(0.2, lambda: (counts.append(len(taken)), gate.set()))
    counts: list[int] = []
    opener.start()
    assert list(results) == list(range(100))
    assert counts == [ahead]


def test_work_lies_side_by_side() -> None:
    barrier = threading.Barrier(3, timeout=20)
    assert len(list(in_order(lambda item: barrier.wait(), range(9), threads=3))) == 9


def test_an_error_comes_where_its_result_would_and_nothing_more_is_begun() -> None:
    gate, begun = threading.Event(), []

    def work(item: int) -> int:
        begun.append(item)
        if item == 1:
            raise ValueError("broken")
        if item > 1:
            gate.wait(0.2)
        return item

    results = in_order(work, range(1000), threads=2, ahead=20)
    assert next(results) == 0
    with pytest.raises(ValueError, match="broken"):
        next(results)
    count = len(begun)
    assert count < 20
    time.sleep(0.3)
    assert len(begun) == count


def test_an_iteration_that_is_left_early_ends_its_threads() -> None:
    before = threading.active_count()
    results = in_order(lambda item: item, range(100), threads=4)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_one_item_is_done_by_the_caller() -> None:
    assert list(in_order(lambda item: threading.get_ident(), [1], threads=8)) == [threading.get_ident()]


def test_a_thread_that_outlives_the_main_one_can_still_work() -> None:
    code = (
        "import threading, time\n"
        "from aasist.parallel import in_order\n"
        "def late():\n"
        "    time.sleep(0.3)\n"
        "    print(list(in_order(abs, [-1, -2, -3], threads=2)))\n"
        "threading.Thread(target=late).start()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[1, 2, 3]", "")
