"""Times every model in every runtime as `aasist bench` does, and the cold command; writes docs/performance.json.

    python benchmarks/speed.py [--rounds 20] [--threads 1] [--seconds 3600] [MODEL...]

On a quiet machine; `make bench` runs it, and docs/generate.py makes the tables of it. AASIST_REFERENCE is the folder of the
published weights; without it the exact architectures have seeded ones.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aasist.bench.advice import advice
from aasist.bench.contest import Limits, contest
from aasist.bench.entries import Ways, entered
from aasist.bench.machine import measured_by
from aasist.bench.survey import survey
from aasist.bench.tables import facts
from aasist.cli.timed import chosen
from aasist.runtime.models import DEFAULT_MODEL
from aasist.runtime.runtimes import installed, precisions
from aasist.runtime.threads import available_threads
from command import detect, write_speech

FILE = Path(__file__).parents[1] / "docs" / "performance.json"
PACKAGES = ("torch", "onnxruntime", "openvino", "numpy")


def windows(arguments: argparse.Namespace) -> dict[str, Any]:
    """The contest of ``arguments.models``, and the roofline."""
    with tempfile.TemporaryDirectory() as folder:
        found = chosen(arguments.models, (), Path(folder), "torch" in installed(), print)
        ways = Ways(
            {name: precisions(name) for name in installed()},
            threads=tuple(arguments.threads),
            usable_threads=available_threads(),
        )
        field = entered(found.entries, ways)
        weights = found.weights.get("aasist")
        result = contest(
            field.contenders,
            Limits(arguments.rounds, arguments.seconds),
            with_reference="torch" in installed(),
            weights=None if weights is None else str(weights),
            moved=told,
        )
        surveyed = survey(result.rows, found.entries, told)
    for contender, reason in (field.refused | result.failures).items():
        print(f"{contender}: {reason}", file=sys.stderr)
    return {
        "rows": [facts(row) for row in result.rows],
        "reference_ms": result.reference_ms,
        "weights": "published" if weights is not None else "seeded",
        "rounds": result.rounds,
        "advice": advice(result.rows, DEFAULT_MODEL),
        "layers": {
            str(contender): [asdict(layer) for layer in layers] for contender, layers in surveyed.layers.items()
        },
        "peaks": [asdict(peaks) for peaks in surveyed.peaks.values()],
        "measured": measured_by("python benchmarks/speed.py", PACKAGES),
    }


def commands(rounds: int) -> dict[str, Any]:
    """`aasist detect` on 10 s, cold: a process that starts, imports, judges and ends."""
    threads = min(2, available_threads())
    with tempfile.TemporaryDirectory() as folder:
        path = write_speech(Path(folder) / "recording.flac", 10)
        detect([path], threads)  # the files of the package come into the disk's cache
        taken = [detect([path], threads) for _ in range(rounds)]
    seconds = statistics.median(elapsed for elapsed, _ in taken)
    row = {
        "recording": "10 s of FLAC",
        "threads": threads,
        "seconds": seconds,
        "times_real_time": 10 / seconds,
        "peak_memory_mb": max(megabytes for _, megabytes in taken),
    }
    return {"rows": [row], "measured": measured_by("python benchmarks/speed.py", PACKAGES)}


def told(stage: str, done: int, total: int, said: str) -> None:
    """Progress, as lines."""
    print(f"{stage}: {done} of {total}, {said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="all that aasist bench times without any")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--out", type=Path, default=FILE)
    arguments = parser.parse_args()
    if "AASIST_REFERENCE" not in os.environ:
        print("AASIST_REFERENCE is not set: the exact architectures get seeded weights", file=sys.stderr)
    measured = {"windows": windows(arguments), "commands": commands(min(arguments.rounds, 9))}
    arguments.out.write_text(json.dumps(measured, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
