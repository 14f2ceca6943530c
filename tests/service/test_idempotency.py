"""A job that is sent twice, because its answer was lost, is one job."""

from __future__ import annotations

import threading
import time

import pytest
import sqlalchemy as sa

from aasist.service.entry.keys import new_key
from aasist.service.settings import Settings
from aasist.service.store.jobstore import StoredJob
from aasist.service.store.store import Store

from .test_detect import form, problem

HEADER = "Idempotency-Key"


def test_sent_again_it_is_the_same_job_also_when_it_has_ended(serving, speech):
    client = serving(job_runners=0, max_jobs_waiting=1)
    first = client.post("/v1/jobs", headers={HEADER: "a"}, **form(speech))
    again = client.post("/v1/jobs", headers={HEADER: "a"}, **form(speech))
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["Location"] == first.headers["Location"]
    service = client.app.state.service
    assert [path.name for path in service.settings.jobs_dir.iterdir()] == [first.json()["id"]]
    assert client.delete(first.headers["Location"]).status_code == 200
    assert client.post("/v1/jobs", headers={HEADER: "a"}, **form(speech)).json()["status"] == "cancelled"


def test_without_it_or_with_another_each_is_a_job_of_its_own(serving, speech):
    client = serving(job_runners=0)
    headers: list[dict[str, str]] = [{}, {}, {HEADER: "a"}, {HEADER: "b"}]
    assert len({client.post("/v1/jobs", headers=one, **form(speech)).json()["id"] for one in headers}) == 4


def test_it_is_one_key_s_own(serving, speech):
    client, found = serving(job_runners=0), set()
    for _ in range(2):
        key, stored = new_key("one")
        client.app.state.service.store.keys.add(stored)
        headers = {HEADER: "a", "Authorization": f"Bearer {key}"}
        found.add(client.post("/v1/jobs", headers=headers, **form(speech)).json()["id"])
    assert len(found) == 2


@pytest.mark.parametrize("value", ["", "x" * 65, "two words"])
def test_what_cannot_be_one_is_refused(serving, speech, value):
    client = serving(job_runners=0)
    problem(client.post("/v1/jobs", headers={HEADER: value}, **form(speech)), 400, "invalid_request")


def test_of_two_at_once_one_is_stored_and_the_other_leaves_nothing(serving, speech, monkeypatch):
    client = serving(job_runners=0)
    service = client.app.state.service
    both, add = threading.Barrier(2), service.store.jobs.add

    def at_once(job, **options):
        both.wait(10)
        return add(job, **options)

    monkeypatch.setattr(service.store.jobs, "add", at_once)
    found: list[str] = []

    def send() -> None:
        found.append(client.post("/v1/jobs", headers={HEADER: "a"}, **form(speech)).json()["id"])

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 2
    assert len(set(found)) == 1
    assert [path.name for path in service.settings.jobs_dir.iterdir()] == [found[0]]
    assert service.store.jobs.waiting() == 1


def job(node: str, identity: str, idempotency: str | None) -> StoredJob:
    return StoredJob(identity * 32, node, None, "queued", time.time(), None, 1, False, idempotency=idempotency)


def test_the_store_gives_the_first_of_the_same_in_either_database(tmp_path, database):
    store = Store(Settings(state_dir=tmp_path, database=database))
    try:
        node = store.jobs.node
        first = store.jobs.add(job(node, "a", "same"))
        assert first.id == "a" * 32
        assert store.jobs.add(job(node, "b", "same")).id == first.id
        assert store.jobs.add(job(node, "c", "other")).id == "c" * 32
        assert {store.jobs.add(job(node, name, None)).id for name in "de"} == {"d" * 32, "e" * 32}
        with pytest.raises(sa.exc.IntegrityError):  # another reason is no repetition
            store.jobs.add(job(node, "d", None))
        assert store.jobs.waiting() == 4
    finally:
        store.close()
