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
    assert division.batch_windows == BATCH_WINDOWS
    taken = division.runs * division.batch_windows * window_bytes
    assert taken <= ACTIVATION_BYTES or division.runs == 1


@given(threads=st.integers(1, 256), window_bytes=st.integers(1, 4 * ACTIVATION_BYTES))
def test_no_other_number_of_runs_that_fits_would_be_faster(threads: int, window_bytes: int) -> None:
    found = divided(threads, window_bytes)
    for runs in range(1, threads + 1):
        if runs == 1 or runs * window_bytes <= ACTIVATION_BYTES:
            assert Division(runs, 1, threads // runs).speed <= found.speed


@given(window_bytes=st.integers(1, 4 * ACTIVATION_BYTES), threads=st.integers(1, 255))
def test_more_threads_are_never_slower_and_larger_windows_never_faster(window_bytes: int, threads: int) -> None:
    speed = divided(threads, window_bytes).speed
    assert divided(threads + 1, window_bytes).speed >= speed
    assert divided(threads, 2 * window_bytes).speed <= speed


@pytest.mark.parametrize(
    ("threads", "expected"),
    [
        (1, Division(1, 1, 1)),
        (6, Division(6, 1, 1)),
        (8, Division(8, 1, 1)),
        (12, Division(12, 1, 1)),
        (13, Division(12, 1, 1)),
        (16, Division(8, 1, 2)),
        (24, Division(12, 1, 2)),
    ],
)
def test_where_twelve_windows_fit_threads_get_a_run_each_and_share_runs_before_they_idle(
    threads: int, expected: Division
) -> None:
    assert divided(threads, ACTIVATION_BYTES // 12) == expected


def test_one_thread_is_the_measure_of_speed_and_two_on_one_run_are_what_was_measured() -> None:
    assert Division(1, 1, 1).speed == 1.0
    assert Division(1, 1, 2).speed == pytest.approx(38 / 25, rel=0.01)


def test_small_windows_get_a_thread_to_each_run() -> None:
    assert divided(4, 1 << 20) == Division(runs=4, batch_windows=BATCH_WINDOWS, threads_each=1)


def test_a_model_whose_windows_are_of_unknown_size_runs_alone_on_all_threads() -> None:
    assert divided(8, None) == Division(runs=1, batch_windows=1, threads_each=8)


def test_the_shipped_model_runs_side_by_side_and_the_published_one_alone() -> None:
    assert divided(16, EFFICIENT.activation_bytes) == Division(runs=8, batch_windows=1, threads_each=2)
    assert divided(16, AASIST.activation_bytes) == Division(runs=1, batch_windows=1, threads_each=16)
