"""What memory is left counts every limit, and the guard gives caches up first and the run last."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from aasist.training.memory import (
    MemoryGuard,
    available_bytes,
    forget_peak,
    step_peak_bytes,
    total_bytes,
)

GIB = 1 << 30


class Cache:
    """Remembers what it was shrunk to; full unless ``held_bytes`` says otherwise."""

    def __init__(self, cache_bytes: int, held_bytes: int | None = None) -> None:
        self.cache_bytes = cache_bytes
        self.held_bytes = cache_bytes if held_bytes is None else held_bytes

    def shrink_cache(self, to_bytes: int) -> None:
        self.cache_bytes = to_bytes
        self.held_bytes = min(self.held_bytes, to_bytes)


class Machine:
    """A guard of a machine of 10 GiB whose memory and clock a test sets."""

    def __init__(self) -> None:
        self.available, self.peak, self.seconds = 8 * GIB, 0, 0.0
        self.guard = MemoryGuard(
            available=lambda: self.available,
            peak=lambda: self.peak,
            forget=lambda: None,
            total=10 * GIB,
            clock=lambda: self.seconds,
        )

    def check(self, cache: Cache) -> bool:
        self.seconds += 1.0
        self.guard.check(cache)
        return self.guard.must_stop


def test_a_cache_shrinks_before_the_limit_and_the_run_goes_on() -> None:
    machine, cache = Machine(), Cache(4 * GIB)
    assert not machine.check(cache) and cache.cache_bytes == 4 * GIB
    machine.available = GIB // 2  # a tenth of 10 GiB is to stay free
    assert not machine.check(cache) and cache.cache_bytes == 3 * GIB
    machine.available = 2 * GIB
    assert not machine.check(cache) and cache.cache_bytes == 3 * GIB and machine.guard.shrinks == 1


def test_the_run_ends_when_an_empty_cache_does_not_help() -> None:
    machine, cache = Machine(), Cache(GIB)
    machine.available = GIB // 10
    assert not machine.check(cache)
    assert cache.cache_bytes == 0
    assert machine.check(cache)
    assert "saved and stopped" in machine.guard.warning


def test_without_a_cache_the_run_ends_at_once() -> None:
    machine = Machine()
    machine.available = GIB // 10
    assert machine.check(Cache(0))


def test_what_a_cache_holds_is_given_up_before_the_run_whatever_its_budget() -> None:
    """A budget of 6 GiB of which 2 are used: to lower it to 3 would free nothing, and to end the run would be wrong."""
    machine, cache = Machine(), Cache(6 * GIB, held_bytes=2 * GIB)
    machine.available = GIB // 2
    assert not machine.check(cache) and cache.held_bytes == GIB
    cache = Cache(6 * GIB, held_bytes=2 * GIB)
    machine.available = GIB // 10  # below the 0.2 GiB at which a run ends: all at once
    assert not machine.check(cache) and cache.cache_bytes == cache.held_bytes == 0
    machine.available += 2 * GIB
    assert not machine.check(cache) and machine.guard.shrinks == 2


class OneProcess:
    """A cache in the process itself, whose steps take 1 GiB beside it, on a machine of 10 GiB with 3.9 in other hands."""

    def __init__(self) -> None:
        self.cache_bytes = self.held_bytes = self.highest = 4 * GIB
        self.seconds = 0.0
        self.guard = MemoryGuard(
            available=lambda: 10 * GIB - 39 * GIB // 10 - self.resident,
            peak=lambda: self.highest - self.resident,
            forget=self.forget,
            total=10 * GIB,
            clock=lambda: self.seconds,
        )

    @property
    def resident(self) -> int:
        return GIB + self.held_bytes

    def forget(self) -> None:
        self.highest = self.resident

    def shrink_cache(self, to_bytes: int) -> None:
        self.cache_bytes = to_bytes

    def step(self) -> None:
        self.held_bytes = min(self.held_bytes, self.cache_bytes)
        self.highest = max(self.highest, self.resident + GIB)
        self.seconds += 1.0
        self.guard.check(self)


def test_what_the_cache_of_this_process_gives_back_is_not_taken_for_the_peak_of_a_step() -> None:
    run = OneProcess()
    for _ in range(5):
        run.step()
    assert run.held_bytes == 0 and run.guard.shrinks == 1 and not run.guard.must_stop


def test_little_memory_is_no_reason_to_end_while_something_is_left() -> None:
    machine, cache = Machine(), Cache(0)
    machine.available = GIB // 2  # under the reserve of 1 GiB, over the 0.2 GiB at which it ends
    assert not machine.check(cache) and not machine.check(cache)


def test_what_a_step_takes_at_its_peak_counts_as_used() -> None:
    machine, cache = Machine(), Cache(4 * GIB)
    machine.peak = 7 * GIB + GIB // 2
    assert not machine.check(cache) and cache.cache_bytes == 3 * GIB


def test_it_looks_at_most_once_a_second() -> None:
    machine, cache = Machine(), Cache(4 * GIB)
    machine.check(cache)
    machine.available = 0
    machine.guard.check(cache)
    assert cache.cache_bytes == 4 * GIB
    machine.seconds += 1.0
    machine.guard.check(cache)
    assert cache.cache_bytes < 4 * GIB


def group(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def test_the_limits_of_a_cgroup_and_of_those_above_it_hold(tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("0::/jobs/one\n")
    statistics = "anon 5\ninactive_file 50000000\nactive_file 50000000\n"
    group(tmp_path / "jobs", {"memory.max": f"{GIB}\n", "memory.current": "900000000\n", "memory.stat": statistics})
    group(tmp_path / "jobs" / "one", {"memory.max": "max\n", "memory.current": "1\n"})
    given = {"cgroup": tmp_path, "membership": tmp_path / "membership"}
    assert available_bytes(**given) == GIB - 800_000_000 and total_bytes(**given) == GIB
    group(tmp_path / "jobs" / "one", {"memory.max": "850000000\n", "memory.current": "840000000\n"})
    assert available_bytes(**given) == 10_000_000 and total_bytes(**given) == 850_000_000


def test_version_1_of_cgroups_is_read_too_and_its_huge_number_is_no_limit(tmp_path: Path) -> None:
    (tmp_path / "membership").write_text("5:cpu:/\n4:hugetlb,memory:/box\n0::/\n")
    statistics = "inactive_file 1\ntotal_inactive_file 300\ntotal_active_file 200\n"
    limits = {"memory.limit_in_bytes": "2000\n", "memory.usage_in_bytes": "1500\n", "memory.stat": statistics}
    group(tmp_path / "memory" / "box", limits)
    group(tmp_path / "memory", {"memory.limit_in_bytes": "9223372036854771712\n", "memory.usage_in_bytes": "7\n"})
    given = {"cgroup": tmp_path, "membership": tmp_path / "membership"}
    assert available_bytes(**given) == 1_000 and total_bytes(**given) == 2_000


def test_without_cgroups_the_machine_is_the_limit(tmp_path: Path) -> None:
    given = {"cgroup": tmp_path, "membership": tmp_path / "none"}
    assert total_bytes(**given) == psutil.virtual_memory().total
    assert 0 < available_bytes(**given) <= psutil.virtual_memory().total
    assert total_bytes(5_000, **given) == 5_000 and available_bytes(5_000, **given) == 0


HELD = """
import subprocess, sys
import numpy as np
from aasist.training.memory import resident_bytes

