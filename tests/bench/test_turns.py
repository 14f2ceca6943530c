"""Timing in turns, by a clock that only runs when it is told to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aasist.bench.turns import Entrant, in_turns
from aasist.errors import ModelError


class Clock:
    """Seconds that pass by `spend` alone, and joules with them, a watt's worth."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def spend(self, seconds: float) -> Callable[[], None]:
        def run() -> None:
            self.now += seconds

        return run


def test_entrants_take_turns_and_the_first_rounds_do_not_count() -> None:
    order: list[str] = []
    runs = [Entrant(lambda name=name: order.append(name)) for name in "abc"]  # type: ignore[misc]
    timed = in_turns(runs, rounds=4, warm_up=2)
    assert "".join(order) == "abc" * 6
    assert [len(one.seconds) for one in timed] == [4, 4, 4]


def test_each_is_timed_for_itself_and_getting_ready_is_not() -> None:
    clock = Clock()
    runs = [Entrant(clock.spend(2.0), clock.spend(100.0)), Entrant(clock.spend(3.0))]
    quick, slow = in_turns(runs, rounds=3, warm_up=1, clock=clock, joules=lambda: 5 * clock.now)
    assert quick.seconds == pytest.approx([2.0] * 3)
    assert slow.seconds == pytest.approx([3.0] * 3)
    assert slow.joules == pytest.approx([15.0] * 3)
    assert in_turns(runs, rounds=1, clock=clock)[0].joules == []


def test_a_machine_that_slows_for_a_while_slows_all_alike() -> None:
    """What in turns is a ratio of 3 would be one of 30 for who had run all rounds while it was slow."""
    clock, runs = Clock(), 0

    def busy(seconds: float) -> Callable[[], None]:
        def run() -> None:
            nonlocal runs
            clock.now += seconds * (10 if 20 <= runs < 40 else 1)
            runs += 1

        return run

    one, three = in_turns([Entrant(busy(1.0)), Entrant(busy(3.0))], rounds=20, warm_up=0, clock=clock)
    assert sum(three.seconds) / sum(one.seconds) == pytest.approx(3.0)


@pytest.mark.parametrize("warm_up", [0, 3])
def test_when_time_is_up_no_round_is_begun_but_one_always_counts(warm_up: int) -> None:
    clock = Clock()
    (timed,) = in_turns([Entrant(clock.spend(10.0))], rounds=50, seconds=45.0, warm_up=warm_up, clock=clock)
    assert len(timed.seconds) == 5 - warm_up
    (timed,) = in_turns([Entrant(clock.spend(10.0))], rounds=50, seconds=1.0, warm_up=warm_up, clock=clock)
    assert len(timed.seconds) == 1


def test_who_fails_is_left_out_from_then_on_and_the_others_go_on() -> None:
    clock, calls = Clock(), []

    def fails() -> None:
        calls.append(clock.now)
        if len(calls) == 3:
            raise ModelError("model", "no more")

    def exhausts() -> None:
        raise MemoryError

    runs = [Entrant(fails), Entrant(exhausts), Entrant(clock.spend(1.0))]
    failed, exhausted, sound = in_turns(runs, rounds=5, warm_up=1, clock=clock)
    assert (failed.failure, len(failed.seconds), len(calls)) == ("no more", 1, 3)
    assert (exhausted.failure, exhausted.seconds) == ("out of memory", [])
    assert (sound.failure, len(sound.seconds)) == ("", 5)


def test_an_error_of_ours_is_not_swallowed() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        in_turns([Entrant(broken)], rounds=1)


def test_rounds_are_told_with_the_warming_up_among_them() -> None:
    told: list[int] = []
    in_turns([Entrant(lambda: None)], rounds=2, warm_up=3, moved=told.append)
    assert told == [1, 2, 3, 4, 5]
