"""Times the shipped model against the published architecture, and the whole command; writes docs/performance-table.md.

    python benchmarks/speed.py [--rounds 20]

All models of one table are timed in one process, in turns, on one thread: a busy machine slows them alike, and the
ratio holds. Needs the development environment (torch).
"""

from __future__ import annotations

import argparse
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import psutil
import soundfile
import torch

from aasist.export.onnx import to_onnx
from aasist.model.aasist import Aasist
from aasist.recipe import AASIST
from aasist.runtime.models import open_model
from aasist.runtime.onnx import OnnxSession
from aasist.runtime.threads import available_threads

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "performance-table.md"
RATE = 16000


def windows(rounds: int) -> list[str]:
    """Milliseconds a window of 64,600 samples, one thread, median over the rounds, and the ratio to eager torch."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    published = Aasist(AASIST).eval().requires_grad_(False)
    exact = OnnxSession(to_onnx(published).SerializeToString(), precision="fp32", threads=1)
    efficient = open_model("efficient", threads=1).session
    waveform = (0.1 * np.random.default_rng(0).standard_normal((1, 64600))).astype(np.float32)
    tensor = torch.from_numpy(waveform)

    def eager() -> object:
        with torch.inference_mode():
            return published(tensor)

    runs: dict[str, Callable[[], object]] = {
        "AASIST, eager PyTorch (the published architecture)": eager,
        "AASIST, ONNX Runtime": lambda: exact.run(waveform),
        "efficient, ONNX Runtime (shipped)": lambda: efficient.run(waveform),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 3):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn >= 3:  # the first rounds warm caches up
                times[name].append(1000 * (time.perf_counter() - start))
    reference = np.median(next(iter(times.values())))
    lines = [
        "| model, one thread | ms a window (median) | 5 % to 95 % | times the published one |",
        "|---|---|---|---|",
    ]
    for name, measured in times.items():
        median, (low, high) = np.median(measured), np.quantile(measured, [0.05, 0.95])
        lines.append(f"| {name} | {median:.1f} | {low:.1f} to {high:.1f} | {reference / median:.1f} |")
    return lines


def speech(seconds: float) -> np.ndarray:
    """int16 speech of any length: the human examples, over and over with half a second between."""
    parts = []
    for path in sorted((ROOT / "examples").glob("human*")):
        samples, rate = soundfile.read(path, dtype="float32")
        samples = samples if samples.ndim == 1 else samples.mean(1)
        if rate == RATE:
            parts += [samples, np.zeros(RATE // 2, np.float32)]
    if not parts:
        raise SystemExit("no 16 kHz human recording in examples/")
    return (32767 * np.resize(np.concatenate(parts), int(seconds * RATE))).astype(np.int16)


# The peak is asked of the process itself: what wait4 tells of a child begins with its parent's memory.
CHILD = """
import atexit, sys
def peak():
    print(next(line for line in open("/proc/self/status") if "VmHWM" in line).split()[1], file=sys.stderr)
atexit.register(peak)
from aasist.cli import main
main(sys.argv[1:])
"""


def command(path: Path, threads: int) -> tuple[float, float]:
    """Seconds and peak memory (MiB) of `aasist detect PATH` as a process of its own."""
    words = [sys.executable, "-c", CHILD, "detect", "--json", "--threads", str(threads), str(path)]
    start = time.perf_counter()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    elapsed = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"aasist detect failed: {done.stderr}")
    return elapsed, int(done.stderr.split()[-1]) / 1024


def whole(rounds: int) -> list[str]:
    """The command on a 10 s file, an hour and three hours, on two threads."""
    threads = min(2, available_threads())
    lines = ["| `aasist detect`, a process of its own | seconds | times real time | peak memory |", "|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as folder:
        for name, seconds, repeats in (("10 s", 10, min(rounds, 9)), ("1 h", 3600, 1), ("3 h", 10800, 1)):
            path = Path(folder) / "recording.flac"
            soundfile.write(path, speech(seconds), RATE)
            command(path, threads) if seconds == 10 else None
            measured = [command(path, threads) for _ in range(repeats)]
            median = float(np.median([seconds_ for seconds_, _ in measured]))
            memory = max(mebibytes for _, mebibytes in measured)
            lines.append(
                f"| {name} of FLAC, {threads} threads | {median:.2f} | {seconds / median:.0f} | {memory:.0f} MiB |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    processor = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    lines = windows(arguments.rounds)
    print("\n".join(lines), flush=True)
    lines += ["", *whole(arguments.rounds), ""]
    lines.append(
        f"Measured {time.strftime('%Y-%m-%d')} by `python benchmarks/speed.py` on {psutil.cpu_count()} cores of "
        f"{processor}; Python {platform.python_version()}, torch {torch.__version__}, "
        f"onnxruntime {onnxruntime.__version__}."
    )
    TABLE.write_text("\n".join(lines) + "\n")
    print(TABLE.read_text())


if __name__ == "__main__":
    main()
