"""Times the metrics on a million trials, and against scikit-learn; writes docs/metrics-table.md.

    python benchmarks/metrics.py [--trials 1000000] [--rounds 1000]

Needs the development environment (scikit-learn). Both sides of a comparison take turns in one process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_curve

from aasist.evaluation.calibration import cllr
from aasist.evaluation.dcf import AsvRates, min_dcf, min_tdcf
from aasist.evaluation.det import eer
from aasist.evaluation.tally import Tally
from footer import footer

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "metrics-table.md"
ASV = AsvRates(0.0246, 0.0246, 0.76)

# In a process of its own, so that its peak memory is that of the work alone.
BOOTSTRAP = """
import sys, time
import numpy as np
from aasist.evaluation.bootstrap import intervals
from aasist.evaluation.calibration import cllr
from aasist.evaluation.dcf import AsvRates, min_tdcf
from aasist.evaluation.det import eer
trials, rounds, threads = map(int, sys.argv[1:])
random = np.random.default_rng(0)
labels = np.arange(trials) < trials // 10
scores = random.normal(size=trials) + np.where(labels, 1.5, -1.5)
asv = AsvRates(0.0246, 0.0246, 0.76)
measures = {"eer": eer.of, "min_tdcf": lambda tally: min_tdcf.of(tally, asv), "cllr": cllr.of}
start = time.perf_counter()
intervals(measures, scores, labels, rounds=rounds, threads=threads)
seconds = time.perf_counter() - start
peak = next(line for line in open("/proc/self/status") if "VmHWM" in line).split()[1]
print(seconds, int(peak) / 1024)
"""


def in_turns(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each run, taken in turns; the first round warms caches up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append(1000 * (time.perf_counter() - start))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    labels = random.random(arguments.trials) < 0.1
    scores = random.normal(size=arguments.trials) + np.where(labels, 1.5, -1.5)

    def ours() -> object:
        tally = Tally.of(scores[labels], scores[~labels])
        return eer.of(tally), min_tdcf.of(tally, ASV), min_dcf.of(tally), cllr.of(tally)

    times = in_turns(
        {
            "`sklearn.metrics.roc_curve` alone": lambda: roc_curve(labels, scores),
            "counting, both rates at every threshold, and EER": lambda: eer(scores[labels], scores[~labels]),
            "the same with min t-DCF, minDCF and Cllr": ours,
        },
        15,
    )
    reference = float(np.median(next(iter(times.values()))))
    lines = [
        f"| {arguments.trials:,} trials, one thread | ms (median of 15) | times as fast |",
        "|---|---|---|",
        *(
            f"| {name} | {np.median(measured):.0f} | {reference / np.median(measured):.2f} |"
            for name, measured in times.items()
        ),
    ]
    words = [sys.executable, "-c", BOOTSTRAP, str(arguments.trials), str(arguments.rounds), str(arguments.threads)]
    seconds, peak = map(float, subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())
    lines += [
        "",
        f"EER, min t-DCF and Cllr with {arguments.rounds:,} rounds of the bootstrap on {arguments.trials:,} trials, "
        f"{arguments.threads} threads: **{seconds:.1f} s**, peak memory {peak:.0f} MiB.",
        "",
        footer("metrics.py", "numpy", "scikit-learn"),
    ]
    TABLE.write_text("\n".join(lines) + "\n")
    print(TABLE.read_text())


if __name__ == "__main__":
    main()
