"""API keys: shown once, stored hashed, compared in constant time, refused when they should be."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

from aasist.errors import AasistError
from aasist.service.entry import keys
from aasist.service.entry.keys import Doorkeeper, Limits, new_key, webhook_secret
from aasist.service.problems import Problem
from aasist.service.store.database import connect
from aasist.service.store.keystore import KeyStore


@pytest.fixture
def store(tmp_path):
    engine = connect(f"sqlite:///{tmp_path / 'keys.db'}")
    yield KeyStore(engine)
    engine.dispose()


def doorkeeper(store, required=True) -> Doorkeeper:
    return Doorkeeper(store, required=required, anonymous_detail="rounded")


def refusal(door, header) -> Problem:
    with pytest.raises(Problem) as caught:
        door.principal(header, "192.0.2.1")
    assert caught.value.status == 401
    return caught.value


def test_a_key_lets_in_with_its_scopes_limits_and_detail(store):
    key, stored = new_key("app", scopes=("detect",), detail="label", limits=Limits(streams=2))
    store.add(stored)
    for header in (f"Bearer {key}", f"bearer {key}", f"Bearer  {key} "):
        who = doorkeeper(store).principal(header, "192.0.2.1")
        assert (who.key_id, who.scopes, who.detail, who.limits.streams) == (stored.id, {"detect"}, "label", 2)
        assert who.account == f"key {stored.id}"


def test_nothing_of_the_secret_is_stored(store):
    key, stored = new_key("app")
    secret = key.split("_", 2)[2]
    assert len(secret) >= 43
    assert secret not in repr(stored)
    assert new_key("app")[0] != key


def test_wrong_keys_are_refused_alike(store):
    key, stored = new_key("app")
    store.add(stored)
    other, _ = new_key("app")
    identity = key.split("_")[1]
    for header in (
        f"Bearer {key[:-1]}", f"Bearer {key}x", f"Bearer {other}", "Bearer aasist__",
        f"Bearer aasist_{identity}_", "Bearer aasist_' OR 1=1 --_x", "Bearer " + "a" * 10_000, f"Bearer xx{key[6:]}",
        "Bearer aasist_é_ü",
    ):  # fmt: skip
        assert refusal(doorkeeper(store), header).code == "key_invalid", header


@pytest.mark.parametrize("required", [True, False])
def test_a_header_that_holds_no_key_is_told_how_one_is_sent(store, required):
    key, stored = new_key("app")
    store.add(stored)
    for header in (key, f"Basic {key}", "Bearer", "Bearer ", "Bearer   ", ""):
        problem = refusal(doorkeeper(store, required), header)
        assert (problem.code, problem.message) == ("key_required", "send a key: Authorization: Bearer aasist_..."), (
            header
        )


def test_without_one_it_depends_on_where_the_service_listens(store):
    assert refusal(doorkeeper(store), None).code == "key_required"
    who = doorkeeper(store, required=False).principal(None, "127.0.0.1")
    assert (who.key_id, who.detail, who.account) == (None, "rounded", "address 127.0.0.1")
    assert refusal(doorkeeper(store, required=False), "Bearer aasist_nope_nope").code == "key_invalid"


def test_expired_and_revoked_keys_are_refused(store, monkeypatch):
    key, stored = new_key("app", expires_at=time.time() + 60)
    store.add(stored)
    door = doorkeeper(store)
    door.principal(f"Bearer {key}", "a")
    assert store.usable()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 61)
    assert not store.usable()
    refusal(door, f"Bearer {key}")
    monkeypatch.undo()
    assert store.revoke(stored.id)
    assert not store.revoke(stored.id)
    assert not store.revoke("nobody")
    refusal(doorkeeper(store), f"Bearer {key}")


def test_a_revoked_key_that_was_just_used_is_refused_once_it_is_looked_up_again(store, monkeypatch):
    key, stored = new_key("app")
    store.add(stored)
    door = doorkeeper(store)
    door.principal(f"Bearer {key}", "a")
    store.revoke(stored.id)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + keys.CACHE_SECONDS + 0.1)
    refusal(door, f"Bearer {key}")


def test_secrets_are_compared_by_a_function_that_takes_as_long_for_all(store, monkeypatch):
    key, stored = new_key("app")
    store.add(stored)
    seen = []
    compare = keys.hmac.compare_digest
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda a, b: seen.append((len(a), len(b))) or compare(a, b))
    door = doorkeeper(store)
    door.principal(f"Bearer {key}", "a")
    refusal(door, "Bearer aasist_unknown_secret")
    assert seen == [(32, 32), (32, 32)]


def test_what_a_key_is_made_of_is_checked():
    with pytest.raises(AasistError, match="scopes must be of"):
        new_key("app", scopes=("detect", "root"))
    for name in ("", "x" * 101):
        with pytest.raises(AasistError, match="1 to 100"):
            new_key(name)


def test_webhook_secrets_differ_by_key_and_by_service():
    assert len({webhook_secret(secret, key) for secret in (b"a" * 32, b"b" * 32) for key in ("x", "y", None)}) == 6


def test_a_database_that_is_away_when_a_key_is_looked_up_is_a_503(serving, monkeypatch):
    client = serving(require_keys=True)
    store = client.app.state.service.store

    def away(*given):
        raise sa.exc.OperationalError("SELECT", {"id": "key"}, Exception("gone"))

    monkeypatch.setattr(store.keys, "get", away)
    response = client.get("/v1/models", headers={"Authorization": "Bearer aasist_0123456789ab_" + 43 * "x"})
    assert response.status_code == 503
    assert response.json()["code"] == "database"
    assert response.headers["Retry-After"]
