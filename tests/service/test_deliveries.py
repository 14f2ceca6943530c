"""Webhooks on their way: slow receivers keep nobody else's waiting, and no service from stopping."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack, contextmanager

import pytest
from fastapi.testclient import TestClient

from aasist.service.app import create_app
from aasist.service.deliveries import MOST_OF_A_KEY, MOST_TO_A_RECEIVER, WORKERS
from aasist.service.entry.keys import new_key
from aasist.service.stream.notices import CLOSE_SECONDS

from .conftest import HERE
from .test_detect import form
from .test_webhooks import receiver


@contextmanager
def tar():
    """A receiver that takes a call and never answers; gives its URL and the calls that it has had."""
    calls: list[socket.socket] = []
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        server.settimeout(0.01)

        def had() -> int:
            try:
                while True:
                    calls.append(stack.enter_context(server.accept()[0]))
            except TimeoutError:
                return len(calls)

        yield f"http://127.0.0.1:{server.getsockname()[1]}/", had


def eventually(true, seconds: float = 8.0) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def ended(client, url: str, **headers: str) -> str:
    """A job that has failed at once, and its webhook."""
    response = client.post("/v1/jobs", params={"webhook_url": url}, headers=headers, **form(b"no recording"))
    assert response.status_code == 202
    return str(response.headers["Location"])


def key_of(client) -> dict[str, str]:
    key, stored = new_key("one of several")
    client.app.state.service.store.keys.add(stored)
    return {"Authorization": f"Bearer {key}"}


def test_a_receiver_that_never_answers_keeps_no_other_waiting(serving):
    client = serving()
    with tar() as (slow, had), receiver() as (good, seen):
        for _ in range(WORKERS + 2):
            ended(client, slow)
        assert eventually(lambda: had() == MOST_TO_A_RECEIVER)
        ended(client, good)
        assert eventually(lambda: len(seen) == 1)
        assert had() == MOST_TO_A_RECEIVER


def test_nor_does_a_key_with_many_of_them_keep_another_waiting(serving):
    client = serving()
    one, other = key_of(client), key_of(client)
    with ExitStack() as stack:
        slow = [stack.enter_context(tar()) for _ in range(WORKERS)]
        good, seen = stack.enter_context(receiver())
        for url, _ in slow:
            ended(client, url, **one)
        assert eventually(lambda: sum(had() for _, had in slow) == MOST_OF_A_KEY)
        ended(client, good, **other)
        assert eventually(lambda: len(seen) == 1)
        assert sum(had() for _, had in slow) == MOST_OF_A_KEY


def test_a_service_that_stops_cuts_them_off_and_the_next_goes_on(settings, serving):
    given = settings()
    with receiver() as (good, seen):
        with tar() as (slow, had):
            with TestClient(create_app(given), base_url=HERE) as client:
                location = ended(client, slow)
                assert eventually(lambda: had() == 1)
                begun = time.monotonic()
            assert time.monotonic() - begun < 5
        store = (client := serving(settings(job_runners=0))).app.state.service.store.jobs
        job = store.get(location.rpartition("/")[2])
        assert job.webhook_due_at is not None
        assert job.webhook_due_at < time.time() + 15  # not when the hold of the one that stopped is over
        assert client.get(location).json()["webhook"] == "pending"
        ended_there = ended(serving(settings()), good)
        assert eventually(lambda: len(seen) == 1), ended_there


def test_a_notice_that_is_never_answered_keeps_no_service_from_stopping(settings):
    with tar() as (slow, had):
        with TestClient(create_app(settings()), base_url=HERE) as client:
            notifier = client.app.state.service.notifier
            notifier.tell(slow, b"{}", "secret")
            assert eventually(lambda: had() == 1)
            begun = time.monotonic()
        assert time.monotonic() - begun < CLOSE_SECONDS + 3


def test_one_that_waits_when_it_stops_is_still_told(settings):
    with receiver() as (good, seen), TestClient(create_app(settings()), base_url=HERE) as client:
        for _ in range(12):
            client.app.state.service.notifier.tell(good, b"{}", "secret")
        client.app.state.service.notifier.close()
        assert len(seen) == 12


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_cut_off_while_it_greets_or_waits(settings, scheme):
    import threading

    from aasist.service import webhooks

    calls = webhooks.Calls()
    with tar() as (slow, had):
        timer = threading.Timer(0.5, calls.cut)
        timer.start()
        begun = time.monotonic()
        url = slow.replace("http:", f"{scheme}:")
        assert webhooks.deliver(url, b"{}", "s", settings(), calls) == webhooks.CUT
        assert time.monotonic() - begun < 4
        assert webhooks.deliver(url, b"{}", "s", settings(), calls) == webhooks.CUT
        assert had() >= 1
