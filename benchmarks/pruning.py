"""EER against the work of a pruned encoder, before and after fine-tuning; writes docs/pruning-table.md.

    python benchmarks/pruning.py MANIFEST [--model efficient] [--remove 0.25 0.5 0.75] [--importance taylor]
        [--windows 256] [--rounds 4] [--multiple 4] [--most N] [--checkpoints DIR] [--tuned DIR] [--print]

MANIFEST has parts train, whose windows weigh the channels, and dev, of which the first window of each trial (N of each
class, drawn by their ids; all without) is scored by PyTorch. Differences are to the whole model on the same trials, with a
paired interval. ``--checkpoints DIR`` writes DIR/PERCENT.safetensors of each share, to be fine-tuned:

    aasist train pruned --from DIR/50.safetensors --teacher efficient --data MANIFEST -o TUNED/50

``--tuned TUNED`` scores TUNED/PERCENT/averaged.safetensors beside them. Needs the extra ``train``.
"""

from __future__ import annotations

import argparse
import copy
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from aasist.evaluation.bootstrap import compare, intervals
from aasist.evaluation.det import eer
from aasist.evaluation.tables import Table, percent
from aasist.export.importance import by_magnitude, by_norm, by_taylor
from aasist.export.prune import prune
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.model.cost import cost
from aasist.model.training_form import prepared
from aasist.protocol.corpora import read_corpus
from aasist.runtime.models import shipped, shipped_checkpoint
from aasist.session import BONAFIDE, SPOOF
from aasist.training.recipe import Data
from aasist.training.selection import training_trials
from aasist.training.waveforms import Crop, cut, decoded
from aasist.training.windows import renormed, windows_of_both_classes
from aasist.trial import Trials
from aasist.trials.adversary import drawn
from footer import as_given, footer

TABLE = Path(__file__).parents[1] / "docs" / "pruning-table.md"
SEED = 0


class Scored(NamedTuple):
    """A model under test: its row's first cells, and the logit differences (N,) of the trials."""

    cells: tuple[str, ...]
    scores: np.ndarray


def first_windows(trials: Trials, folder: Path, samples: int) -> Tensor:
    """The first window (N, samples) of each trial, repeated where it is too short."""
    paths = trials.columns["path"].tolist()
    return torch.from_numpy(np.stack([cut(decoded(folder / path, Crop()), samples) for path in paths]))


def margins(model: Aasist, windows: Tensor, rows: int = 16) -> np.ndarray:
    """Windows (N, T) -> logit of bona fide less that of spoof (N,)."""
    form = prepared(model, "fp32", "cpu").eval()
    with torch.no_grad():
        logits = torch.cat([form(part) for part in torch.split(windows, rows)])
    return (logits[:, BONAFIDE] - logits[:, SPOOF]).double().numpy()


def row(scored: Scored, whole: Scored, labels: np.ndarray) -> tuple[str, ...]:
    """EER with its interval, and the difference to the whole model in points."""
    limits = intervals({"eer": eer.of}, scored.scores, labels, seed=SEED)["eer"]
    rate = percent(eer(scored.scores[labels], scored.scores[~labels]), limits)
    if scored is whole:
        return (*scored.cells, rate, "-")
    found = compare({"eer": eer.of}, scored.scores, whole.scores, labels, seed=SEED)["eer"]
    low, high = found.interval
    return (*scored.cells, rate, f"{100 * found.difference:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--model", default="efficient")
    parser.add_argument("--remove", type=float, nargs="+", default=[0.25, 0.5, 0.75])
    parser.add_argument("--importance", choices=["taylor", "magnitude", "bn"], default="taylor")
    parser.add_argument("--windows", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--multiple", type=int, default=4)
    parser.add_argument("--most", type=int)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--tuned", type=Path)
    parser.add_argument("--print", action="store_true", help="Print the table and leave the file as it is.")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)

    model = checkpoint.load(shipped_checkpoint(given.model) if given.model in shipped() else given.model)
    samples = model.architecture.window_samples
    trials = drawn(read_corpus("manifest", given.manifest, "dev"), given.most, SEED)
    labels = np.asarray(trials.bonafide)
    windows = first_windows(trials, given.manifest.parent, samples)
    material = training_trials(Data(train=(str(given.manifest),)))
    heard, classes = windows_of_both_classes(material, given.windows, samples, seed=SEED, threads=given.threads)
    importance = {
        "taylor": partial(by_taylor, windows=heard, labels=classes),
        "magnitude": by_magnitude,
        "bn": by_norm,
    }[given.importance]

    def scored(name: str, state: str, gone: float, one: Aasist) -> Scored:
        print(f"{name}, {state}", file=sys.stderr)
        facts = cost(one.architecture)
        cells = (name, state, f"{gone:.1%}".replace("%", " %"), f"{facts.gflop:.2f}", f"{facts.parameters:,}")
        return Scored(cells, margins(one, windows))

    whole = scored(given.model, "whole", 0.0, model)
    rows = [row(whole, whole, labels)]
    for remove in given.remove:
        name = f"{100 * remove:g}"
        pruned = prune(
            model,
            remove,
            importance,
            relative=given.importance != "taylor",
            multiple=given.multiple,
            rounds=given.rounds,
        )
        thin = pruned.model
        rows.append(row(scored(f"{name} % removed", "as it is", pruned.removed, thin), whole, labels))
        thin = copy.deepcopy(thin)
        renormed(thin, heard, rows=16, seed=SEED)
        rows.append(row(scored(f"{name} % removed", "norms anew", pruned.removed, thin), whole, labels))
        if given.checkpoints is not None:
            given.checkpoints.mkdir(parents=True, exist_ok=True)
            checkpoint.save(thin, given.checkpoints / f"{name}.safetensors")
        tuned = None if given.tuned is None else given.tuned / name / "averaged.safetensors"
        if tuned is not None and tuned.is_file():
            one = checkpoint.load(tuned)
            rows.append(row(scored(f"{name} % removed", "fine-tuned", pruned.removed, one), whole, labels))
    headers = ("model", "state", "encoder's work gone", "GFLOP a window", "parameters", "EER", "points more than whole")
    bonafide = int(labels.sum())
    words = as_given(parser, given, but=("threads", "checkpoints", "print"))
    text = (
        f"{Table(headers, tuple(rows)).markdown()}\nDev, first window of {bonafide} bona fide and {len(labels) - bonafide} "
        f"spoofs; channels weighed by {given.importance}, {len(heard)} windows, {given.rounds} rounds, widths in multiples "
        f"of {given.multiple}; in brackets 95 % intervals, of differences paired. {footer('pruning.py', 'torch', arguments=words)}\n"
    )
    print(text)
    if not given.print:
        TABLE.write_text(text)


if __name__ == "__main__":
    main()
