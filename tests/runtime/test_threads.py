"""Threads come from the affinity and the quota of the cgroup, not from the host, and are divided by what fits."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aasist.recipe import AASIST, EFFICIENT
from aasist.runtime.threads import (
    ACTIVATION_BYTES,
    BATCH_WINDOWS,
    Division,
    available_threads,
    cgroup_quota,
    divided,
)


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the process might use eight cores."""
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))


def version_2(folder: Path, content: str) -> Path:
    (folder / "cpu.max").write_text(content)
    return folder


def version_1(folder: Path, quota: str, period: str) -> Path:
    (folder / "cpu").mkdir()
    (folder / "cpu" / "cpu.cfs_quota_us").write_text(quota)
    (folder / "cpu" / "cpu.cfs_period_us").write_text(period)
    return folder


@pytest.mark.parametrize(
    ("content", "quota", "threads"),
    [
        ("max 100000\n", None, 8),
        ("200000 100000\n", 2.0, 2),
        ("250000 100000\n", 2.5, 2),
        ("50000 100000\n", 0.5, 1),
        ("1600000 100000\n", 16.0, 8),
        ("0 100000\n", None, 8),
        ("100000 0\n", None, 8),
        ("", None, 8),
        ("many few\n", None, 8),
    ],
)
def test_a_version_2_quota_bounds_the_threads(content: str, quota: float | None, threads: int, tmp_path: Path) -> None:
    folder = version_2(tmp_path, content)
    assert cgroup_quota(folder) == quota
    assert available_threads(folder) == threads


@pytest.mark.parametrize(
    ("quota", "period", "threads"), [("300000\n", "100000\n", 3), ("-1\n", "100000\n", 8), ("x", "y", 8)]
)
def test_a_version_1_quota_bounds_the_threads(quota: str, period: str, threads: int, tmp_path: Path) -> None:
    assert available_threads(version_1(tmp_path, quota, period)) == threads


def test_without_a_cgroup_the_affinity_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert available_threads(tmp_path / "none") == 8
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3})
    assert available_threads(tmp_path / "none") == 1
    assert available_threads(version_2(tmp_path, "400000 100000")) == 1


def test_a_quota_on_a_cgroup_above_our_own_counts_too(tmp_path: Path) -> None:
    own = tmp_path / "batch.slice" / "job.scope"
    own.mkdir(parents=True)
    version_2(own, "max 100000\n")
    version_2(own.parent, "300000 100000\n")
    membership = tmp_path / "membership"
    membership.write_text("0::/batch.slice/job.scope\n")
    assert available_threads(tmp_path, membership) == 3


@given(threads=st.integers(1, 256), window_bytes=st.integers(1, 4 * ACTIVATION_BYTES))
def test_no_division_takes_more_memory_or_threads_than_there_are(threads: int, window_bytes: int) -> None:
    division = divided(threads, window_bytes)
    assert division.runs * division.threads_each <= threads
    assert min(division.runs, division.threads_each, division.batch_windows) >= 1
    taken = division.runs * division.batch_windows * window_bytes
    assert taken <= ACTIVATION_BYTES or (division.runs, division.batch_windows) == (1, 1)
    # One run more would not fit, or would have no thread.
    more = (division.runs + 1) * division.batch_windows * window_bytes
    assert more > ACTIVATION_BYTES or division.runs == threads


@given(window_bytes=st.integers(1, 4 * ACTIVATION_BYTES), threads=st.integers(1, 255))
def test_more_threads_never_mean_fewer_runs_and_larger_windows_never_mean_more(window_bytes: int, threads: int) -> None:
    runs = divided(threads, window_bytes).runs
    assert divided(threads + 1, window_bytes).runs >= runs
    division = divided(threads, 2 * window_bytes)
    assert division.runs * division.batch_windows <= runs * divided(threads, window_bytes).batch_windows


def test_small_windows_get_a_thread_to_each_run() -> None:
    assert divided(4, 1 << 20) == Division(runs=4, batch_windows=BATCH_WINDOWS, threads_each=1)


def test_a_model_whose_windows_are_of_unknown_size_runs_alone_on_all_threads() -> None:
    assert divided(8, None) == Division(runs=1, batch_windows=1, threads_each=8)


def test_the_shipped_model_runs_side_by_side_and_the_published_one_alone() -> None:
    assert divided(16, EFFICIENT.activation_bytes) == Division(runs=6, batch_windows=BATCH_WINDOWS, threads_each=2)
    assert divided(16, AASIST.activation_bytes) == Division(runs=1, batch_windows=1, threads_each=16)
