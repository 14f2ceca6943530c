"""What a linear layer on a frozen speech encoder says of each trial of training, to teach by (``teachers.scores``).

    python recipes/campaign/encoder_scores.py ENCODER --data MANIFEST... --dev MANIFEST -o scores.tsv
        [--layers 1 2 3 4] [--features FOLDER] [--folds 5] [--weight-decay 1] [--seeds 1] [--jobs 2]

ENCODER is the folder of a speech encoder. Of each recording's first 4.04 s (a teacher says the same of all that the student
hears of it): mean and deviation over time of the frames of each layer, scaled by those of training; one linear layer (AdamW,
400 steps over all), classes of equal weight and within them sources by the square root of their trials. The score of a trial
is by the layers that were fitted without its source (of all ``--folds``, and the mean of ``--seeds``), so that it tells how it
sounds and not that it was learnt; an affine map makes log-odds of it. Where bona fide trials then score no higher than spoofs,
as they may where sources differ most by their channel, there is nothing to teach and nothing is written. Features are kept in
FOLDER, where a later call finds them. Prints the EER on dev, by what all of training gives.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from aasist.cli.progress import Bar
from aasist.errors import AasistError
from aasist.evaluation.calibration import fit_affine
from aasist.evaluation.det import eer
from aasist.model.speech_encoder import SpeechEncoder, open_encoder, sha256_of
from aasist.protocol.corpora import read_corpus
from aasist.protocol.scores import write_scores
from aasist.session import WINDOW_SAMPLES
from aasist.training.recipe import Data
from aasist.training.recordings import gathered
from aasist.training.selection import training_trials
from aasist.training.waveforms import Crop, decoded
from aasist.trial import Trials

STEPS, RATE = 400, 2e-3
CHUNK = 500
"""Recordings whose features are one file."""

_encoder: SpeechEncoder
_layers: tuple[int, ...]


def begin(folder: str, layers: tuple[int, ...]) -> None:
    """In a process of its own."""
    global _encoder, _layers
    torch.set_num_threads(1)
    _encoder, _layers = open_encoder(folder, deepest=max(layers)), layers


def heard(path: str) -> np.ndarray | str:
    """Mean and deviation of the frames of each layer (2 * layers * dim,), float16; or why there are none, as errors of ours do
    not pass from process to process."""
    try:
        waveform = decoded(path, Crop())[:WINDOW_SAMPLES].astype(np.float32) / 32_768
    except AasistError as error:
        return f"{path}: {error.message}"
    if len(waveform) < 1_600:
        waveform = np.resize(waveform, 1_600)
    with torch.inference_mode():
        frames = torch.cat(_encoder(torch.from_numpy(waveform)[None], _layers))
        return torch.cat([frames.mean(1), frames.std(1)]).flatten().half().numpy()


def features(paths: list[str], encoder: str, layers: tuple[int, ...], folder: Path, jobs: int) -> np.ndarray:
    """Of all recordings (N, F); of what ``folder`` does not hold yet, by so many processes."""
    folder.mkdir(parents=True, exist_ok=True)
    whole, heard_by = [], f"{sha256_of(Path(encoder))} {layers}"
    with (
        multiprocessing.get_context("spawn").Pool(jobs, begin, (encoder, layers)) as pool,
        Bar("features") as bar,
    ):
        for first in range(0, len(paths), CHUNK):
            some = paths[first : first + CHUNK]
            named = [heard_by, *(f"{path} {Path(path).stat().st_size}" for path in some)]
            digest = hashlib.sha256("\n".join(named).encode()).hexdigest()[:24]
            file = folder / f"{digest}.npy"
            if not file.exists():
                made = list(pool.imap(heard, some, chunksize=4))
                if refused := [one for one in made if isinstance(one, str)]:
                    raise SystemExit(f"leave out of the manifest what cannot be read: {'; '.join(refused[:4])}")
                part = file.with_suffix(".part.npy")
                np.save(part, np.stack(made))
                part.rename(file)
            whole.append(np.load(file))
            done = min(first + CHUNK, len(paths))
            if not bar.moved(done, len(paths), "recordings"):
                print(f"features of {done:,} of {len(paths):,} recordings", flush=True)
    return np.concatenate(whole)


def fitted(inputs: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor, decay: float, seed: int) -> torch.Tensor:
    """Weights and bias (F + 1,) of a linear layer on ``inputs`` (N, F)."""
    layer = (0.01 * torch.randn(inputs.shape[1], generator=torch.Generator().manual_seed(seed))).requires_grad_()
    bias = torch.zeros(1, requires_grad=True)
    groups = [{"params": [layer], "weight_decay": decay}, {"params": [bias], "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=RATE)
    for _ in range(STEPS):
        optimiser.zero_grad()
        losses = functional.binary_cross_entropy_with_logits(inputs @ layer + bias, labels, reduction="none")
        (weights * losses).sum().backward()
        optimiser.step()
    return torch.cat([layer, bias]).detach()


def balanced(labels: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Weights (N,) that sum to 1: classes alike, sources within them by the square root of their trials."""
    weights = np.zeros(len(labels))
    for one in (True, False):
        _, group, counts = np.unique(sources[labels == one], return_inverse=True, return_counts=True)
        by_trial = counts[group] ** -0.5
        weights[labels == one] = 0.5 * by_trial / by_trial.sum()
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("encoder")
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--layers", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--features", type=Path, default=Path("features"))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--weight-decay", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    train = training_trials(Data(train=tuple(given.data)))
    dev = gathered([("manifest", read_corpus("manifest", given.dev, "dev"), given.dev)])
    if "source" not in train.columns:
        raise SystemExit("the trials of training have no column source, by which they are folded")
    folds = fold_of(train.columns["source"], np.asarray(train.bonafide), given.folds)
    paths = train.columns["path"].tolist() + dev.columns["path"].tolist()
    whole = features(paths, given.encoder, tuple(given.layers), given.features, given.jobs)
    count = len(train)
    middle, spread = whole[:count].astype(np.float32).mean(0), whole[:count].astype(np.float32).std(0) + 1e-5
    inputs = torch.from_numpy((whole.astype(np.float32) - middle) / spread)
    labels, sources = np.asarray(train.bonafide), train.columns["source"]

    def layer(rows: np.ndarray) -> torch.Tensor:
        weights = torch.from_numpy(balanced(labels[rows], sources[rows])).float()
        of_class = torch.from_numpy(labels[rows]).float()
        fits = [fitted(inputs[rows], of_class, weights, given.weight_decay, seed) for seed in range(given.seeds)]
        return torch.stack(fits).mean(0)

    def scores(fit: torch.Tensor, rows: np.ndarray | slice) -> np.ndarray:
        return (inputs[rows] @ fit[:-1] + fit[-1]).numpy()

    told = np.zeros(count)
    for fold in np.unique(folds).tolist():
        told[folds == fold] = scores(layer(np.flatnonzero(folds != fold)), np.flatnonzero(folds == fold))
    rate = eer(told[labels], told[~labels])
    print(f"training, by what was fitted without a trial's source: EER {rate:.1%}")
    try:
        slope, offset = fit_affine(
            told[labels], told[~labels]
        )  # a strong decay of weights makes scores that are too small
    except ValueError as error:
        raise SystemExit(f"nothing to teach, and nothing written: {error}") from None
    write_scores(given.output, Trials(train.ids, labels, {"source": sources}), slope * told + offset, "tsv")
    of_dev, known = scores(layer(np.arange(count)), slice(count, None)), np.asarray(dev.bonafide)
    print(f"dev: EER {eer(of_dev[known], of_dev[~known]):.1%}")
    write_scores(given.output.with_suffix(".dev.tsv"), dev, slope * of_dev + offset, "tsv")


def fold_of(sources: np.ndarray, labels: np.ndarray, folds: int) -> np.ndarray:
    """The fold (N,) of each trial: sources from the largest on, each to the fold that has the fewest trials so far of the class
    of which the source holds the larger share. The program ends where some fold would be fitted without a class."""
    names, group = np.unique(sources, return_inverse=True)
    counts = np.stack([np.bincount(group[labels == one], minlength=len(names)) for one in (True, False)], 1)
    sizes, of_source = np.zeros((folds, 2)), np.zeros(len(names), np.int64)
    shares = counts / counts.sum(0)
    for number in np.argsort(-shares.max(1), kind="stable"):
        of_source[number] = np.argmin(sizes[:, np.argmax(shares[number])])
        sizes[of_source[number]] += shares[number]
    found = of_source[group]
    for fold in np.unique(found).tolist():
        if len(np.unique(labels[found != fold])) < 2:
            raise SystemExit("a class has too few sources to leave some of them out: take fewer folds, or other data")
    return found


if __name__ == "__main__":
    main()
