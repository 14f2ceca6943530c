"""Trains over a corpus ten times larger than the cache, and with everything cached; writes docs/training-data-table.md.

    python benchmarks/training_data.py [--clips 6000] [--rounds 5] [--batches 40] [--workers 2]

Makes its own corpus of FLAC files in a temporary folder (some 700 MB decoded). Memory is measured over a whole epoch
without any step, the hardest case; throughput with a step, the bounded and the unbounded cache in turns in one process:
once with a step that keeps another device busy (a sleep), once with a step of the efficient model on these processors,
which decoding then shares. Needs the extra ``train``.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import soundfile
import torch
from torch.nn import functional

from aasist.model.aasist import Aasist
from aasist.model.training_form import prepared
from aasist.recipe import ARCHITECTURES
from aasist.training.batches import Batch, Loader, Loading
from aasist.training.plan import Sampling, plan
from aasist.training.precision import resolved
from aasist.training.recordings import gathered
from aasist.training.waveforms import Crop
from aasist.trial import Trials, strings

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "training-data-table.md"
RATE = 16_000
ROWS = 24
WINDOW = 64_600
MIB = 1 << 20

Step = Callable[[Batch], None]


def make(folder: Path, clips: int) -> None:
    """Write clips of 2 to 6 s: noise with the slope of speech, in syllables."""
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(rng.standard_normal(60 * RATE))
    hertz = np.fft.rfftfreq(60 * RATE, 1 / RATE)
    noise = np.fft.irfft(spectrum * np.sqrt(1 / (1 + (hertz / 500) ** 2)) * (hertz > 80))
    syllables = np.clip(np.sin(2 * np.pi * 4 * np.arange(len(noise)) / RATE), 0.02, 1)
    long = (8_000 * noise * syllables / np.abs(noise).max()).astype(np.int16)
    lengths = rng.integers(2 * RATE, 6 * RATE, clips)
    for row, length in enumerate(lengths.tolist()):
        start = int(rng.integers(len(long) - length))
        soundfile.write(folder / f"{row}.flac", long[start : start + length], RATE)


def described(folder: Path) -> tuple[Trials, int]:
    """The trials that `make` left in ``folder``, and the bytes they decode to."""
    paths = sorted(folder.glob("*.flac"), key=lambda path: int(path.stem))
    decoded = sum(2 * soundfile.info(path).frames for path in paths)
    labels = np.arange(len(paths)) % 2 == 0
    trials = Trials(strings(path.stem for path in paths), labels, {"path": strings(path.name for path in paths)})
    return gathered([("made", trials, folder)]), decoded


def loader(trials: Trials, cache_mib: int, workers: int) -> Loader:
    """The room's own loader."""
    loading = Loading(workers=workers, cache_mib=cache_mib)
    return Loader(trials, Crop(), loading, batch_rows=ROWS, window_samples=WINDOW, seed=0)


