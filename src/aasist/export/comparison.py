"""A model file against the model it was made from, on seeded noise: the proof of parity that it carries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Protocol

import numpy as np

from aasist.errors import ModelError
from aasist.runtime.modelfile import OPSET
from aasist.runtime.parity import Case, Parity
from aasist.session import Float32

TOLERANCE = 1e-4
"""Largest difference allowed between a logit of the file and that of what it was made from."""
CHECKED_LENGTHS = (16_000, 48_000, 64_600, 64_601, 100_000, 160_001, 198_000)
"""Samples. 198,000 gives AASIST 90 temporal nodes, where a pooling ratio of 0.7 rounds otherwise in float32."""
EXPORTER = "PyTorch's exporter, by torch.export"


class Runs(Protocol):
    """A session, as far as a comparison needs one."""

    def run(self, windows: Float32) -> Float32:
        """Windows (B, T) -> logits (B, 2)."""
        ...


def compare(
    reference: Callable[[Float32], Float32],
    session: Runs,
    *,
    window_samples: int,
    shortest: int,
    longest: int = 1 << 26,
    lengths: Sequence[int] = CHECKED_LENGTHS,
) -> tuple[Case, ...]:
    """Differences of ``session`` from ``reference`` on noise of each length, alone and in batches of two and five.

    Noise of ordinary level, so faint that it is below the model's floor, and none at all. NaN where either gives NaN.
    """
    random = np.random.default_rng(0)
    inputs = [(1 + index % 2, min(max(length, shortest), longest), 0.1) for index, length in enumerate(lengths)]
    inputs += [(1, window_samples, level) for level in (1e-6, 0.0)]
    inputs.append((5, max(shortest, min(lengths)), 0.1))
    cases = []
    for batch, samples, level in inputs:
        waveform = (level * random.standard_normal((batch, samples))).astype(np.float32)
        difference = np.abs(session.run(waveform) - reference(waveform)).max()
        cases.append(Case(batch, samples, level, float(difference)))
    return tuple(cases)


def proof(
    cases: tuple[Case, ...],
    *,
    reference: str,
    runtime: str,
    opset: int = OPSET,
    graph_sha256: str = "",
    packages: Sequence[str] = (),
) -> Parity:
    """What the cases prove, with the versions of ``packages``; ``ModelError`` where it is not parity."""
    parity = Parity(
        reference=reference,
        runtime=runtime,
        tolerance=TOLERANCE,
        cases=cases,
        opset=opset,
        exporter=EXPORTER,
        versions={name: metadata.version(name) for name in ("aasist", *packages)},
        graph_sha256=graph_sha256,
    )
    difference = parity.largest_difference
    if not difference <= TOLERANCE:
        worst = max(cases, key=lambda case: case.difference if case.difference == case.difference else np.inf)
        raise ModelError(
            "export",
            f"the graph in {runtime} differs from {reference} by {difference:.2g} at {worst.samples:,} samples, more than "
            f"{TOLERANCE:g}: nothing was written",
        )
    return parity
