"""The queue before the model: everybody's windows, none mixed up, none failed by another's."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from aasist.service.batcher import Batcher
from aasist.service.problems import Problem


class Doubling:
    """Logits are a window's first sample, and its double; waits while ``gate`` is shut; fails on a window of 13."""

    precision = "fp32"

    def __init__(self):
        self.gate = threading.Event()
        self.gate.set()
        self.sizes, self.order = [], []

    def run(self, windows):
        assert self.gate.wait(10)
        self.sizes.append(len(windows))
        self.order.append(float(windows[0, 0]))
        if (windows[:, 0] == 13).any():
            raise RuntimeError("unlucky")
        return np.stack([windows[:, 0], 2 * windows[:, 0]], axis=1)


def window(value: float, count: int = 1) -> np.ndarray:
    return np.full((count, 4), value, np.float32)


def waiting(batcher: Batcher, count: int) -> None:
    until = time.monotonic() + 10
    while batcher.waiting < count:
        assert time.monotonic() < until
        time.sleep(0.005)


@pytest.mark.parametrize(("lanes", "most"), [(1, 1), (2, 1), (2, 4), (3, 16)])
def test_each_request_gets_the_logits_of_its_own_windows(lanes, most):
    batcher, session = Batcher(lanes=lanes, most=most, wait_seconds=0.002), Doubling()
    sessions = batcher.session(session), batcher.session(session, later=True)
    with ThreadPoolExecutor(16) as pool:
        futures = [pool.submit(sessions[n % 2].run, window(n, 1 + n % 3)) for n in range(14, 214)]
        for n, future in enumerate(futures, 14):
            assert np.array_equal(future.result(10), np.tile([n, 2 * n], (1 + n % 3, 1)))
    batcher.close()


def test_a_run_takes_no_more_than_its_share_and_no_more_than_it_may():
    session = Doubling()
    batcher = Batcher(lanes=1, most=4)
    session.gate.clear()
    with ThreadPoolExecutor(12) as pool:
        futures = [pool.submit(batcher.session(session).run, window(n)) for n in range(11)]
        waiting(batcher, 7)
        session.gate.set()
        for future in futures:
            future.result(10)
    assert max(session.sizes) == 4
    assert sum(session.sizes) == 11
    batcher.close()


def test_a_window_that_fails_fails_its_own_request_only():
    session = Doubling()
    batcher = Batcher(lanes=1, most=8)
    session.gate.clear()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(batcher.session(session).run, window(1))
        time.sleep(0.05)
        bad, good = (
            pool.submit(batcher.session(session).run, window(13)),
            pool.submit(batcher.session(session).run, window(2)),
        )
        waiting(batcher, 2)
        session.gate.set()
        assert first.result(10)[0, 0] == 1
        assert good.result(10)[0, 0] == 2
        with pytest.raises(RuntimeError, match="unlucky"):
            bad.result(10)
    batcher.close()


def test_windows_of_two_models_are_in_no_run_together():
    one, other = Doubling(), Doubling()
    batcher = Batcher(lanes=1, most=8)
    one.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(batcher.session(one).run, window(0))]
        time.sleep(0.05)
        for n in range(1, 7):
            futures.append(pool.submit(batcher.session((one, other)[n % 2]).run, window(n)))
            waiting(batcher, n)
        one.gate.set()
        assert [future.result(10)[0, 0] for future in futures] == list(range(7))
    assert sorted(one.order) == [0, 2, 4, 6]
    assert sorted(other.order) == [1, 3, 5]
    batcher.close()


def test_jobs_wait_for_those_who_wait_but_not_for_ever():
    session = Doubling()
    batcher = Batcher(lanes=1)
    session.gate.clear()
    with ThreadPoolExecutor(20) as pool:
        pool.submit(batcher.session(session).run, window(1))
        time.sleep(0.05)
        for _ in range(4):
            pool.submit(batcher.session(session, later=True).run, window(100))
        for _ in range(8):
            pool.submit(batcher.session(session).run, window(2))
        waiting(batcher, 12)
        session.gate.set()
    jobs = [turn for turn, value in enumerate(session.order) if value == 100]
    assert len(session.order) == 13
    assert jobs[0] in (3, 4)
    assert jobs[1] - jobs[0] == 4
    assert jobs[-1] == 12
    batcher.close()


def test_closed_it_finishes_what_waits_and_refuses_what_comes():
    session, batcher = Doubling(), Batcher(lanes=2)
    assert batcher.session(session).run(window(3)).shape == (1, 2)
    batcher.close()
    with pytest.raises(Problem) as caught:
        batcher.session(session).run(window(3))
    assert caught.value.status == 503
