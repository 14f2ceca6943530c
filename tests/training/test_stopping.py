"""A signal is a question; the same one twice at once is asked once, and one that is repeated later ends at once."""

from __future__ import annotations

import os
import signal

import pytest

from aasist.training import stopping as stopping_module
from aasist.training.stopping import stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_twice_at_once_asks_once(number: int) -> None:
    before = signal.getsignal(number)
    with stopping() as asked:
        assert not asked.is_set()
        for _ in range(2):
            os.kill(os.getpid(), number)
        assert asked.is_set()
        assert asked.number == number
    assert signal.getsignal(number) == before


def test_a_second_signal_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 10.9, 11.1])
    monkeypatch.setattr(stopping_module.time, "monotonic", lambda: next(times))
    with stopping():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
