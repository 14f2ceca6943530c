"""Rates, places and probes, by a clock of the tests' own."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest

from aasist.service.entry.admission import ACCOUNTS, Admission
from aasist.service.entry.keys import Limits, Principal
from aasist.service.entry.likeness import Likeness
from aasist.service.problems import Problem
from aasist.service.settings import Settings


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def admission(clock, **given) -> Admission:
    return Admission(Settings(**{"requests_per_minute": 6, "audio_seconds_per_hour": 360, **given}), clock=clock)


def principal(address="192.0.2.1", key=None, **limits) -> Principal:
    return Principal(key, address, frozenset(), "full", Limits(**limits))


def refused(call, *arguments) -> Problem:
    with pytest.raises(Problem) as caught:
        call(*arguments)
    return caught.value


def test_so_many_requests_at_once_then_one_each_time_the_bucket_fills(clock):
    door = admission(clock)
    for _ in range(6):
        door.request(principal())
    error = refused(door.request, principal())
    assert (error.status, error.code) == (429, "request_rate")
    assert error.retry_after == pytest.approx(10)
    clock.now += 10.0
    door.request(principal())
    assert refused(door.request, principal()).status == 429


def test_addresses_and_keys_are_counted_apart_and_a_key_wherever_it_is_used(clock):
    door = admission(clock)
    for number in range(6):
        door.request(principal(f"192.0.2.{number}", key="k"))
    assert refused(door.request, principal("198.51.100.1", key="k")).code == "request_rate"
    door.request(principal("192.0.2.1"))
    door.request(principal("192.0.2.1", key="other"))


def test_a_key_may_have_limits_of_its_own_and_0_is_none(clock):
    door = admission(clock)
    for _ in range(100):
        door.request(principal(key="free", requests_per_minute=0))
    door.request(principal(key="slow", requests_per_minute=1))
    assert refused(door.request, principal(key="slow", requests_per_minute=1)).retry_after == pytest.approx(60)


def test_processes_share_a_rate(clock):
    door = admission(clock, workers=3)
    for _ in range(2):
        door.request(principal())
    assert refused(door.request, principal()).code == "request_rate"


def test_audio_beyond_the_limit_is_waited_for_by_the_next_request(clock):
    door = admission(clock, requests_per_minute=0)
    door.request(principal())
    door.audio(principal(), 400.0)
    error = refused(door.request, principal())
    assert error.code == "audio_rate"
    assert error.retry_after == pytest.approx(400)
    clock.now += 401
    door.request(principal())


def test_accounts_that_are_counted_are_bounded(clock):
    door = admission(clock)
    for number in range(ACCOUNTS + 50):
        door.request(principal(str(number)))
    assert len(door._accounts) == ACCOUNTS


def test_strangers_from_many_addresses_make_no_debt_forgotten_and_no_place_free(clock):
    door = admission(clock, requests_per_minute=6_000, streams=1)
    door.audio(principal(key="k"), 500.0)
    door.audio(principal("192.0.2.1"), 500.0)
    with door.stream(principal("192.0.2.2")):
        for number in range(ACCOUNTS + 600):
            clock.now += 0.1
            door.request(principal(f"other {number}"))
        assert len(door._accounts) <= ACCOUNTS + 1  # of addresses, and one key
        for indebted in (principal(key="k"), principal("192.0.2.1")):
            assert refused(door.request, indebted).code == "audio_rate"
        assert refused(door.stream(principal("192.0.2.2")).__enter__).code == "stream_limit"


def test_where_all_are_in_debt_they_are_bounded_all_the_same(clock):
    door = admission(clock)
    for number in range(ACCOUNTS + 50):
        door.audio(principal(str(number)), 1_000.0)
    assert len(door._accounts) == ACCOUNTS


def test_places_for_uploads_are_given_back(clock):
    door = admission(clock, max_in_flight=2, max_in_flight_bytes=2_500_000_000)
    with ExitStack() as stack:
        take = stack.enter_context(door.upload(principal()))
        stack.enter_context(door.upload(principal()))
        assert refused(door.upload(principal()).__enter__).status == 503
        take(2_400_000_000)
        error = refused(take, 200_000_000)
        assert error.status == 503
        assert error.retry_after
    assert (door.uploads, door.upload_bytes) == (0, 0)
    door.stopping = True
    assert refused(door.upload(principal()).__enter__).code == "stopping"


def test_one_client_does_not_take_all_places(clock):
    door = admission(clock, max_in_flight_each=2)
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(door.upload(principal(key="a")))
        error = refused(door.upload(principal(key="a")).__enter__)
        assert (error.status, error.code) == (429, "upload_limit")
        stack.enter_context(door.upload(principal(key="b")))
    with door.upload(principal(key="a")):
        pass


def test_long_uploads_of_jobs_take_no_place_of_short_ones_and_one_client_not_all_of_theirs(clock):
    given = {"max_in_flight": 2, "max_job_uploads": 3, "max_job_uploads_each": 2, "job_max_bytes": 1_000_000}
    door = admission(clock, max_bytes=1_000_000, max_in_flight_bytes=3_000_000, **given)
    with ExitStack() as stack:
        takes = [stack.enter_context(door.upload(principal(key="a"), job=True)) for _ in range(2)]
        assert refused(door.upload(principal(key="a"), job=True).__enter__).code == "upload_limit"
        takes[0](1_000_000)
        assert refused(takes[1], 600_000).code == "upload_limit"
        other = stack.enter_context(door.upload(principal(key="b"), job=True))
        assert refused(door.upload(principal(key="c"), job=True).__enter__).status == 503
        other(1_000_000)
        for key in ("a", "b"):
            stack.enter_context(door.upload(principal(key=key)))(1_500_000)
        assert (door.uploads, door.upload_bytes) == (5, 5_000_000)
    assert (door.uploads, door.upload_bytes) == (0, 0)


def test_streams_are_counted_by_account_and_in_all(clock):
    door = admission(clock, streams=2, max_streams=3)
    with ExitStack() as stack:
        for key in ("a", "a", "b"):
            stack.enter_context(door.stream(principal(key=key)))
        assert refused(door.stream(principal(key="a")).__enter__).code == "stream_limit"
        assert refused(door.stream(principal(key="c")).__enter__).status == 503
    with door.stream(principal(key="a")):
        pass


def bits(seed: int, flipped: int = 0) -> Likeness:
    found = np.random.default_rng(seed).random(248) < 0.5
    found[:flipped] ^= True
    return Likeness((found,), found.tobytes())


def test_near_copies_are_refused_after_so_many_and_let_in_again_later(clock):
    door = admission(clock, requests_per_minute=0, probe_limit=3, probe_seconds=100)
    for number in range(4):  # the first, and three like it
        door.request(principal())
        door.likeness(principal(), bits(1, flipped=number))
        clock.now += 1
    assert refused(door.likeness, principal(), bits(1, flipped=9)).code == "probing"
    error = refused(door.request, principal())
    assert (error.status, error.code) == (429, "probing")
    door.request(principal("192.0.2.9"))
    clock.now += error.retry_after + 0.1
    door.request(principal())


def test_the_very_same_again_and_others_are_not_counted(clock):
    door = admission(clock, requests_per_minute=0, probe_limit=3)
    for number in range(50):
        door.likeness(principal(), bits(7))
        door.likeness(principal(), bits(100 + number))
    door.request(principal())


def test_the_guard_can_be_turned_off(clock):
    door = admission(clock, requests_per_minute=0, probe_limit=0)
    for number in range(60):
        door.likeness(principal(), bits(1, flipped=number % 40))
    door.request(principal())
