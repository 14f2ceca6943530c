"""What a cascade of two models saves and costs, by its band of doubt; writes docs/cascade-table.md.

    python benchmarks/cascade.py MANIFEST [--stages small efficient] [--low -0.75 0] [--high 1 1.5] [--print]

Both models score the part dev of MANIFEST, once: its clips, each shorter than two windows, and those of one source, class and
speaker (of spoofs: system) joined to recordings of 8 to 20 s. What a cascade would have said and taken follows from their llrs and
from the processor time of listening (decoding, speech activity, quality) and of a window of either model. EER counts the
recordings that can be decided; a loss is in points, against the larger model on all of them.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from aasist.audio.listen import Listener
from aasist.audio.read import Source, open_audio, read
from aasist.evaluation.det import eer
from aasist.evaluation.tables import Table, percent
from aasist.protocol.corpora import read_corpus
from aasist.runtime.detector import Detector
from aasist.runtime.pipeline import DOUBT, EVERY, STAGES, some
from aasist.session import SAMPLE_RATE
from footer import as_given, footer

TABLE = Path(__file__).parents[1] / "docs" / "cascade-table.md"
JOINED_SECONDS, LEAST_SECONDS = 16.0, 8.0
NEVER = (np.inf, -np.inf)
Result = TypeVar("Result")


class Recording(NamedTuple):
    """Whether it is bona fide and can be decided on, and the llrs (N,) of its windows by the small and the large model."""

    bonafide: bool
    decided: bool
    small: np.ndarray
    large: np.ndarray


class Spent:
    """Processor time (s) by what it went to."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def on(self, what: str, work: Callable[[], Result]) -> Result:
        start = time.process_time()
        done = work()
        self.seconds[what] += time.process_time() - start
        return done


class Scored(NamedTuple):
    """Recordings of one kind, and what they took."""

    name: str
    recordings: list[Recording]
    spent: Spent


def scored(name: str, sources: Iterable[tuple[Source, bool]], stages: list[Detector]) -> Scored:
    """All recordings by both models, a window at a time on one thread."""
    spent, recordings = Spent(), []
    small, large = stages
    for source, bonafide in sources:
        with open_audio(source) as reader:
            listener = Listener(reader, window_samples=small.notes.window_samples, hop_samples=small.notes.hop_samples)
            windows = spent.on("listening", lambda: list(listener))  # noqa: B023  # called at once
        if not windows:
            continue
        batch = np.stack([window.samples for window in windows])
        llrs = [spent.on(what, lambda: one.llrs_of(batch)) for what, one in (("small", small), ("large", large))]  # noqa: B023
        recordings.append(Recording(bonafide, not listener.summary.undecided_reasons, *llrs))
    return Scored(name, recordings, spent)


def clips(manifest: Path) -> tuple[list[tuple[Source, bool]], list[tuple[Source, bool]]]:
    """Dev's clips, and recordings joined of them."""
    trials = read_corpus("manifest", manifest, "dev")
    groups: dict[tuple[str, bool, str], list[str]] = defaultdict(list)
    columns = zip(*(trials.columns[name].tolist() for name in ("path", "source", "attack", "speaker")), strict=True)
    single: list[tuple[Source, bool]] = []
    for (path, source, attack, speaker), bonafide in zip(columns, np.asarray(trials.bonafide).tolist(), strict=True):
        single.append((str(manifest.parent / path), bonafide))
        groups[source, bonafide, speaker if bonafide else attack].append(str(manifest.parent / path))
    joined: list[tuple[Source, bool]] = []
    for (_, bonafide, _), paths in sorted(groups.items()):
        parts: list[np.ndarray] = []
        for path in paths:
            parts.append(read(path))
            if sum(map(len, parts)) >= JOINED_SECONDS * SAMPLE_RATE:
                joined.append(((np.concatenate(parts), SAMPLE_RATE), bonafide))
                parts = []
        if sum(map(len, parts)) >= LEAST_SECONDS * SAMPLE_RATE:
            joined.append(((np.concatenate(parts), SAMPLE_RATE), bonafide))
    return single, joined


