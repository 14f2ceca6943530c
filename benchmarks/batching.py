"""Times how a long file's windows are best divided: batch by threads in a run by runs side by side; writes a table.

    python benchmarks/batching.py [--model efficient] [--rounds 20] [--threads 2] [--batches 1 2 4 8] [-o docs/batching-table.md]

A row is one division of the threads. All rows of one runtime are timed in turns in one process: the time of a window when
there are enough to keep every run busy, and that of a file with but one window and of one with three, which no division may
slow. Peak memory is what a fresh process holds after it has scored the same windows. The row that `aasist.runtime.threads`
chooses is marked.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from aasist.parallel import in_order
from aasist.recipe import Architecture
from aasist.runtime import modelfile
from aasist.runtime.models import shipped, shipped_folder
from aasist.runtime.runtimes import installed, open_session
from aasist.runtime.threads import Division, available_threads, divided
from aasist.session import Float32, Session
from footer import footer

COUNTS = (1, 3)
"""Windows of the short files."""


def divisions(threads: int, batches: list[int]) -> list[Division]:
    """Every use of ``threads``: a run on all of them up to one each, with every batch."""
    runs = [count for count in range(1, threads + 1) if threads % count == 0]
    return [Division(run, batch, threads // run) for run in runs for batch in batches]


def opened(model: str, runtime: str, division: Division) -> tuple[Session, int]:
    """A session of a shipped model or a file of ours, and the samples of its windows."""
    path = shipped_folder() / shipped()[model]["file"] if model in shipped() else Path(model)
    content, notes = modelfile.read(path)
    session = open_session(content, notes=notes, runtime=runtime, threads=division.threads_each, runs=division.runs)
    return session, notes.window_samples


def seconds(session: Session, division: Division, windows: Float32) -> float:
    """What scoring windows (N, T) takes, divided so."""
    size = division.batch_windows
    batches = (windows[first : first + size] for first in range(0, len(windows), size))
    start = time.perf_counter()
    for _ in in_order(session.run, batches, threads=division.runs, ahead=2 * division.runs):
        pass
    return time.perf_counter() - start


def noise(count: int, samples: int) -> Float32:
    return (0.1 * np.random.default_rng(0).standard_normal((count, samples))).astype(np.float32)


def peak_mebibytes(model: str, runtime: str, division: Division, count: int) -> float:
    """VmHWM of a process that did nothing else; what `wait4` tells of a child begins with its parent's memory."""
    words = [sys.executable, __file__, "--model", model, "--child", json.dumps([runtime, asdict(division), count])]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024


def child(model: str, runtime: str, division: Division, count: int) -> None:
    session, samples = opened(model, runtime, division)
    seconds(session, division, noise(count, samples))
    print(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line).split()[1])


def measured(model: str, runtime: str, threads: int, batches: list[int], rounds: int) -> list[str]:
    """The rows of one runtime."""
    every = divisions(threads, batches)
    sessions = {division: opened(model, runtime, division) for division in every}
    samples = next(iter(sessions.values()))[1]
    count = 2 * threads * max(batches)
    files = {size: noise(size, samples) for size in (*COUNTS, count)}
    times: dict[tuple[Division, int], list[float]] = {(division, size): [] for division in every for size in files}
    for turn in range(rounds + 2):
        for division, (session, _) in sessions.items():
            for size, windows in files.items():
                taken = 1000 * seconds(session, division, windows)
                if turn >= 2:  # the first rounds warm caches up
                    times[division, size].append(taken)
    path = shipped_folder() / shipped()[model]["file"] if model in shipped() else Path(model)
    variant = modelfile.read(path)[1].variant
    chosen = divided(threads, Architecture.from_json(variant).activation_bytes if variant != "{}" else None)
    lines = []
    for division in every:
        a_window = np.array(times[division, count]) / count
        low, high = np.quantile(a_window, [0.05, 0.95])
        short = " | ".join(f"{np.median(times[division, size]):.1f}" for size in COUNTS)
        memory = peak_mebibytes(model, runtime, division, count)
        name = f"{division.runs} x {division.threads_each}, batch {division.batch_windows}"
        lines.append(
            f"| {runtime} | {f'**{name}**' if division == chosen else name} | {np.median(a_window):.1f} | {low:.1f} to "
            f"{high:.1f} | {short} | {memory:.0f} |"
        )
        print(lines[-1], flush=True)
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="efficient")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=available_threads())
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("-o", "--output", type=Path, help="write the table here")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        runtime, division, count = json.loads(arguments.child)
        child(arguments.model, runtime, Division(**division), count)
        return
    short = " | ".join(f"a file of {size}, ms" for size in COUNTS)
    lines = [
        f"| runtime | runs x threads, batch | ms a window (median) | 5 % to 95 % | {short} | peak MiB |",
        "|" + "---|" * (5 + len(COUNTS)),
    ]
    print("\n".join(lines), flush=True)
    for runtime in installed():
        if runtime != "torch":
            lines += measured(arguments.model, runtime, arguments.threads, arguments.batches, arguments.rounds)
    packages = [name for name in installed() if name != "torch"]
    bold = f"Bold is what is chosen for `{arguments.model}` on {arguments.threads} threads."
    lines += ["", f"{bold} {footer('batching.py', 'numpy', *packages)}"]
    if arguments.output is not None:
        arguments.output.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
