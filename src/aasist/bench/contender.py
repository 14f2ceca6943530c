"""What is timed, and the row that is said of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from aasist.session import SAMPLE_RATE, WINDOW_SAMPLES

WINDOW_SECONDS = WINDOW_SAMPLES / SAMPLE_RATE
"""4.0375: every figure is of so much audio, whatever window a model takes."""


@dataclass(frozen=True)
class Contender:
    """One way to run a model: which file, in what, how precisely, on how many threads, how many windows at once."""

    model: str
    """What rows and tables call it."""
    path: str
    """The model file, or the checkpoint where ``runtime`` is torch."""
    runtime: str
    precision: str
    threads: int
    batch: int
    window_samples: int = WINDOW_SAMPLES
    """Of the windows that the model takes."""

    def __str__(self) -> str:
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.model}, {self.runtime}, {self.precision}, {threads}, batch {self.batch}"

    def of_window(self, value: float) -> float:
        """What a run took (seconds, joules) -> what it comes to for 64,600 samples of audio."""
        return value / self.batch * WINDOW_SAMPLES / self.window_samples

    def to_json(self) -> dict[str, Any]:
        """What the constructor takes."""
        return asdict(self)


@dataclass(frozen=True)
class Row:
    """What a contender took."""

    contender: Contender
    milliseconds: tuple[float, ...]
    """Of 64,600 samples of audio, of each round."""
    peak_memory_mb: float
    """Megabytes (10 ** 6 bytes) at the most, in a process of its own, above what Python and NumPy take."""
    load_seconds: float
    """Until the session was open, in that process, the import of the runtime included."""
    joules: float | None = None
    """Of 64,600 samples of audio, all that the processor took meanwhile; None where the platform does not tell."""
    reference_ms: float | None = None
    """Median of the published architecture in eager PyTorch on as many threads, in the same turns; None without torch."""

    def percentile(self, percent: float) -> float:
        """Of the milliseconds, linear between two rounds."""
        return float(np.percentile(self.milliseconds, percent))

    @property
    def p50_ms(self) -> float:
        """The median."""
        return self.percentile(50)

    @property
    def times_real_time(self) -> float:
        """Seconds of audio that are scored in a second."""
        return 1000 * WINDOW_SECONDS / self.p50_ms

    @property
    def ratio_to_reference(self) -> float | None:
        """How many times as fast as the published architecture; None without torch."""
        return None if self.reference_ms is None else self.reference_ms / self.p50_ms

    def to_dict(self) -> dict[str, Any]:
        """The object that ``aasist bench --json`` prints; ``ratio_to_reference`` is left out without torch."""
        values: dict[str, Any] = {
            "model": self.contender.model,
            "runtime": self.contender.runtime,
            "precision": self.contender.precision,
            "threads": self.contender.threads,
            "batch": self.contender.batch,
            "p50_ms": round(self.p50_ms, 4),
            "p95_ms": round(self.percentile(95), 4),
            "p99_ms": round(self.percentile(99), 4),
            "times_real_time": round(self.times_real_time, 3),
            "peak_memory_mb": round(self.peak_memory_mb, 2),
        }
        if self.ratio_to_reference is not None:
            values["ratio_to_reference"] = round(self.ratio_to_reference, 4)
        return values
