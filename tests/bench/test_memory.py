"""Memory, as ``/proc`` tells it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aasist.bench import memory

STATUS = "Name:\tpython\nVmPeak:\t  900 kB\nVmHWM:\t   300 kB\nVmRSS:\t   200 kB\n"


def test_lines_of_proc_are_read_in_bytes(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text(STATUS)
    assert (memory.held_bytes(status), memory.peak_bytes(status)) == (200 * 1024, 300 * 1024)
    assert memory.available_bytes(tmp_path / "nowhere") is None


def test_without_proc_the_system_is_asked(tmp_path: Path) -> None:
    assert memory.peak_bytes(tmp_path / "nowhere") > 1 << 20
    assert memory.held_bytes(tmp_path / "nowhere") == memory.peak_bytes(tmp_path / "nowhere")


def test_the_peak_of_this_process_stays_when_memory_is_given_back() -> None:
    before = memory.held_bytes()
    taken = np.ones(100 << 20, np.uint8)
    held = memory.held_bytes()
    del taken
    assert held > before + (90 << 20)
    assert held > memory.held_bytes() + (90 << 20)
    assert memory.peak_bytes() > held - (4 << 20)  # the kernel counts in batches