before = resident_bytes()
held = np.ones(50 << 20, np.uint8)
print(resident_bytes() - before)
code = "import sys; held = b'x' * (50 << 20); print('ready', flush=True); sys.stdin.read()"
with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
    child.stdout.readline()
    print(resident_bytes() - before)
    child.communicate()
"""
"""In a process of its own: one that has run other tests gives memory back whenever it likes."""


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="the system does not tell shared pages apart")
def test_what_processes_share_counts_once_and_what_they_hold_alone_counts() -> None:
    run = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True, check=True)
    alone, with_a_child = map(int, run.stdout.split())
    assert 45 << 20 < alone < 60 << 20
    assert 95 << 20 < with_a_child < 125 << 20


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system keeps no peak that can be reset")
def test_a_peak_that_is_over_is_remembered_until_it_is_forgotten() -> None:
    forget_peak()
    np.ones(100 << 20, np.uint8).sum()
    assert 80 << 20 < step_peak_bytes() < 130 << 20
    forget_peak()
    assert step_peak_bytes() < 20 << 20


def test_a_system_that_tells_no_peak_has_none(tmp_path: Path) -> None:
    assert step_peak_bytes(tmp_path / "none") == 0
    (tmp_path / "status").write_text("VmHWM:\t     500 kB\nVmRSS:\t     200 kB\n")
    assert step_peak_bytes(tmp_path / "status") == 300 * 1024
