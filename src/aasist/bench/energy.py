"""What the processor takes, where the platform tells: RAPL, the running average power limit of Intel and AMD.

Linux shows a counter for each package under ``/sys/class/powercap``, which only root may read by default
(CVE-2020-8694) and which virtual machines do not have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


@dataclass
class Counter:
    """The energy counter of one package, that begins anew at ``range_uj`` microjoules."""

    file: Path
    range_uj: int
    last_uj: int
    total_uj: int = 0

    def read(self) -> int:
        """Microjoules since the counter was opened."""
        now = int(self.file.read_text())
        # Beyond the largest value it begins at 0 again: once in minutes, far longer than between two readings.
        self.total_uj += (now - self.last_uj) % (self.range_uj + 1) if now < self.last_uj else now - self.last_uj
        self.last_uj = now
        return self.total_uj


class Meter:
    """Joules that all packages have taken since it was made."""

    def __init__(self, counters: list[Counter]) -> None:
        self._counters = counters

    def joules(self) -> float:
        """Since the meter was made; raises ``OSError`` where a counter can no longer be read."""
        return sum(counter.read() for counter in self._counters) / 1e6


def meter(powercap: Path = POWERCAP) -> Meter | None:
    """A meter over every package of the machine; None where there is no counter, or one may not be read."""
    counters = []
    # Zones below a package (intel-rapl:0:1: cores, memory) are part of it, but for memory, which not all have.
    for zone in sorted(powercap.glob("intel-rapl:*")):
        if zone.name.count(":") != 1:
            continue
        try:
            if not (zone / "name").read_text().startswith("package"):
                continue
            file = zone / "energy_uj"
            counters.append(Counter(file, int((zone / "max_energy_range_uj").read_text()), int(file.read_text())))
        except (OSError, ValueError):
            return None
    return Meter(counters) if counters else None
