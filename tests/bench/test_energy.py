"""RAPL's counters, as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from aasist.bench import energy


def zone(powercap: Path, name: str, label: str, microjoules: str, largest: int = 10_000_000) -> Path:
    folder = powercap / name
    folder.mkdir(parents=True)
    (folder / "name").write_text(f"{label}\n")
    (folder / "energy_uj").write_text(f"{microjoules}\n")
    (folder / "max_energy_range_uj").write_text(f"{largest}\n")
    return folder / "energy_uj"


def test_packages_are_added_up_and_what_lies_within_them_is_not(tmp_path: Path) -> None:
    first = zone(tmp_path, "intel-rapl:0", "package-0", "1000000")
    second = zone(tmp_path, "intel-rapl:1", "package-1", "5000000")
    zone(tmp_path, "intel-rapl:0:0", "core", "7")
    zone(tmp_path, "intel-rapl:2", "psys", "9")
    meter = energy.meter(tmp_path)
    assert meter is not None
    assert meter.joules() == 0
    first.write_text("3000000")
    second.write_text("5500000")
    assert meter.joules() == pytest.approx(2.5)


def test_a_counter_that_begins_anew_loses_nothing(tmp_path: Path) -> None:
    file = zone(tmp_path, "intel-rapl:0", "package-0", "9000000", largest=9_999_999)
    meter = energy.meter(tmp_path)
    assert meter is not None
    file.write_text("1000000")
    assert meter.joules() == pytest.approx(2.0)
    file.write_text("2000000")
    assert meter.joules() == pytest.approx(3.0)


def test_without_counters_or_without_leave_to_read_them_there_is_no_meter(tmp_path: Path) -> None:
    assert energy.meter(tmp_path / "nowhere") is None
    assert energy.meter(tmp_path) is None
    zone(tmp_path, "intel-rapl:0", "package-0", "1")
    folder = tmp_path / "intel-rapl:1"
    folder.mkdir()
    (folder / "name").write_text("package-1")
    (folder / "max_energy_range_uj").write_text("10")
    (folder / "energy_uj").mkdir()  # cannot be read, whoever asks
    assert energy.meter(tmp_path) is None
