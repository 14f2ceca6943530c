"""Whether two runs came to the same: weights to the byte, and every line of the log but for what a machine did."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WEIGHTS = ("last.safetensors", "best.safetensors", "averaged.safetensors")


def lines(folder: Path) -> list[dict[str, Any]]:
    """The log of a run, without times, memory and caches."""
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "machine"} for line in found]


def require_same(one: Path, other: Path) -> None:
    """Both have the same weights to the byte, and the same log."""
    assert lines(one) == lines(other)
    for name in (*WEIGHTS, "dev-scores.tsv"):
        assert (one / name).exists() == (other / name).exists(), name
        if (one / name).exists():
            assert (one / name).read_bytes() == (other / name).read_bytes(), name
