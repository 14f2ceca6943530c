"""The cache holds what was used last within its budget to the page, and gives back what was put in, from disk as well."""

import errno
import os
from collections import OrderedDict
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from aasist.errors import AasistError
from aasist.training import cache as module
from aasist.training.cache import BLOCK_BYTES, CacheStatistics, DiskTier, WaveformCache
from aasist.training.waveforms import Int16

PER_PAGE = BLOCK_BYTES // 2


def waveform(row: int, samples: int) -> Int16:
    return (np.arange(samples) * 31 + row * 17).astype(np.int16)


class SlowTwin:
    """The same by the book: a dictionary in order of use, sizes counted in whole pages."""

    def __init__(self, budget_bytes: int) -> None:
        self.budget, self.held = budget_bytes, OrderedDict[int, Int16]()

    @staticmethod
    def pages(samples: Int16) -> int:
        return -(-len(samples) // PER_PAGE) * BLOCK_BYTES

    def total(self) -> int:
        return sum(map(self.pages, self.held.values()))

    def get(self, row: int) -> Int16 | None:
        if row in self.held:
            self.held.move_to_end(row)
        return self.held.get(row)

    def put(self, row: int, samples: Int16) -> None:
        if row in self.held or self.pages(samples) > self.budget:
            return
        while self.total() + self.pages(samples) > self.budget // BLOCK_BYTES * BLOCK_BYTES:
            self.held.popitem(last=False)
        self.held[row] = samples

    def shrink(self, to_bytes: int) -> None:
        self.budget = min(self.budget, to_bytes)
        while self.total() > self.budget:
            self.held.popitem(last=False)


@settings(max_examples=60)
@given(
    some.integers(0, 12 * BLOCK_BYTES),
    some.lists(
        some.tuples(some.sampled_from("gps"), some.integers(0, 7), some.integers(1, 4 * PER_PAGE + 7)), max_size=60
    ),
)
def test_it_holds_what_a_dictionary_in_order_of_use_would(budget: int, steps: list[tuple[str, int, int]]) -> None:
    ours, twin = WaveformCache(budget), SlowTwin(budget)
    for step, row, size in steps:
        if step == "g":
            got, expected = ours.get(row), twin.get(row)
            assert (got is None) == (expected is None) and (got is None or (got == expected).all())
        elif step == "p":
            for each in (ours, twin):
                each.put(row, waveform(row, size))
        else:
            for each in (ours, twin):
                each.shrink(size * 8)
        assert ours.held_bytes == twin.total() <= budget
        assert list(ours._entries) == list(twin.held)
        assert len(ours) == ours.statistics.held == len(twin.held)


def test_hits_and_evictions_are_counted_and_workers_add_up() -> None:
    cache = WaveformCache(2 * BLOCK_BYTES)
    for row in range(3):
        cache.put(row, waveform(row, 100))
    assert 0 not in cache and 1 in cache and 2 in cache
    assert cache.get(0) is None and cache.get(2) is not None
    assert cache.statistics.hits == 1 and cache.statistics.evictions == 1
    assert cache.statistics.held == 2 and cache.statistics.held_bytes == 2 * BLOCK_BYTES
    total = CacheStatistics(hits=1, misses=2) + CacheStatistics(hits=2, disk_hits=1, budget_bytes=7)
    assert total == CacheStatistics(hits=3, disk_hits=1, misses=2, budget_bytes=7)
    assert total.hit_share == pytest.approx(4 / 6) and CacheStatistics().hit_share == 0.0


def test_a_copy_is_given_so_that_nobody_changes_what_is_held() -> None:
    cache = WaveformCache(8 * BLOCK_BYTES)
    cache.put(0, waveform(0, 5_000))
    got = cache.get(0)
    assert got is not None
    got[:] = 0
    assert (cache.get(0) == waveform(0, 5_000)).all()


def test_without_a_budget_nothing_is_kept_and_a_negative_one_is_refused() -> None:
    cache = WaveformCache(0)
    cache.put(0, waveform(0, 10))
    assert cache.get(0) is None and cache.held_bytes == 0
    with pytest.raises(ValueError, match="budget of 0 bytes or more, got -1"):
        WaveformCache(-1)


def test_memory_stays_within_the_budget_and_goes_back_to_the_system_when_shrunk() -> None:
    """Twenty times the budget of waveforms of all lengths, as they come in a corpus: measured, not counted."""
    process, budget = psutil.Process(), 64 << 20
    rng = np.random.default_rng(0)
    lengths = rng.integers(8_000, 120_000, 3_000)
    source = rng.integers(-999, 999, 120_000).astype(np.int16)
    before = process.memory_info().rss
    cache = WaveformCache(budget)
    assert process.memory_info().rss - before < 4 << 20  # a budget takes nothing until it is used
    most = 0
    for row, length in enumerate(lengths.tolist()):
        cache.put(row, source[:length])
        if row % 100 == 0:
            most = max(most, process.memory_info().rss - before)
    assert cache.statistics.evictions > 1_000
    assert 0.9 * budget < most < 1.1 * budget
    cache.shrink(8 << 20)
    assert process.memory_info().rss - before < 12 << 20
    kept = next(reversed(cache._entries))
    assert (cache.get(kept) == source[: lengths[kept]]).all()


def recording(path: Path, content: bytes = b"x") -> str:
    path.write_bytes(content)
    return str(path)


def test_the_disk_gives_back_what_was_stored_whoever_asks(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path / "tier", 1 << 20)
    key = tier.key(recording(tmp_path / "a.wav"), "0/120")
    assert key is not None and tier.get(key) is None
    samples = waveform(3, 12_345)
    assert tier.put(key, samples) == 2 * 12_345 + 16
    other = DiskTier(tmp_path / "tier", 1 << 20).get(key)  # as another process has it
    assert other is not None and (other == samples).all()
    got = tier.get(key)
    assert got is not None and (got == samples).all() and got.flags.owndata
    assert (tmp_path / "tier").stat().st_mode & 0o077 == 0


def test_a_recording_that_changed_or_another_option_is_another_entry(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path / "tier", 1 << 20)
    path = recording(tmp_path / "a.wav")
    keys = {tier.key(path, "0/120"), tier.key(path, "40/120"), tier.key(recording(tmp_path / "b.wav"), "0/120")}
    recording(tmp_path / "a.wav", b"longer")
    keys.add(tier.key(path, "0/120"))
    os.utime(path, (1, 1))
    keys.add(tier.key(path, "0/120"))
    assert len(keys) == 5
    assert tier.key(str(tmp_path / "none.wav"), "") is None and tier.key("a\0b", "") is None


def test_a_damaged_entry_counts_as_missing_and_is_deleted(tmp_path: Path) -> None:
    tier = DiskTier(tmp_path / "tier", 1 << 20)
    key = "ab" + "0" * 38
    for damage in (
        lambda whole: b"",
        lambda whole: whole[:-3],
        lambda whole: whole[:-2],
        lambda whole: whole[:40] + b"\xff" + whole[41:],
        lambda whole: b"x" + whole[1:],
    ):
        tier.put(key, waveform(0, 100))
        path = tmp_path / "tier" / "ab" / f"{key}.pcm"
        path.write_bytes(damage(path.read_bytes()))
        assert tier.get(key) is None
        assert not path.exists() or path.stat().st_size == 0
        path.unlink(missing_ok=True)


def test_the_limit_counts_what_the_folder_holds_and_is_divided_among_processes(tmp_path: Path) -> None:
    first = DiskTier(tmp_path, 1_000)
    assert first.put("aa" + "0" * 38, waveform(0, 192)) == 400
    second = DiskTier(tmp_path, 1_000)  # 600 bytes are left
    share = second.shared_by(2)
    assert share.put("bb" + "0" * 38, waveform(0, 150)) == 0  # 316 of 300
    assert share.put("cc" + "0" * 38, waveform(0, 142)) == 300
    assert share.put("dd" + "0" * 38, waveform(0, 1)) == 0
    assert second.put("dd" + "0" * 38, waveform(0, 292)) == 600
    assert not first.ended and share.ended and not second.ended
    assert second.put("ee" + "0" * 38, waveform(0, 292)) == 0 and second.ended


def test_what_was_not_read_for_longest_makes_room_when_a_full_folder_is_opened(tmp_path: Path) -> None:
    first = DiskTier(tmp_path, 1_000)
    names = [letter * 40 for letter in "abcde"]
    for age, name in enumerate(names):
        assert first.put(name, waveform(age, 92)) == 200
        os.utime(first._path(name), (age + 1, age + 1))
    assert first.get(names[0]) is not None  # read: now the youngest
    (tmp_path / "aa" / "own.pcm").write_bytes(bytes(1_000))
    second = DiskTier(tmp_path, 1_000)
    assert [second.get(name) is not None for name in names] == [True, False, True, True, True]
    assert second.put("f" * 40, waveform(0, 92)) == 200 and not second.ended
    third = DiskTier(tmp_path, 300)
    assert [third.get(name) is not None for name in [*names, "f" * 40]] == [False] * 5 + [True]
    assert (tmp_path / "aa" / "own.pcm").exists()


def test_a_full_disk_ends_the_storing_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tier = DiskTier(tmp_path, 1 << 20)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module.Path, "replace", full)
    assert tier.put("aa" + "0" * 38, waveform(0, 10)) == 0
    monkeypatch.undo()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert tier.ended
    assert tier.put("aa" + "0" * 38, waveform(0, 10)) == 0


def test_drafts_of_processes_that_died_are_swept(tmp_path: Path) -> None:
    (tmp_path / "aa").mkdir()
    old, young, other = (tmp_path / "aa" / name for name in (".x.pcm.1.part", ".y.pcm.2.part", "notes.txt"))
    for path in (old, young, other):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    DiskTier(tmp_path, 1 << 20)
    assert sorted(path.name for path in (tmp_path / "aa").iterdir()) == [young.name, other.name]


def test_a_folder_that_cannot_be_used_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(AasistError, match=r"taken: decoded waveforms cannot be kept there: File exists; name another"):
        DiskTier(tmp_path / "taken", 1)
