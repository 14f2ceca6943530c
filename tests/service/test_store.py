"""What is kept, the same in SQLite and in PostgreSQL."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.engine import make_url

from aasist.errors import AasistError
from aasist.service.entry.keys import new_key
from aasist.service.settings import Settings
from aasist.service.store.database import config, connect, migrate
from aasist.service.store.jobstore import JobStore, NoRoom, Room, StoredJob
from aasist.service.store.keystore import KeyStore
from aasist.service.store.store import Store
from aasist.service.store.tables import metadata
from aasist.service.store.verdictstore import StoredVerdict, VerdictStore

NODE = "n" * 32


@pytest.fixture
def engine(database):
    made = connect(Settings(database=database).database_url)
    yield made
    made.dispose()


@pytest.fixture
def jobs(engine):
    return JobStore(engine, NODE)


def job(identity: str, **given) -> StoredJob:
    fresh = StoredJob(
        id=identity,
        node=NODE,
        key_id=None,
        status="queued",
        created_at=time.time(),
        name="call.wav",
        bytes=5,
        timeline=False,
    )
    return replace(fresh, **given)


def verdict(identity: str, **given) -> StoredVerdict:
    made = StoredVerdict(identity, None, None, time.time(), "spoof", -1.5, "efficient", "0" * 64, '{"é": 1}', False)
    return replace(made, **given)


def test_migrations_come_to_the_tables_of_the_code(engine):
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_migrations_go_back_and_forth_and_are_harmless_when_repeated(engine):
    migrate(engine)
    settings = config()
    with engine.begin() as connection:
        settings.attributes["connection"] = connection
        command.downgrade(settings, "base")
    assert sa.inspect(engine).get_table_names() == ["alembic_version"]
    migrate(engine)
    assert set(sa.inspect(engine).get_table_names()) == {"alembic_version", "api_keys", "jobs", "verdicts"}


def test_processes_that_begin_at_once_do_not_fall_over_each_other(database):
    url = Settings(database=database).database_url
    with ThreadPoolExecutor(6) as pool:
        for engine in pool.map(lambda _: connect(url), range(6)):
            engine.dispose()


def test_a_database_of_a_newer_version_is_refused(engine, database):
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(AasistError, match="newer version"):
        connect(Settings(database=database).database_url)


def test_a_database_that_cannot_be_had_is_told_without_its_password():
    with pytest.raises(AasistError) as caught:
        connect("postgresql+psycopg://user:hunter2@127.0.0.1:1/name?connect_timeout=2")
    assert caught.value.code == "database"
    assert "hunter2" not in caught.value.message
    assert "\n" not in caught.value.message


def test_sqlite_writes_ahead_survives_power_cuts_and_is_private(tmp_path):
    engine = connect(f"sqlite:///{tmp_path / 'deep' / 'x.db'}")
    with engine.connect() as connection:
        found = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    engine.dispose()
    assert found == ["wal", 2]
    assert (tmp_path / "deep" / "x.db").stat().st_mode & 0o077 == 0


def test_keys_come_back_as_they_were(engine):
    keys = KeyStore(engine)
    made = [new_key(name, expires_at=time.time() + n, detail="label")[1] for n, name in enumerate(("one", "zwei ü"))]
    for key in made:
        keys.add(key)
    assert keys.all() == made
    assert keys.get(made[0].id) == made[0]
    assert keys.get("x") is None
    assert keys.revoke(made[0].id)
    assert keys.get(made[0].id).state(time.time()) == "revoked"


def test_verdicts_come_back_and_are_forgotten(engine):
    verdicts = VerdictStore(engine)
    old, new = verdict("a" * 32, created_at=1.0), verdict("b" * 32, audio_kept=True)
    verdicts.add([old, new])
    verdicts.add([])
    assert (verdicts.get(old.id), verdicts.get(new.id), verdicts.count()) == (old, new, 2)
    assert verdicts.forget(time.time() - 60) == 1
    assert verdicts.get(old.id) is None
    verdicts.audio_gone([new.id])
    assert not verdicts.get(new.id).audio_kept


def test_a_job_goes_from_queue_to_verdict(jobs, engine):
    jobs.add(job("j" * 32))
    taken = jobs.claim("me", 10)
    assert (taken.id, taken.status, taken.attempts, taken.lease_owner) == ("j" * 32, "running", 1, "me")
    assert taken.started_at is not None
    assert jobs.renew(taken.id, "me", 10, 12.5)
    assert jobs.get(taken.id).progress_seconds == 12.5
    made = verdict("v" * 32, job_id=taken.id)
    assert jobs.finish(taken.id, "me", verdict=made, document="{}", error=None)
    found = jobs.get(taken.id)
    assert (found.status, found.verdict_id, found.document, found.lease_owner) == ("done", made.id, "{}", None)
    assert VerdictStore(engine).get(made.id) == made
    assert jobs.claim("me", 10) is None


def test_the_oldest_is_taken_first_and_only_from_ones_own_folder(jobs, engine):
    for number in (3, 1, 2):
        jobs.add(job(str(number) * 32, created_at=float(number)))
    jobs.add(job("0" * 32, node="other", created_at=0.0))
    assert [jobs.claim("me", 10).id[0] for _ in range(3)] == ["1", "2", "3"]
    assert jobs.claim("me", 10) is None
    assert JobStore(engine, "other").claim("me", 10).id == "0" * 32
    assert jobs.waiting() == 4
    assert jobs.open_ids() == {"1" * 32, "2" * 32, "3" * 32}


def test_keys_take_turns_whoever_queued_most(jobs, engine):
    for name in ("ka", "kb", "kc"):
        KeyStore(engine).add(replace(new_key("one")[1], id=name))
    names = ["ka1", "ka2", "ka3", "ka4", "kb1", "kb2", "x1"]
    for number, name in enumerate(names):
        jobs.add(job(name.ljust(32, "_"), key_id=None if name[0] == "x" else name[:2], created_at=float(number)))
    taken = [jobs.claim("me", 60).id.rstrip("_") for _ in range(4)]
    jobs.add(job("kc1".ljust(32, "_"), key_id="kc"))
    while (found := jobs.claim("me", 60)) is not None:
        taken.append(found.id.rstrip("_"))
    assert taken == ["ka1", "kb1", "x1", "ka2", "kc1", "kb2", "ka3", "ka4"]


def test_a_key_has_so_much_room_however_many_come_at_once(jobs, engine):
    KeyStore(engine).add(replace(new_key("one")[1], id="k1"))
    room = Room(jobs=3, bytes=100)

    def add(identity: str) -> bool:
        try:
            jobs.add(job(identity, key_id="k1", bytes=10), room=room)
        except NoRoom:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(add, [f"{number:032d}" for number in range(12)])) == [False] * 9 + [True] * 3
    assert jobs.held("k1") == Room(3, 30)
    assert jobs.held(None) == Room(0, 0)
    jobs.add(job("n" * 32, bytes=100), room=room)
    with pytest.raises(NoRoom):
        jobs.add(job("m" * 32, bytes=1), room=room)
    jobs.cancel("n" * 32)
    jobs.add(job("m" * 32, bytes=1), room=room)
    assert jobs.waiting() == 4


def test_many_who_claim_at_once_never_get_the_same(jobs):
    for number in range(40):
        jobs.add(job(f"{number:032d}"))
    taken, lock = [], threading.Lock()

    def work(owner: str) -> None:
        while (found := jobs.claim(owner, 60)) is not None:
            with lock:
                taken.append(found.id)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(work, f"owner{n}") for n in range(8)]:
            done.result()
    # Of those that try in the same moment one may find nothing and leave; nothing is taken twice.
    while (found := jobs.claim("last", 60)) is not None:
        taken.append(found.id)
    assert sorted(taken) == [f"{number:032d}" for number in range(40)]


def test_a_lease_that_ran_out_is_taken_over_and_the_first_owner_finishes_nothing(jobs, engine):
    jobs.add(job("j" * 32))
    assert jobs.claim("dead", 0.05) is not None
    assert jobs.claim("next", 10) is None
    time.sleep(0.1)
    again = jobs.claim("next", 10)
    assert (again.id, again.attempts) == ("j" * 32, 2)
    assert not jobs.renew(again.id, "dead", 10, 1.0)
    assert not jobs.finish(again.id, "dead", verdict=verdict("d" * 32), document="{}", error=None)
    assert jobs.finish(again.id, "next", verdict=verdict("n" * 32), document="{}", error=None)
    assert not jobs.finish(again.id, "next", verdict=verdict("m" * 32), document="{}", error=None)
    assert VerdictStore(engine).count() == 1


def test_what_is_given_back_does_not_count_as_an_attempt(jobs):
    jobs.add(job("j" * 32))
    jobs.claim("me", 10)
    assert jobs.release("j" * 32, "me")
    assert not jobs.release("j" * 32, "me")
    assert (jobs.get("j" * 32).status, jobs.claim("you", 10).attempts) == ("queued", 1)


def test_a_cancelled_job_is_finished_by_nobody(jobs):
    jobs.add(job("j" * 32))
    jobs.claim("me", 10)
    assert jobs.cancel("j" * 32)
    assert not jobs.cancel("j" * 32)
    assert not jobs.renew("j" * 32, "me", 10, 0.0)
    assert not jobs.finish("j" * 32, "me", verdict=None, document=None, error=("a", "b"))
    assert jobs.get("j" * 32).status == "cancelled"


def test_webhooks_are_due_when_a_job_ends_and_taken_once(jobs):
    jobs.add(job("a" * 32, webhook_url="https://h.example/"))
    jobs.add(job("b" * 32))
    assert jobs.take_webhook(60) is None
    for _ in range(2):
        taken = jobs.claim("me", 10)
        jobs.finish(taken.id, "me", verdict=None, document=None, error=("code", "why"))
    due = jobs.take_webhook(60)
    assert (due.id, due.webhook_attempts) == ("a" * 32, 1)
    assert jobs.take_webhook(60) is None
    jobs.webhook_done(due.id, delivered=False, again_at=time.time() - 1)
    assert jobs.take_webhook(60).webhook_attempts == 2
    jobs.webhook_done(due.id, delivered=True, again_at=None)
    found = jobs.get(due.id)
    assert found.webhook_due_at is None
    assert found.webhook_delivered_at is not None


def test_webhooks_of_the_busy_are_passed_over_and_one_that_was_cut_off_is_due_at_once(jobs, engine):
    KeyStore(engine).add(replace(new_key("one")[1], id="k1"))
    jobs.add(job("a" * 32, webhook_url="https://slow_1.example/x", webhook_due_at=1.0))
    jobs.add(job("b" * 32, webhook_url="https://slow-1.example/x", webhook_due_at=2.0))
    jobs.add(job("c" * 32, webhook_url="https://h.example/", webhook_due_at=3.0, key_id="k1"))
    assert jobs.take_webhook(60, not_of=[None, "k1"]) is None
    assert jobs.take_webhook(60, not_of=[None]).id == "c" * 32
    assert jobs.take_webhook(60, not_to=["https://slow_1.example"]).id == "b" * 32
    assert jobs.take_webhook(60).id == "a" * 32
    jobs.webhook_back("a" * 32)
    assert (jobs.take_webhook(60).id, jobs.get("a" * 32).webhook_attempts) == ("a" * 32, 1)


def test_one_that_has_to_wait_is_free_when_it_has(jobs):
    jobs.add(job("a" * 32))
    jobs.claim("me", 10)
    assert jobs.release("a" * 32, "me", after_seconds=0.2, counted=True)
    assert not jobs.renew("a" * 32, "me", 10, 0.0)
    assert jobs.claim("you", 10) is None
    time.sleep(0.25)
    assert jobs.claim("you", 10).attempts == 2


def test_words_that_no_database_takes_are_stored_without_what_it_does_not_take(jobs):
    jobs.add(job("a" * 32))
    jobs.claim("me", 10)
    assert jobs.finish("a" * 32, "me", verdict=None, document=None, error=("c" * 99, "a\0b \ud800"))
    assert (jobs.get("a" * 32).error_code, jobs.get("a" * 32).error_message) == ("c" * 40, "ab ?")


def test_old_jobs_are_forgotten_unless_they_are_open_or_still_to_be_told(jobs):
    jobs.add(job("a" * 32, status="done", finished_at=5.0))
    jobs.add(job("b" * 32, status="done", finished_at=5.0, webhook_url="https://h.example/", webhook_due_at=6.0))
    jobs.add(job("c" * 32, created_at=1.0))
    jobs.add(job("d" * 32, status="failed", finished_at=time.time()))
    assert jobs.forget(time.time() - 60) == ["a" * 32]
    assert jobs.get("a" * 32) is None


def test_the_secret_is_on_the_disk_before_it_is_used(tmp_path, monkeypatch):
    done, fsync, link = [], os.fsync, os.link

    def synced(handle: int) -> None:
        fsync(handle)
        done.append(("sync", Path(f"/proc/self/fd/{handle}").readlink().name.split(".")[1:2] or "folder"))

    def linked(source, target) -> None:
        link(source, target)
        assert len(Path(target).read_bytes()) >= 32  # written, not only on its way
        done.append(("link", [Path(target).name]))

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "link", linked)
    given = Settings(state_dir=tmp_path / "state")
    Store(given).close()
    expected = [one for name in ("secret", "node") for one in (("sync", [name]), ("link", [name]), ("sync", "folder"))]
    assert done == expected


def test_the_secret_of_a_service_stays_and_is_private(tmp_path):
    given = Settings(state_dir=tmp_path / "state")
    one, two = Store(given), Store(given)
    assert one.secret == two.secret
    assert one.jobs.node == two.jobs.node
    assert len(one.secret) == 64
    for path in (tmp_path / "state" / "secret", tmp_path / "state" / "node"):
        assert path.stat().st_mode & 0o077 == 0
    assert (tmp_path / "state").stat().st_mode & 0o077 == 0
    assert not [path for path in (tmp_path / "state").iterdir() if path.name.startswith(".")]
    assert Store(given.model_copy(update={"secret": "s" * 32})).secret == b"s" * 32
    assert make_url(given.database_url).database == str(tmp_path / "state" / "aasist.db")
