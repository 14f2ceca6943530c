"""Jobs whose database, disk or recording fails: an acknowledged one is finished all the same, and those behind it too."""

from __future__ import annotations

import asyncio
import errno

import pytest
from sqlalchemy.exc import DataError, OperationalError

from aasist.errors import AudioError
from aasist.service import background, jobs
from aasist.service.entry.keys import new_key
from aasist.service.judge import Judge
from aasist.service.problems import Problem

from .test_detect import form, problem
from .test_jobs import held, until  # noqa: F401

AWAY = OperationalError("SELECT", {}, Exception("server closed the connection"))
FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    for module, name in ((jobs, "POLL_SECONDS"), (background, "PAUSE_SECONDS"), (jobs, "FIRST_RETRY_SECONDS")):
        monkeypatch.setattr(module, name, 0.05)


class Fails:
    """``real``, but for the first ``times`` calls, which raise."""

    def __init__(self, real, error: Exception, times: float = 1):
        self.real, self.error, self.left, self.calls = real, error, times, 0

    def __call__(self, *given, **options):
        self.calls += 1
        if self.left > 0:
            self.left -= 1
            raise self.error
        return self.real(*given, **options)


@pytest.fixture
def judged(monkeypatch):
    """The names of what was judged, in order."""
    names, judge = [], Judge._judge

    def noted(self, file, name, *rest):
        names.append(name)
        return judge(self, file, name, *rest)

    monkeypatch.setattr(Judge, "_judge", noted)
    return names


def submitted(client, content: bytes, **headers: str) -> str:
    response = client.post("/v1/jobs", headers=headers, **form(content))
    assert response.status_code == 202, response.text
    return response.headers["Location"]


def test_a_database_that_is_away_for_a_moment_costs_no_job_and_no_second_judging(serving, speech, monkeypatch, judged):
    client = serving()
    store = client.app.state.service.store
    key, stored = new_key("a")
    store.keys.add(stored)
    bearer = {"Authorization": f"Bearer {key}"}
    assert client.get("/v1/models", headers=bearer).status_code == 200
    seen, finish = Fails(store.keys.get, AWAY, 3), Fails(store.jobs.finish, AWAY, 3)
    monkeypatch.setattr(store.keys, "get", seen)  # the door remembers the key; the job asks what it may see
    monkeypatch.setattr(store.jobs, "finish", finish)
    location = submitted(client, speech, **bearer)
    client.headers.update(bearer)
    values = until(client, location, "done", "failed")
    assert (values["status"], values["error"]) == ("done", None)
    assert (seen.calls, finish.calls, len(judged)) == (4, 4, 1)
    assert store.verdicts.count() == 1


def test_so_it_is_when_the_job_is_taken_and_renewed(serving, speech, monkeypatch, held):  # noqa: F811
    client = serving(job_lease_seconds=0.3)
    store = client.app.state.service.store.jobs
    claim, renew = Fails(store.claim, AWAY, 2), Fails(store.renew, RuntimeError("nobody thought of this"), 2)
    monkeypatch.setattr(store, "claim", claim)
    monkeypatch.setattr(store, "renew", renew)
    location = submitted(client, speech)
    until(client, location, "running")
    while renew.calls < 4:
        assert client.get(location).json()["status"] == "running"
    held.set()
    until(client, location, "done")


def test_a_disk_that_cannot_be_read_for_a_moment_is_tried_again(serving, speech, monkeypatch):
    client = serving()
    monkeypatch.setattr(Judge, "judge", Fails(client.app.state.service.judge.judge, OSError(errno.EIO, "I/O"), 2))
    location = submitted(client, speech)
    values = until(client, location, "done", "failed")
    assert values["status"] == "done"
    assert client.app.state.service.store.jobs.get(values["id"]).attempts == 3


