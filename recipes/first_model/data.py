"""Clips in memory, and batches of pairs drawn from them."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

SPOOF, BONAFIDE = 0, 1


@dataclass
class Clips:
    """A manifest with its waveforms: int16 samples end to end, one (start, stop) for each clip."""

    rows: list[dict[str, str]]
    samples: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def waveform(self, index: int) -> np.ndarray:
        """The whole clip, int16."""
        return self.samples[self.starts[index] : self.starts[index + 1]]

    @property
    def labels(self) -> np.ndarray:
        """(N,) 1 = bona fide, 0 = spoof."""
        return np.array([row["label"] == "bonafide" for row in self.rows], dtype=np.int64)


def load(manifests: list[Path], split: str | None = None, shortest_seconds: float = 0.5) -> Clips:
    """Every clip of the manifests (of one split, if named) into memory; a folder stands for its manifest.tsv."""
    rows, parts = [], []
    for given in manifests:
        manifest = given / "manifest.tsv" if given.is_dir() else given
        with open(manifest, newline="") as file:
            wanted = [r for r in csv.DictReader(file, delimiter="\t") if split is None or r["split"] == split]
        for row in wanted:
            samples, rate = soundfile.read(manifest.parent / row["path"], dtype="int16")
            if rate != 16000 or samples.ndim != 1:
                raise ValueError(f"{row['path']}: expected 16 kHz mono, got {rate} Hz, shape {samples.shape}")
            samples = trimmed(samples)
            if len(samples) >= shortest_seconds * 16000:
                rows.append({**row, "folder": str(manifest.parent)})
                parts.append(samples)
        print(f"{manifest}: {len(wanted)} clips", file=sys.stderr)
    starts = np.concatenate([[0], np.cumsum([len(part) for part in parts])])
    return Clips(rows, np.concatenate(parts), starts)


def trimmed(samples: np.ndarray) -> np.ndarray:
    """Without leading and trailing silence (40 dB under the loudest 20 ms): its length tells corpora apart."""
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320).astype(np.float32)
    if not len(frames):
        return samples
    level = np.sqrt((frames**2).mean(1))
    loud = np.flatnonzero(level > level.max() * 0.01)
    return samples[loud[0] * 320 : (loud[-1] + 1) * 320] if len(loud) else samples


class PairSampler:
    """Draws pairs (bona fide, spoof), so that what a page, a speaker or a channel sounds like tells nothing.

    Three kinds: a recording and its copy-synthesis (the same span); two clips of one source; clips of two sources that
    have one class each. Systems are drawn evenly within a source, sources by the square root of what they hold.
    """

    def __init__(self, clips: Clips, copies: float, mixed: float) -> None:
        self.by_pair: dict[str, list[list[int]]] = defaultdict(lambda: [[], []])
        by_source: dict[str, list[dict[str, list[int]]]] = defaultdict(lambda: [defaultdict(list), defaultdict(list)])
        for index, row in enumerate(clips.rows):
            label = int(row["label"] == "bonafide")
            if row.get("pair"):
                self.by_pair[row["pair"]][label].append(index)
            else:
                group = row["speaker"] if label else row["system"]
                by_source[row["source"]][label][group].append(index)
        self.pairs = [pair for pair in self.by_pair.values() if pair[0] and pair[1]]
        self.paired = [source for source in by_source.values() if source[0] and source[1]]
        self.alone = [[s[label] for s in by_source.values() if s[label]] for label in (SPOOF, BONAFIDE)]
        self.copies, self.mixed = (copies if self.pairs else 0.0), mixed

    def draw(self, rng: np.random.Generator) -> tuple[int, int, bool]:
        """Index of a bona fide clip, index of a spoof, and whether they are the same span."""
        kind = rng.random()
        if kind < self.copies:
            spoofs, bonafide = self.pairs[rng.integers(len(self.pairs))]
            return bonafide[rng.integers(len(bonafide))], spoofs[rng.integers(len(spoofs))], True
        if kind < self.copies + self.mixed:
            spoof, bonafide = (self._source(self.alone[label], rng) for label in (SPOOF, BONAFIDE))
        else:
            spoof, bonafide = self._source(self.paired, rng)
        return self._clip(bonafide, rng), self._clip(spoof, rng), False

    @staticmethod
    def _source(sources: list, rng: np.random.Generator):  # type: ignore[no-untyped-def]
        def held(source: object) -> int:
            groups = source if isinstance(source, dict) else source[0]  # type: ignore[index]
            return sum(len(members) for members in groups.values())

        weights = np.sqrt([held(source) for source in sources])
        return sources[rng.choice(len(sources), p=weights / weights.sum())]

    @staticmethod
    def _clip(groups: dict[str, list[int]], rng: np.random.Generator) -> int:
        members = list(groups.values())[rng.integers(len(groups))]
        return members[rng.integers(len(members))]


def crop(samples: np.ndarray, length: int, where: float) -> np.ndarray:
    """``length`` float32 samples in [-1, 1] from a relative position; a shorter clip is repeated."""
    samples = samples.astype(np.float32) / 32768.0
    if len(samples) < length:
        return np.tile(samples, length // len(samples) + 2)[int(where * len(samples)) :][:length]
    start = int(where * (len(samples) - length + 1))
    return samples[start : start + length]
