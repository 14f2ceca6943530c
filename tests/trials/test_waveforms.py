"""Degraded audio is kept only where asked, to the bit, within its limit, and never trusted blindly."""

import hashlib
import os
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aasist.audio.read import read
from aasist.errors import AasistError
from aasist.trial import Trials, strings
from aasist.trials import waveforms
from aasist.trials.stress import (
    CONDITIONS,
    Condition,
    WaveformCache,
    degraded,
    stressed,
)

Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def speech(recording: Path) -> Samples:
    return read(recording)


def corpus_of(count: int) -> tuple[Trials, list[Samples]]:
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal(rng.integers(800, 4_000)).astype(np.float32) * np.float32(0.1) for _ in range(count)]
    return Trials(strings(f"trial-{row}" for row in range(count)), None), clips


def counted(calls: Counter[str]) -> Condition:
    """A costly condition that counts how often it is applied."""

    def effect(samples: Samples, rng: np.random.Generator) -> Samples:
        calls["applied"] += 1
        return samples + rng.standard_normal(len(samples)).astype(np.float32)

    return Condition("counted", "test", "adds noise and counts", effect, costly=True)


def test_a_second_run_reads_what_the_first_one_stored_to_the_bit(tmp_path: Path) -> None:
    trials, clips = corpus_of(6)
    calls = Counter[str]()
    runs = []
    for cache in (None, WaveformCache(tmp_path / "kept"), WaveformCache(tmp_path / "kept")):
        kept: list[Samples] = []
        list(
            stressed(
                [counted(calls)],
                trials,
                clips.__getitem__,
                lambda x, kept=kept: kept.append(x) or 0.0,
                seed=3,
                cache=cache,
            )
        )
        runs.append(kept)
    assert calls["applied"] == 12
    for row in range(6):
        assert runs[0][row].tobytes() == runs[1][row].tobytes() == runs[2][row].tobytes()
    assert len(list((tmp_path / "kept").iterdir())) == 6


def test_without_a_cache_nothing_is_written_and_cheap_conditions_never_are(
    tmp_path: Path, speech: Samples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    degraded(speech[:8_000], CONDITIONS["replay"], "trial", 0)
    degraded(speech[:8_000], CONDITIONS["gain-6db"], "trial", 0, WaveformCache(tmp_path / "kept"))
    assert [path.name for path in tmp_path.rglob("*")] == ["kept"]


def test_the_key_depends_on_everything_that_the_samples_do() -> None:
    samples = np.arange(4, dtype=np.float32)
    keys = {
        WaveformCache.key(samples, "a", "1", 0, "t"),
        WaveformCache.key(samples + 1, "a", "1", 0, "t"),
        WaveformCache.key(samples[:3], "a", "1", 0, "t"),
        WaveformCache.key(samples, "b", "1", 0, "t"),
        WaveformCache.key(samples, "a", "2", 0, "t"),
        WaveformCache.key(samples, "a", "1", 1, "t"),
        WaveformCache.key(samples, "a", "1", 0, "u"),
        WaveformCache.key(samples, "a1", "", 0, "t"),
    }
    assert len(keys) == 8
    assert WaveformCache.key(samples[::1].copy(), "a", "1", 0, "t") in keys


def test_the_least_recently_used_make_room_and_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.npy").write_bytes(b"x" * 50_000)
    cache = WaveformCache(tmp_path, limit_bytes=10_000)
    keys = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(8)]
    for number, key in enumerate(keys[:4]):
        cache.put(key, np.full(500, number, np.float32))  # 2,128 bytes each
        os.utime(tmp_path / f"{key}.npy", (1_000 + number, 1_000 + number))
    assert cache.get(keys[0]) is not None  # the oldest is used once more
    cache.put(keys[4], np.full(500, 4, np.float32))
    held = {key for key in keys if (tmp_path / f"{key}.npy").exists()}
    assert held == {keys[0], keys[2], keys[3], keys[4]}
    cache.put(keys[5], np.zeros(5_000, np.float32))
    assert cache.get(keys[5]) is None  # larger than the whole cache
    assert len((tmp_path / "notes.npy").read_bytes()) == 50_000
    WaveformCache(tmp_path, limit_bytes=2_500)
    assert len(list(tmp_path.iterdir())) == 2  # a smaller limit holds at once


def test_a_damaged_entry_counts_as_missing_and_is_made_anew(tmp_path: Path, speech: Samples) -> None:
    cache = WaveformCache(tmp_path)
    calls = Counter[str]()
    condition = counted(calls)
    first = degraded(speech[:1_000], condition, "trial", 0, cache)
    (entry,) = tmp_path.iterdir()
    whole = entry.read_bytes()
    for damage in (whole[:-100], b"", b"not an array at all", whole[:128] + b"\xff" * (len(whole) - 128)):
        entry.write_bytes(damage)
        assert np.array_equal(degraded(speech[:1_000], condition, "trial", 0, cache), first)
        assert entry.read_bytes() == whole
    assert calls["applied"] == 5


def test_an_object_array_in_the_folder_is_never_unpickled(tmp_path: Path) -> None:
    cache = WaveformCache(tmp_path)
    key = "0" * 64
    np.save(tmp_path / f"{key}.npy", np.array([{"a": 1}], object), allow_pickle=True)
    assert cache.get(key) is None


def test_unfinished_files_are_swept_when_old_and_a_failed_write_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, young = (tmp_path / f"{digit * 64}.abc_{digit}.part" for digit in "01")
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    cache = WaveformCache(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [young.name]

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(waveforms.np, "save", full)
    with pytest.raises(AasistError, match=r"cannot be written: No space left on device; name another folder") as caught:
        cache.put("2" * 64, np.ones(10, np.float32))
    assert caught.value.code == "cache"
    assert [path.name for path in tmp_path.iterdir()] == [young.name]


def test_a_folder_that_is_a_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(AasistError, match=r"taken: the cache of degraded audio cannot be used"):
        WaveformCache(tmp_path / "taken")
    with pytest.raises(ValueError, match="limit of 1 byte or more, got 0"):
        WaveformCache(tmp_path / "fine", limit_bytes=0)


def test_many_threads_share_a_small_cache_without_a_wrong_waveform(tmp_path: Path) -> None:
    cache = WaveformCache(tmp_path, limit_bytes=20_000)
    condition = counted(Counter())
    clips = [np.full(400, number, np.float32) for number in range(20)]
    truth = [degraded(clip, condition, str(number), 0) for number, clip in enumerate(clips)]
    wrong: list[int] = []

    def work(offset: int) -> None:
        for step in range(60):
            number = (step * 7 + offset) % 20
            if not np.array_equal(degraded(clips[number], condition, str(number), 0, cache), truth[number]):
                wrong.append(number)

    workers = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
