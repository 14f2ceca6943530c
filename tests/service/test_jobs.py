"""``/v1/jobs``: acknowledged, judged, told; the audio gone when they end."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest

from aasist.errors import AudioError
from aasist.service.entry.keys import new_key
from aasist.service.jobs import ORPHAN_SECONDS
from aasist.service.judge import Given, Judge

from .test_detect import form, problem
from .test_webhooks import receiver


def until(client, location: str, *statuses: str) -> dict:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        values = client.get(location).json()
        if values["status"] in statuses:
            return values
        time.sleep(0.02)
    raise AssertionError(values)


@pytest.fixture
def held(monkeypatch):
    """While the event is not set, jobs are judged for ever."""
    gate, judge = threading.Event(), Judge._judge

    def held_up(self, file, name, bounds, stop, *rest):
        while bounds.patient and not gate.wait(0.01):
            if stop.is_set():
                raise Given
        return judge(self, file, name, bounds, stop, *rest)

    monkeypatch.setattr(Judge, "_judge", held_up)
    yield gate
    gate.set()


def test_a_job_is_judged_as_a_request_is(client, speech):
    response = client.post("/v1/jobs?timeline=1", **form(speech))
    assert response.status_code == 202
    assert response.headers["Location"] == f"/v1/jobs/{response.json()['id']}"
    assert response.json()["status"] == "queued"
    values = until(client, response.headers["Location"], "done")
    assert values["verdict"] == client.post("/v1/detect?timeline=1", **form(speech)).json()
    assert values["error"] is None
    assert values["progress_seconds"] == values["verdict"]["duration_seconds"] == 3.0
    assert values["created_at"] <= values["started_at"] <= values["finished_at"]
    assert list(client.app.state.service.settings.jobs_dir.iterdir()) == []


def test_the_timeline_is_a_field_of_the_form_too_and_a_misspelt_one_is_refused(client, speech):
    response = client.post("/v1/jobs", data={"timeline": "1"}, **form(speech))
    assert until(client, response.headers["Location"], "done")["verdict"]["windows"]
    said = problem(
        client.post("/v1/jobs", data={"webhok_url": "https://h.example"}, **form(speech)), 400, "invalid_form"
    )
    assert said["detail"] == "no field 'webhok_url'; there are: file, timeline, webhook_url"
    assert client.app.state.service.store.jobs.waiting() == 0


def test_one_that_cannot_be_judged_has_failed_with_the_code(client):
    values = until(client, client.post("/v1/jobs", **form(b"no recording")).headers["Location"], "failed")
    assert values["error"]["code"] == "unreadable"
    assert values["verdict"] is None
    assert list(client.app.state.service.settings.jobs_dir.iterdir()) == []


def test_uploads_are_refused_as_for_a_request(serving, speech):
    client = serving(job_max_bytes=50_000)
    problem(client.post("/v1/jobs", **form(speech)), 413, "too_large")
    problem(client.post("/v1/jobs", content=b"{}", headers={"Content-Type": "application/json"}), 415, "content_type")
    problem(client.post("/v1/jobs", files={"x": b"1"}), 400, "missing_file")
    problem(client.post("/v1/jobs?webhook_url=http://10.0.0.1/", **form(speech[:40_000])), 400, "webhook_url")
    problem(client.post("/v1/jobs", data={"webhook_url": "ftp://x"}, **form(speech[:40_000])), 400, "webhook_url")
    service = client.app.state.service
    assert list(service.settings.jobs_dir.iterdir()) == []
    assert service.store.jobs.waiting() == 0


def test_what_is_not_there_is_not_found(client):
    for identity in ("0" * 32, "x", "..%2f..%2fetc%2fpasswd"):
        assert client.get(f"/v1/jobs/{identity}").status_code == 404
        assert client.delete(f"/v1/jobs/{identity}").status_code == 404


def test_while_it_waits_its_audio_is_private_and_cancelled_it_is_gone(serving, speech, held):
    client = serving()
    first, second = (client.post("/v1/jobs", **form(speech)).headers["Location"] for _ in range(2))
    until(client, first, "running")
    service = client.app.state.service
    files = list(service.settings.jobs_dir.iterdir())
    assert {path.name for path in files} == {first.rpartition("/")[2], second.rpartition("/")[2]}
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert service.settings.jobs_dir.stat().st_mode & 0o777 == 0o700
    for location in (first, second):
        assert client.delete(location).json()["status"] == "cancelled"
    assert list(service.settings.jobs_dir.iterdir()) == []
    problem(client.delete(first), 409, "job_ended")
    held.set()
    done = client.post("/v1/jobs", **form(speech)).headers["Location"]
    until(client, done, "done")
    assert client.get(first).json()["status"] == "cancelled"
    problem(client.delete(done), 409, "job_ended")


def test_progress_is_told_long_before_the_lease_is_half_over(serving, speech, monkeypatch):
    """And that of a job that fails is where it was."""

    def halfway(self, file, name, bounds, stop, asked, progress, charge):
        progress(1.25)
        while not stop.wait(0.01) and not gate.is_set():
            pass
        raise AudioError("unreadable", "it is damaged")

    gate = threading.Event()
    monkeypatch.setattr(Judge, "_judge", halfway)
    client = serving(job_lease_seconds=3_600.0)
    location = client.post("/v1/jobs", **form(speech)).headers["Location"]
    end = time.monotonic() + 20
    while client.get(location).json()["progress_seconds"] == 0.0 and time.monotonic() < end:
        time.sleep(0.05)
    assert client.get(location).json()["progress_seconds"] == 1.25
    gate.set()
    assert until(client, location, "failed")["progress_seconds"] == 1.25


def test_a_service_that_stops_gives_its_job_back_and_the_next_finishes_it(settings, serving, speech, held):
    from contextlib import ExitStack

    from fastapi.testclient import TestClient

    from aasist.service.app import create_app

    from .conftest import HERE

    given = settings()
    with ExitStack() as stack:
        client = stack.enter_context(TestClient(create_app(given), base_url=HERE))
        location = client.post("/v1/jobs", **form(speech)).headers["Location"]
        until(client, location, "running")
    held.set()
    client = serving(given)
    until(client, location, "done")
    assert client.app.state.service.store.jobs.get(location.rpartition("/")[2]).attempts == 1


def test_one_whose_process_died_is_taken_over_when_its_lease_is_over(settings, serving, speech, held):
    client = serving(settings(job_runners=0))
    location = client.post("/v1/jobs", **form(speech)).headers["Location"]
    assert client.app.state.service.store.jobs.claim("a process that was killed", 0.5) is not None
    held.set()
    values = until(serving(settings(job_lease_seconds=0.5)), location, "done")
    assert values["verdict"] is not None
    assert client.app.state.service.store.verdicts.count() == 1


def test_one_that_takes_the_service_down_every_time_is_given_up(settings, serving, speech):
    client = serving(settings(job_runners=0))
    location = client.post("/v1/jobs", **form(speech)).headers["Location"]
    for _ in range(5):
        assert client.app.state.service.store.jobs.claim("killed", 0.001) is not None
        time.sleep(0.01)
    values = until(serving(settings()), location, "failed")
    assert values["error"]["code"] == "gave_up"


def test_a_job_that_is_cancelled_while_it_runs_is_stopped(serving, speech, held):
    client = serving(job_lease_seconds=0.3)
    location = client.post("/v1/jobs", **form(speech)).headers["Location"]
    until(client, location, "running")
    client.delete(location)
    end = time.monotonic() + 10
    while client.app.state.service.jobs._stops:
        assert time.monotonic() < end, "nobody told the one who works on it"
        time.sleep(0.05)


def test_when_so_many_wait_no_more_are_taken(serving, speech, held):
    client = serving(max_jobs_waiting=2)
    assert [client.post("/v1/jobs", **form(speech)).status_code for _ in range(2)] == [202, 202]
    response = client.post("/v1/jobs", **form(speech))
    problem(response, 503, "jobs_full")
    assert response.headers["Retry-After"]


def test_one_key_does_not_take_the_room_of_another(serving, speech):
    client = serving(job_runners=0, max_jobs_waiting=6, max_jobs_waiting_each=3)
    bearers = []
    for name in ("one", "other"):
        key, stored = new_key(name)
        client.app.state.service.store.keys.add(stored)
        bearers.append({"Authorization": f"Bearer {key}"})
    one, other = bearers

    def submit(headers):
        return client.post("/v1/jobs", headers=headers, **form(speech))

    locations = [submit(one).headers["Location"] for _ in range(3)]
    refused = submit(one)
    problem(refused, 429, "job_limit")
    assert refused.headers["Retry-After"]
    assert submit(other).status_code == 202
    assert client.delete(locations[0], headers=one).status_code == 200
    assert submit(one).status_code == 202


def test_nor_its_disk(serving, speech):
    given = {"job_max_bytes": len(speech) + 100, "max_job_bytes_each": 2 * len(speech) - 100}
    client = serving(job_runners=0, **given)
    assert client.post("/v1/jobs", **form(speech)).status_code == 202
    problem(client.post("/v1/jobs", **form(speech)), 429, "job_limit")
    service = client.app.state.service
    assert len(list(service.settings.jobs_dir.iterdir())) == 1
    assert service.store.jobs.waiting() == 1


def test_a_database_that_fails_leaves_no_audio_and_acknowledges_nothing_and_no_log_tells_what_it_was(
    serving, speech, caplog
):
    client = serving()
    service = client.app.state.service
    with closing(sqlite3.connect(service.settings.state_dir / "aasist.db")) as database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON jobs BEGIN SELECT RAISE(ABORT, 'disk full'); END")
        database.commit()
        sent = form(speech, "anna-müller.wav")
        response = client.post("/v1/jobs", data={"webhook_url": "http://127.0.0.1:9/?token=secret"}, **sent)
        problem(response, 503, "database")
        assert response.headers["Retry-After"]
        assert "database" in caplog.text
        assert "müller" not in caplog.text
        assert "secret" not in caplog.text
        assert "Location" not in response.headers
        assert list(service.settings.jobs_dir.iterdir()) == []
        assert service.store.jobs.waiting() == 0
        database.execute("DROP TRIGGER full")
        database.commit()
    until(client, client.post("/v1/jobs", **form(speech)).headers["Location"], "done")


def test_audio_that_a_kill_left_behind_is_deleted_and_that_of_open_jobs_is_not(client, speech, held):
    import os

    service = client.app.state.service
    location = client.post("/v1/jobs", **form(speech)).headers["Location"]
    ended = until(client, client.post("/v1/jobs", **form(b"x")).headers["Location"], "queued")["id"]
    service.store.jobs.cancel(ended)
    folder = service.settings.jobs_dir
    (folder / ".unfinished").write_bytes(b"x")
    (folder / ("e" * 32)).write_bytes(b"x")
    for name in (".unfinished", location.rpartition("/")[2]):
        os.utime(folder / name, (time.time() - 2 * ORPHAN_SECONDS,) * 2)
    service.jobs._tidy()
    assert {path.name for path in folder.iterdir()} == {location.rpartition("/")[2], "e" * 32}
    (folder / ("e" * 32)).unlink()
    held.set()
    until(client, location, "done")


@pytest.mark.parametrize("by_form", [True, False])
def test_when_it_ends_the_webhook_is_told(client, speech, by_form):
    from aasist.service.entry.keys import webhook_secret

    with receiver() as (url, seen):
        given = {"data": {"webhook_url": f"{url}/hook"}} if by_form else {"params": {"webhook_url": f"{url}/hook"}}
        response = client.post("/v1/jobs", **given, **form(speech))
        assert response.json()["webhook"] == "pending"
        end = time.monotonic() + 20
        while client.get(response.headers["Location"]).json()["webhook"] != "delivered":
            assert time.monotonic() < end
            time.sleep(0.05)
    values = client.get(response.headers["Location"]).json()
    import json

    from aasist.service.webhooks import signature

    _, headers, body = seen[0]
    assert len(seen) == 1
    assert {**json.loads(body), "webhook": "delivered"} == values
    moment = int(headers["Aasist-Signature"].split(",")[0][2:])
    secret = webhook_secret(client.app.state.service.store.secret, None)
    assert headers["Aasist-Signature"] == signature(secret, body, moment)


def test_a_webhook_that_fails_is_tried_again(serving, speech, monkeypatch):
    from aasist.service import webhooks

    monkeypatch.setattr(webhooks, "FIRST_RETRY_SECONDS", 0.1)
    client = serving(webhook_attempts=3)
    with receiver(500) as (url, seen):
        location = client.post("/v1/jobs", params={"webhook_url": url}, **form(speech)).headers["Location"]
        end = time.monotonic() + 30
        while client.get(location).json()["webhook"] != "given_up":
            assert time.monotonic() < end
            time.sleep(0.1)
    assert len(seen) == 3
    assert client.get(location).json()["status"] == "done"


def test_a_key_that_sees_labels_gets_labels_from_jobs_too(client, speech):
    key, stored = new_key("labels", detail="label")
    client.app.state.service.store.keys.add(stored)
    client.headers["Authorization"] = f"Bearer {key}"
    try:
        verdict = until(client, client.post("/v1/jobs", **form(speech)).headers["Location"], "done")["verdict"]
    finally:
        del client.headers["Authorization"]
    assert verdict["llr"] is None
    assert verdict["label"] in ("bonafide", "spoof")
    assert replace(stored, detail="label") == stored