def test_but_not_for_ever(serving, speech, monkeypatch):
    monkeypatch.setattr(jobs, "RETRY_GROWTH", 1.0)
    client = serving(job_attempts=3)
    fails = Fails(None, OSError(errno.EIO, "I/O"), float("inf"))
    monkeypatch.setattr(Judge, "judge", fails)
    assert until(client, submitted(client, speech), "failed")["error"]["code"] == "gave_up"
    assert fails.calls == 3


def test_a_service_that_is_busy_is_waited_for_without_an_end(serving, speech, monkeypatch):
    client = serving(job_attempts=2)
    busy = Problem(503, "busy", "no decoder", retry_after=0.05)
    monkeypatch.setattr(Judge, "judge", Fails(client.app.state.service.judge.judge, busy, 6))
    values = until(client, submitted(client, speech), "done", "failed")
    assert values["status"] == "done"
    assert client.app.state.service.store.jobs.get(values["id"]).attempts == 1


@pytest.mark.parametrize(("times", "kept"), [(1, True), (float("inf"), False)])
def test_a_full_disk_costs_the_copy_and_not_the_verdict(serving, speech, monkeypatch, times, kept):
    import shutil

    client = serving(keep_audio=True)
    service = client.app.state.service
    monkeypatch.setattr(shutil, "copyfileobj", Fails(shutil.copyfileobj, FULL, times))
    values = until(client, submitted(client, speech), "done", "failed")
    assert values["status"] == "done"
    verdict = service.store.verdicts.get(service.store.jobs.get(values["id"]).verdict_id)
    assert verdict.audio_kept is kept
    copies = list(service.settings.audio_dir.iterdir())
    assert [path.read_bytes() for path in copies] == ([speech] if kept else [])


def test_of_one_that_is_cancelled_when_it_was_judged_no_copy_is_kept(serving, speech, monkeypatch):
    client = serving(keep_audio=True)
    service = client.app.state.service
    keep = service.ledger.keep_audio

    def cancelled(source, identity):
        keep(source, identity)
        assert service.store.jobs.cancel(source.name)

    monkeypatch.setattr(service.ledger, "keep_audio", cancelled)
    until(client, submitted(client, speech), "cancelled")
    monkeypatch.undo()
    until(client, submitted(client, speech), "done")
    assert len(list(service.settings.audio_dir.iterdir())) == 1


@pytest.mark.parametrize(
    "error",
    [
        AudioError("x" * 50, "half a character \ud800, and \0"),
        Problem(418, "teapot", "a refusal that nobody thought of"),
        DataError("INSERT", {}, Exception("no database takes this")),
        RuntimeError("nobody thought of this"),
    ],
)
def test_whatever_one_fails_with_the_next_is_done(serving, speech, monkeypatch, error):
    client = serving()
    monkeypatch.setattr(Judge, "judge", Fails(client.app.state.service.judge.judge, error))
    first, second = submitted(client, speech), submitted(client, speech)
    assert until(client, first, "failed")["error"] is not None
    until(client, second, "done")
    assert client.get("/readyz").status_code == 200


def test_one_whose_end_cannot_be_stored_holds_up_nobody(serving, speech, monkeypatch):
    client = serving()
    store = client.app.state.service.store.jobs
    finish, refused = store.finish, []

    def finished(identity, *given, **options):
        if identity == refused[0]:
            raise DataError("UPDATE", {}, Exception("no database takes this"))
        return finish(identity, *given, **options)

    monkeypatch.setattr(store, "finish", finished)
    monkeypatch.setattr(store, "add", lambda job, add=store.add, **rest: (refused.append(job.id), add(job, **rest))[1])
    submitted(client, speech)
    until(client, submitted(client, speech), "done")


def test_a_worker_that_has_ended_is_seen(serving):
    client = serving()
    assert client.get("/readyz").status_code == 200
    (runner, _) = client.app.state.service.jobs._tasks

    async def end() -> None:
        runner.cancel()
        await asyncio.wait([runner])

    client.portal.call(end)
    problem(client.get("/readyz"), 503, "background")