class Memory(threading.Thread):
    """The most that all workers held at once, each alone (USS): what a fork lets them share is not theirs."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            held = 0
            for worker in psutil.Process().children(recursive=True):
                try:
                    held += worker.memory_full_info().uss
                except psutil.Error:
                    continue
            self.peak_bytes = max(self.peak_bytes, held)

    def end(self) -> int:
        self._ended.set()
        self.join()
        return self.peak_bytes


@contextmanager
def watched() -> Iterator[Memory]:
    """Memory of the workers while something runs."""
    memory = Memory()
    memory.start()
    try:
        yield memory
    finally:
        memory.end()


def epoch_alone(ours: Loader, trials: Trials, epoch: int) -> tuple[int, float]:
    """Bytes at the peak and windows a second of a whole epoch in which nothing is done with the batches."""
    with watched() as memory:
        start = time.perf_counter()
        windows = sum(len(batch) for batch in ours.epoch(plan(trials, Sampling(), 0, epoch), epoch, epochs=100))
        seconds = time.perf_counter() - start
    return memory.peak_bytes, windows / seconds


def sleeping(seconds: float) -> Step:
    """A step on another device: the processors are free meanwhile."""
    return lambda batch: time.sleep(seconds)


def efficient_step() -> Step:
    """A step of the efficient model on these processors, in the form and the precision that it trains in."""
    torch.manual_seed(0)
    model = Aasist(ARCHITECTURES["efficient"]).train()
    form = prepared(model, resolved("auto", torch.device("cpu")).name, "cpu")
    optimiser = torch.optim.AdamW(model.parameters(), 1e-3)
    window = model.architecture.window_samples

    def step(batch: Batch) -> None:
        optimiser.zero_grad()
        functional.cross_entropy(form(batch.waveforms[:, :window]), batch.labels).backward()
        optimiser.step()

    return step


def with_step(ours: Loader, trials: Trials, epoch: int, step: Step, batches: int) -> tuple[float, float]:
    """Windows a second, and the share of the time that batches were waited for; the first batch is not counted."""
    windows, waited, start = 0, 0.0, 0.0
    for batch in ours.epoch(plan(trials, Sampling(), 0, epoch), epoch, epochs=100):
        if batch.number:
            waited += batch.waited_seconds
        step(batch)
        if batch.number:
            windows += len(batch)
        else:
            start = time.perf_counter()
        if batch.number == batches:
            break
    seconds = time.perf_counter() - start
    return windows / seconds, waited / seconds


def memory_alone(folder: Path, budget_mib: int, workers: int) -> dict[str, float]:
    """The second of two epochs with a cache of ``budget_mib``, in this process."""
    trials, _ = described(folder)
    with loader(trials, budget_mib, workers) as ours:
        epoch_alone(ours, trials, 0)
        peak_bytes, windows_per_second = epoch_alone(ours, trials, 1)
        held = ours.statistics
    return {
        "peak": peak_bytes,
        "speed": windows_per_second,
        "bytes": held.held_bytes,
        "count": held.held,
        "evicted": held.evictions,
    }


def memory_lines(folder: Path, budget_mib: int, workers: int) -> list[str]:
    """The bounded cache over a whole epoch, beside none at all, each in processes of its own: what workers share with a
    parent that has done other things before would count as theirs."""
    trials, decoded = described(folder)
    found = []
    for mib in (0, budget_mib):
        words = [sys.executable, __file__, "--child", str(folder), str(mib), str(workers)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        found.append(json.loads(done.stdout))
    without, within = found
    taken = within["peak"] - without["peak"]
    return [
        f"| {len(trials):,} clips, {decoded / MIB:,.0f} MiB decoded; a whole epoch without a step | no cache | "
        f"budget {budget_mib} MiB |",
        "|---|---|---|",
        f"| memory of the {workers} workers at the peak | {without['peak'] / MIB:.0f} MiB | {within['peak'] / MIB:.0f} MiB |",
        f"| more than without a cache | | {taken / MIB:.1f} MiB, **{taken / MIB / budget_mib:.2f} of the budget** |",
        f"| held at the end, by the cache's own count | | {within['bytes'] / MIB:.1f} MiB, "
        f"{within['count']:,} waveforms, {within['evicted']:,} evicted |",
        f"| windows a second | {without['speed']:.0f} | {within['speed']:.0f} |",
    ]


def speed_lines(
    trials: Trials, budget_mib: int, steps: dict[str, Step], arguments: argparse.Namespace
) -> Iterator[str]:
    """The bounded and the unbounded cache in turns."""
    unbounded_mib = 20 * budget_mib
    with (
        loader(trials, budget_mib, arguments.workers) as bounded,
        loader(trials, unbounded_mib, arguments.workers) as unbounded,
    ):
        for ours in (bounded, unbounded):
            epoch_alone(ours, trials, 0)
        yield f"| with a step, batches of {ROWS} (median of {arguments.rounds} rounds in turns) | windows/s, budget "
        yield f"{budget_mib} MiB | windows/s, all cached | ratio | time waited, bounded |\n|---|---|---|---|---|\n"
        for name, step in steps.items():
            speeds: list[list[tuple[float, float]]] = [[], []]
            for turn in range(arguments.rounds):
                for which, ours in enumerate((bounded, unbounded)):
                    speeds[which].append(with_step(ours, trials, 1 + turn, step, arguments.batches))
            ours, theirs = (np.array(measured) for measured in speeds)
            ratio = float(np.median(ours[:, 0] / theirs[:, 0]))
            yield (
                f"| {name} | {np.median(ours[:, 0]):.1f} | {np.median(theirs[:, 0]):.1f} | **{ratio:.3f}** | "
                f"{100 * np.median(ours[:, 1]):.1f} % |\n"
            )
        assert unbounded.statistics.misses == len(trials), "the unbounded cache decoded a clip twice"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=6_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=40, help="batches of a round")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--step-seconds", type=float, default=0.4, help="of the step that sleeps")
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        folder, budget_mib, workers = arguments.child
        print(json.dumps(memory_alone(Path(folder), int(budget_mib), int(workers))))
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), arguments.clips)
        trials, decoded = described(Path(folder))
        budget_mib = max(1, round(decoded / MIB / 10))
        lines = memory_lines(Path(folder), budget_mib, arguments.workers)
        print("\n".join(lines), flush=True)
        steps = {
            f"on another device, {1000 * arguments.step_seconds:.0f} ms a step": sleeping(arguments.step_seconds),
            f"efficient on the processor, {torch.get_num_threads()} threads": efficient_step(),
        }
        speeds = "".join(speed_lines(trials, budget_mib, steps, arguments)).rstrip("\n")
    lines += [
        "",
        speeds,
        "",
        f"Measured {time.strftime('%Y-%m-%d')} by `python benchmarks/training_data.py`; {arguments.workers} workers, "
        f"{psutil.cpu_count()} processors, Python {platform.python_version()}, torch {torch.__version__}.",
    ]
    arguments.table.write_text("\n".join(lines) + "\n")
    print(arguments.table.read_text())


if __name__ == "__main__":
    main()
