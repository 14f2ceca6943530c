"""What signs webhooks is on disk before anything is signed with it."""

from __future__ import annotations

import os

from aasist.service.store import store as module


def test_a_random_secret_is_synced_before_it_is_used_and_stays(tmp_path, monkeypatch):
    synced, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(os.fstat(descriptor)), sync(descriptor))[1])
    path = tmp_path / "secret"
    found = module._kept(path, 32)
    assert [one.st_ino for one in synced] == [path.stat().st_ino, tmp_path.stat().st_ino]
    assert synced[0].st_size == 64
    assert path.stat().st_mode & 0o777 == 0o600
    assert module._kept(path, 32) == found
    assert [one.name for one in tmp_path.iterdir()] == ["secret"]
