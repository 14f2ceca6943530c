"""The learning rate: the published cosine, a warm-up before it, and a horizon that a stop does not move."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.training.schedule import Schedule, learning_rate

PUBLISHED = Schedule()


def published(step: int, total: int, highest: float = 1e-4, lowest: float = 5e-6) -> float:
    """clovaai/aasist: LambdaLR over ``cosine_annealing(step, total, 1, lr_min / base_lr)``."""
    ratio = lowest / highest
    return highest * (ratio + (1 - ratio) * 0.5 * (1 + math.cos(step / total * math.pi)))


@given(st.integers(1, 200_000), st.floats(0, 1))
def test_without_a_warm_up_it_is_the_published_cosine(total: int, share: float) -> None:
    step = int(share * total)
    assert learning_rate(PUBLISHED, 1e-4, step, total) == pytest.approx(published(step, total), rel=1e-12)


def test_it_begins_at_the_highest_and_ends_at_the_lowest() -> None:
    assert learning_rate(PUBLISHED, 1e-4, 0, 1000) == 1e-4
    assert learning_rate(PUBLISHED, 1e-4, 1000, 1000) == pytest.approx(5e-6)


def test_a_warm_up_rises_in_a_line_and_the_cosine_begins_where_it_ends() -> None:
    schedule = Schedule(warm_up_steps=4, lowest_learning_rate=0.0)
    assert [learning_rate(schedule, 1.0, step, 104) for step in range(5)] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert learning_rate(schedule, 1.0, 54, 104) == pytest.approx(0.5)


def test_beyond_the_horizon_it_stays_where_it_ended() -> None:
    assert learning_rate(PUBLISHED, 1e-4, 1500, 1000) == learning_rate(PUBLISHED, 1e-4, 1000, 1000)


def test_constant_is_constant() -> None:
    assert {learning_rate(Schedule(kind="constant"), 0.1, step, 10) for step in range(10)} == {0.1}
