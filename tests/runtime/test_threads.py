"""Threads come from the affinity and the quota of the cgroup, not from the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from aasist.runtime.threads import available_threads, cgroup_quota


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
