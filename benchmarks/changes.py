"""How soon a stream says that the speaker changed, and how often it says so wrongly; writes docs/changes-table.md.

    python benchmarks/changes.py MANIFEST [--model small] [--each 40] [--print]

Of the part dev of MANIFEST, clips of one source, class and speaker (of spoofs: system) are joined to calls of about 20 s, and to
halves of about 10 s; halves of both classes of one source make a call that changes in the middle. Each is walked as a stream, and
the llrs of its windows are followed with every drift and threshold of the table.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from aasist.audio.read import read
from aasist.evaluation.tables import Table
from aasist.protocol.corpora import read_corpus
from aasist.runtime.changes import DRIFT_LLR, THRESHOLD_LLR, ChangeDetector
from aasist.runtime.detector import Detector
from aasist.runtime.events import WindowScored
from aasist.runtime.stream import STREAM_MODEL, walk
from aasist.session import SAMPLE_RATE
from footer import as_given, footer

TABLE = Path(__file__).parents[1] / "docs" / "changes-table.md"
CALL_SECONDS, HALF_SECONDS = 20.0, 10.0
DRIFTS, THRESHOLDS = (0.5, 1.0, 1.5), (4.0, 8.0, 12.0, 16.0)
LATE_SECONDS = 10.0
"""A change found later than this behind it is not found."""


class Call(NamedTuple):
    """The llrs of a call's windows with their ends (s), its length, and where it changes to which way (0: nowhere)."""

    llrs: tuple[tuple[float, float], ...]
    seconds: float
    at: float
    way: int


def joined(paths: list[Path], seconds: float) -> Iterator[np.ndarray]:
    """The recordings one behind the other, as often as they give ``seconds`` or more."""
    parts: list[np.ndarray] = []
    for path in paths:
        parts.append(read(str(path)))
        if sum(map(len, parts)) >= seconds * SAMPLE_RATE:
            yield np.concatenate(parts)
            parts = []


def calls(manifest: Path, detector: Detector, each: int) -> Iterator[Call]:
    """Up to ``each`` calls of every kind: bona fide, spoof, one turning into the other, both ways."""
    trials = read_corpus("manifest", manifest, "dev")
    groups: dict[tuple[str, bool, str], list[Path]] = defaultdict(list)
    columns = zip(*(trials.columns[name].tolist() for name in ("path", "source", "attack", "speaker")), strict=True)
    for (path, source, attack, speaker), bonafide in zip(columns, np.asarray(trials.bonafide).tolist(), strict=True):
        groups[source, bonafide, speaker if bonafide else attack].append(manifest.parent / path)

    def followed(samples: np.ndarray, at: float = 0.0, way: int = 0) -> Call:
        events = walk((samples, SAMPLE_RATE), detector)
        llrs = tuple((event.end, event.llr) for event in events if isinstance(event, WindowScored))
        return Call(llrs, len(samples) / SAMPLE_RATE, at, way)

    halves: dict[tuple[str, bool], list[np.ndarray]] = defaultdict(list)
    same: dict[bool, int] = {True: 0, False: 0}
    for (source, bonafide, _), paths in sorted(groups.items()):
        halves[source, bonafide] += joined(paths, HALF_SECONDS)
        for samples in joined(paths, CALL_SECONDS):
            if same[bonafide] < each:
                same[bonafide] += 1
                yield followed(samples)
    pairs = [
        pair
        for (source, bonafide), human in sorted(halves.items())
        if bonafide
        for pair in zip(human, halves.get((source, False), []), strict=False)
    ]
    for human, machine in pairs[:each]:
        yield followed(np.concatenate((human, machine)), len(human) / SAMPLE_RATE, -1)
        yield followed(np.concatenate((machine, human)), len(machine) / SAMPLE_RATE, 1)


def row(drift: float, threshold: float, heard: list[Call]) -> tuple[str, ...]:
    """False alarms an hour in calls that do not change, changes found, how late, and how far off their start is told."""
    alarms, seconds = 0, 0.0
    late: list[float] = []
    off: list[float] = []
    for call in heard:
        detector = ChangeDetector(drift=drift, threshold=threshold)
        found = [(end, change) for end, llr in call.llrs if (change := detector.push(end, llr)) is not None]
        before = [change for end, change in found if not call.way or end <= call.at]
        alarms += len(before)
        seconds += call.at if call.way else call.seconds
        right = [
            (end, change.since)
            for end, change in found
            if call.way and call.at < end <= call.at + LATE_SECONDS and call.way * (change.after - change.before) > 0
        ]
        if right:
            late.append(right[0][0] - call.at)
            off.append(right[0][1] - call.at)
    changing = sum(1 for call in heard if call.way)
    chosen = (drift, threshold) == (DRIFT_LLR, THRESHOLD_LLR)
    return (
        f"{drift:g}",
        f"{threshold:g}" + " (default)" * chosen,
        f"{alarms} in {seconds / 60:.0f} min",
        f"{len(late)} of {changing}",
        f"{np.median(late):.1f}" if late else "-",
        f"{np.median(off):+.1f}" if off else "-",
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default=STREAM_MODEL)
    parser.add_argument("--each", type=int, default=40)
    parser.add_argument("--print", action="store_true", help="Print the table and leave the file as it is.")
    given = parser.parse_args()

    heard = list(calls(given.manifest, Detector(given.model, threads=1), given.each))
    rows = tuple(row(drift, threshold, heard) for drift in DRIFTS for threshold in THRESHOLDS)
    headers = ("drift", "threshold", "false alarms", "changes found", "s late", "start told, s off")
    steady = sum(1 for call in heard if not call.way)
    words = as_given(parser, given, but=("print",))
    text = (
        f"{Table(headers, rows).markdown()}\nDev, clips of one source joined: {steady} calls that do not change, "
        f"{len(heard) - steady} that do; `{given.model}`; within {LATE_SECONDS:.0f} s, in the right direction; medians. "
        f"{footer('changes.py', 'onnxruntime', arguments=words)}\n"
    )
    print(text)
    if not given.print:
        TABLE.write_text(text)


if __name__ == "__main__":
    main()