def row(of: Scored, every: int, band: tuple[float, float], chosen: bool) -> tuple[str, ...]:
    """What a cascade with this band would have come to."""
    said, larger, labels, decided = [], [], [], []
    windows = heard = again = passed = 0
    for recording in of.recordings:
        first = list(some(recording.small, every))
        small, large = np.mean(first), recording.large.mean()
        goes_on = recording.decided and band[0] <= small <= band[1]
        said.append(large if goes_on else small)
        larger.append(large)
        labels.append(recording.bonafide)
        decided.append(recording.decided)
        windows += len(recording.small)
        heard += len(first)
        again += len(recording.large) * goes_on
        passed += goes_on
    spent = of.spent.seconds
    models = spent["large"] / (spent["small"] * heard / windows + spent["large"] * again / windows)
    whole = sum(spent[what] for what in ("listening", "large")) / (
        spent["listening"] + spent["small"] * heard / windows + spent["large"] * again / windows
    )
    bonafide, counted = np.asarray(labels), np.asarray(decided)
    everyone = np.ones(len(counted), np.bool_)

    def rate(llrs: list[float], over: np.ndarray) -> float:
        values = np.asarray(llrs)
        return float(eer(values[over & bonafide], values[over & ~bonafide]))

    return (
        of.name,
        f"{every}",
        "never" if band == NEVER else f"{band[0]:+.2f} to {band[1]:+.2f}" + " (default)" * chosen,
        f"{100 * passed / len(of.recordings):.0f} %",
        percent(rate(said, counted)),
        f"{100 * (rate(said, counted) - rate(larger, counted)):+.1f}",
        f"{100 * (rate(said, everyone) - rate(larger, everyone)):+.1f}",
        f"{models:.2f}",
        f"{whole:.2f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--stages", nargs=2, default=list(STAGES))
    parser.add_argument("--low", type=float, nargs="+", default=[-0.75, -0.25, 0.0])
    parser.add_argument("--high", type=float, nargs="+", default=[1.0, 1.5])
    parser.add_argument("--print", action="store_true", help="Print the table and leave the file as it is.")
    given = parser.parse_args()

    stages = [Detector(stage, threads=1) for stage in given.stages]
    single, joined = clips(given.manifest)
    measured = [scored("clips", single, stages), scored("joined", joined, stages)]
    chosen = DOUBT.get(tuple(given.stages), ((),))[0]
    bands = [NEVER, *((low, high) for low in given.low for high in given.high)]
    rows = tuple(
        row(of, every, band, (every, band) == (EVERY, chosen))
        for of in measured
        for every in ((1,) if of.name == "clips" else (1, 2))
        for band in bands
    )
    headers = (
        "recordings", "first stage hears one window in (and the last)", "band of doubt, llr above the threshold", "go on", "EER",
        "points more than the larger", "undecided counted", "models: times the throughput", "with listening",
    )  # fmt: skip
    costs = "; ".join(
        f"{of.name}: {len(of.recordings)} ({sum(r.bonafide for r in of.recordings)} bona fide, "
        f"{sum(r.decided for r in of.recordings)} that can be decided), "
        f"{np.mean([len(r.small) for r in of.recordings]):.1f} windows each, listening "
        f"{of.spent.seconds['listening'] / of.spent.seconds['large']:.2f} and `{given.stages[0]}` "
        f"{of.spent.seconds['small'] / of.spent.seconds['large']:.2f} of the processor time of `{given.stages[1]}`"
        for of in measured
    )
    words = as_given(parser, given, but=("print",))
    text = f"{Table(headers, rows).markdown()}\nDev. {costs}. {footer('cascade.py', 'onnxruntime', arguments=words)}\n"
    print(text)
    if not given.print:
        TABLE.write_text(text)


if __name__ == "__main__":
    main()
