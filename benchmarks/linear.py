"""Whether cost grows linearly and memory stays flat; writes docs/linear.json and the plot docs/linear.svg.

    python benchmarks/linear.py [--minutes 1 10 60 600] [--files 1 10 100 1000] [--threads 2]

One recording from 1 minute to 10 hours, and 1 to 1,000 files of 10 s, each by `aasist detect` as a process of its own; and
of one hour the share of decoding, speech activity and scoring, in processor time. Recordings are made of the examples and
written to a temporary folder (`TMPDIR`), 1 GB at the most. On a quiet machine; the plot needs the extra plots.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aasist import Detector
from aasist.audio.listen import Listener
from aasist.audio.read import open_audio
from aasist.bench.machine import measured_by
from aasist.runtime.threads import available_threads
from command import detect, write_speech

DOCS = Path(__file__).parents[1] / "docs"
FILE_SECONDS = 10
TIME_COLOUR, MEMORY_COLOUR, INK = "#0072B2", "#D55E00", "#808080"
"""Blue and vermilion of Okabe and Ito; a grey that is read on white and on black: the ground is transparent."""


def lengths(minutes: Sequence[float], threads: int, folder: Path) -> list[dict[str, float]]:
    """One recording of each length."""
    rows = []
    for length in minutes:
        path = write_speech(folder / "recording.flac", 60 * length)
        seconds, megabytes = detect([path], threads)
        rows.append({"minutes": length, "seconds": seconds, "peak_memory_mb": megabytes})
        print(f"{length:g} min: {seconds:.2f} s, {megabytes:.0f} MB", flush=True)
        path.unlink()
    return rows


def counts(files: Sequence[int], threads: int, folder: Path) -> list[dict[str, float]]:
    """So many files of `FILE_SECONDS`, no two of them alike."""
    rows, paths = [], []
    for count in files:
        while len(paths) < count:
            paths.append(write_speech(folder / f"{len(paths):05}.flac", FILE_SECONDS, first=7919 * len(paths)))
        seconds, megabytes = detect(paths[:count], threads)
        rows.append({"files": count, "seconds": seconds, "peak_memory_mb": megabytes})
        print(f"{count} files: {seconds:.2f} s, {megabytes:.0f} MB", flush=True)
    return rows


def shares(minutes: float, threads: int, folder: Path) -> dict[str, float]:
    """Processor seconds of decoding, of speech activity and what goes with it, of scoring; and seconds of it all.

    Each is what a stage adds to those before it: decoded, decoded and heard, judged.
    """
    path = write_speech(folder / "hour.flac", 60 * minutes)
    detector = Detector(threads=threads)
    detector.detect((np.zeros(160_000, np.float32), 16_000))  # everything is imported and allocated

    def decoded() -> None:
        with open_audio(path) as reader:
            exhaust(reader.blocks())

    def heard() -> None:
        with open_audio(path) as reader:
            notes = detector.notes
            exhaust(
                Listener(reader, window_samples=notes.window_samples, hop_samples=notes.hop_samples, threads=threads)
            )

    spent = []
    for stage in (decoded, heard, lambda: detector.detect(path)):
        processor, begun = time.process_time(), time.perf_counter()
        stage()
        spent.append((time.process_time() - processor, time.perf_counter() - begun))
    (decode, _), (hear, _), (judge, seconds) = spent
    found = {
        "minutes": minutes,
        "decode": decode,
        "speech": max(0.0, hear - decode),
        "scoring": max(0.0, judge - hear),
        "seconds": seconds,
        "times_real_time": 60 * minutes / seconds,
    }
    print(f"{minutes:g} min in {seconds:.2f} s; processor seconds: {found}", flush=True)
    return found


def exhaust(items: Iterable[object]) -> None:
    """Take all and keep none."""
    for _ in items:
        pass


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """n of the power law seconds ~ size ** n that fits best, by least squares in the logarithms: 1 is linear.

    NaN of fewer than two sizes.
    """
    if len(set(sizes)) < 2:
        return math.nan
    slope, _ = np.polyfit(np.log(sizes), np.log(seconds), 1)
    return float(slope)


def marginal(rows: Sequence[dict[str, float]], key: str) -> float | None:
    """`exponent` of what a size takes beyond the smallest, whose start and imports are no cost of size; None of fewer
    than three sizes."""
    first, *rest = rows
    if len(rest) < 2:
        return None
    return exponent([row[key] - first[key] for row in rest], [row["seconds"] - first["seconds"] for row in rest])


def plot(found: dict[str, Any], path: Path) -> None:
    """Time and memory over length and over number, on logarithmic axes where a straight line of slope 1 is linear."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    settings = {"svg.hashsalt": "aasist", "font.size": 9, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK, "xtick.color": INK, "ytick.color": INK, "savefig.transparent": True}  # fmt: skip
    with pyplot.rc_context(settings):
        figure, panels = pyplot.subplots(1, 2, figsize=(8, 3.2), sharey=True, layout="constrained")
        groups = (("lengths", "minutes", "minutes of one recording"), ("files", "files", f"files of {FILE_SECONDS} s"))
        for panel, (group, key, label) in zip(panels, groups, strict=True):
            rows = found[group]
            sizes = [row[key] for row in rows]
            panel.loglog(sizes, [row["seconds"] for row in rows], "o-", color=TIME_COLOUR, label="seconds")
            memory = [row["peak_memory_mb"] for row in rows]
            panel.loglog(sizes, memory, "s--", color=MEMORY_COLOUR, label="peak memory, MB")
            panel.set_xlabel(label)
            panel.grid(True, color=INK, alpha=0.25)
        panels[0].legend(frameon=False)
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10, 60, 600])
    parser.add_argument("--files", type=int, nargs="+", default=[1, 10, 100, 1000])
    parser.add_argument("--hour", type=float, default=60, help="minutes whose shares are told")
    parser.add_argument("--threads", type=int, default=min(2, available_threads()))
    parser.add_argument("--out", type=Path, default=DOCS, help="a folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        detect([write_speech(folder / "first.flac", FILE_SECONDS)], arguments.threads)  # the package's files are read
        found: dict[str, Any] = {
            "threads": arguments.threads,
            "file_seconds": FILE_SECONDS,
            "lengths": lengths(sorted(arguments.minutes), arguments.threads, folder),
            "files": counts(sorted(arguments.files), arguments.threads, folder),
            "hour": shares(arguments.hour, arguments.threads, folder),
        }
    found["exponents"] = {"lengths": marginal(found["lengths"], "minutes"), "files": marginal(found["files"], "files")}
    found["measured"] = measured_by("python benchmarks/linear.py", ("onnxruntime", "soundfile", "soxr", "numpy"))
    (arguments.out / "linear.json").write_text(json.dumps(found, indent=1, allow_nan=False) + "\n")
    plot(found, arguments.out / "linear.svg")


if __name__ == "__main__":
    main()
