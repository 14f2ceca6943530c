"""Trains the shipped ``efficient`` model: pairs from one source, one chain of degradations, a loss that ranks each pair.

    python recipes/first_model/train.py --train DIR [DIR ...] --dev DIR --noise NOISE.TSV -o runs/first [--minutes 60]

``--train`` and ``--dev`` are folders with a manifest.tsv. Batch i depends on the seed and i alone, and the run can be
stopped at any moment and started again: it goes on from ``last.pt`` in the output folder.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from augment import Degrade
from data import BONAFIDE, Clips, PairSampler, crop, load
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from aasist.evaluation.det import eer
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.recipe import ARCHITECTURES, Architecture


@dataclass(frozen=True)
class Recipe:
    """All that decides the weights, but the data."""

    steps: int = 1500
    pairs: int = 16
    """Pairs (bona fide, spoof) in a batch."""
    crops: tuple[int, ...] = (20000, 24000, 32300)
    """Samples of a training crop; one draw for a batch."""
    full_from: float = 0.9
    """From this share of the steps on, crops are whole windows."""
    copies: float = 0.4
    """Share of the pairs that are a recording and its copy-synthesis."""
    mixed: float = 0.2
    """Share of the pairs of two sources that have one class each."""
    same_chain: float = 0.6
    """Probability that both members of a pair go through the same degradations (a copy always does)."""
    rank_weight: float = 0.5
    """Weight of the ranking loss within pairs beside the cross-entropy."""
    clean: float = 0.3
    """Probability that a clip goes through no degradation at all."""
    band_mask: float = 0.2
    """Probability that up to 15 neighbouring sinc bands are silenced."""
    learning_rate: float = 1e-3
    warm_up: int = 60
    weight_decay: float = 0.01
    averaging: float = 0.995
    """Decay of the running average of the weights, which is what is evaluated and kept."""
    seed: int = 1


class Trainee(nn.Module):
    """The countermeasure with a linear head on its encoder, which teaches the encoder and is left out of the model."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.countermeasure = Aasist(architecture)
        self.head = nn.Linear(2 * architecture.channels[-1] * architecture.spectral_nodes, 2)

    def forward(self, waveform: torch.Tensor, band_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Waveform (B, T), band mask (B, bands) -> logits (B, 2) of the model and of the head."""
        model = self.countermeasure
        features = model.features(waveform, band_mask)
        spectral, temporal = model.graphs(features)
        readout = model.readout(model.spectral_pool(spectral), model.temporal_pool(temporal))
        logits = model.out(functional.dropout(readout, model.dropout, self.training))
        return logits, self.head(torch.cat([features.mean(3), features.amax(3)], dim=1).flatten(1))


class Batches(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Batch i: waveforms (2 P, T), bona fide first, and band masks (2 P, bands)."""

    def __init__(self, clips: Clips, degrade: Degrade, recipe: Recipe, start: int, window: int, bands: int) -> None:
        self.clips, self.degrade, self.recipe = clips, degrade, recipe
        self.start, self.window, self.bands = start, window, bands
        self.sampler = PairSampler(clips, recipe.copies, recipe.mixed)

    def __len__(self) -> int:
        return self.recipe.steps - self.start

    def __getitem__(self, item: int) -> tuple[torch.Tensor, torch.Tensor]:
        step, recipe = self.start + item, self.recipe
        rng = np.random.default_rng([recipe.seed, step])
        full = step >= recipe.full_from * recipe.steps
        length = self.window if full else int(rng.choice(recipe.crops))
        members: list[list[np.ndarray]] = [[], []]
        for _ in range(recipe.pairs):
            bonafide, spoof, copy = self.sampler.draw(rng)
            where, seed = rng.random(2), rng.integers(2**62, size=2)
            if copy or rng.random() < recipe.same_chain:
                seed[1] = seed[0]
            if copy:
                where[1] = where[0]
            for place, clip in enumerate((bonafide, spoof)):
                cut = crop(self.clips.waveform(clip), length, where[place])
                own = np.random.default_rng(seed[place])
                members[place].append(cut if own.random() < recipe.clean else self.degrade(cut, own))
        mask = np.ones((2 * recipe.pairs, self.bands), dtype=np.float32)
        for row in range(2 * recipe.pairs):
            if rng.random() < recipe.band_mask:
                first = rng.integers(self.bands)
                mask[row, first : first + rng.integers(1, 16)] = 0.0
        return torch.from_numpy(np.stack(members[0] + members[1])), torch.from_numpy(mask)


def score(model: Aasist, clips: Clips, batch: int = 16) -> np.ndarray:
    """Logit difference (N,) of each clip's first window, higher = more bona fide."""
    window = model.architecture.window_samples
    scores = []
    with torch.inference_mode():
        for first in range(0, len(clips), batch):
            part = [crop(clips.waveform(i), window, 0.0) for i in range(first, min(first + batch, len(clips)))]
            logits = model(torch.from_numpy(np.stack(part)).contiguous())
            scores.append((logits[:, BONAFIDE] - logits[:, 1 - BONAFIDE]).numpy())
    return np.concatenate(scores)


def within_source(scores: np.ndarray, clips: Clips, fewest: int = 10) -> float:
    """Mean EER over the sources with ``fewest`` or more clips of each class."""
    by_source: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(clips.rows):
        by_source[row["source"]].append(index)
    rates = []
    for members in by_source.values():
        labels = clips.labels[members]
        if min(labels.sum(), (1 - labels).sum()) >= fewest:
            rates.append(eer(scores[members][labels == 1], scores[members][labels == 0]))
    return float(np.mean(rates)) if rates else math.nan


def read_noises(table: Path | None) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Noises and room responses of a table with columns ``path`` and ``kind``."""
    noises: list[np.ndarray] = []
    responses: list[np.ndarray] = []
    if table is not None:
        with open(table, newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                samples, _ = soundfile.read(table.parent / row["path"], dtype="float32")
                (responses if row["kind"] == "rir" else noises).append(samples)
    return noises, responses


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up, then a cosine down to a hundredth."""
    if step < recipe.warm_up:
        return recipe.learning_rate * (step + 1) / recipe.warm_up
    share = (step - recipe.warm_up) / max(recipe.steps - recipe.warm_up, 1)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))


def loss_of(logits: torch.Tensor, pairs: int, rank_weight: float) -> torch.Tensor:
    """Logits (2 P, 2), bona fide first -> cross-entropy plus the logistic ranking loss of each pair."""
    labels = torch.cat([torch.full((pairs,), BONAFIDE), torch.full((pairs,), 1 - BONAFIDE)])
    margin = logits[:, BONAFIDE] - logits[:, 1 - BONAFIDE]
    ranking = functional.softplus(-(margin[:pairs] - margin[pairs:])).mean()
    return functional.cross_entropy(logits, labels, label_smoothing=0.05) + rank_weight * ranking


def parse() -> tuple[argparse.Namespace, Recipe]:
    """The command line; every number of the recipe is an option."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, nargs="+", required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--noise", type=Path)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--architecture", default="efficient", choices=sorted(ARCHITECTURES))
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop after this long; run again to go on")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dev-every", type=int, default=250)
    for name, value in vars(Recipe()).items():
        if not isinstance(value, tuple):
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    arguments = parser.parse_args()
    return arguments, Recipe(**{name: getattr(arguments, name) for name in vars(Recipe()) if hasattr(arguments, name)})


class Run:
    """Everything that changes while training, and its folder."""

    def __init__(self, architecture: Architecture, recipe: Recipe, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.recipe, self.folder, self.state_path = recipe, folder, folder / "last.pt"
        self.trainee = Trainee(architecture).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = Aasist(architecture)
        self.average.load_state_dict(self.trainee.countermeasure.state_dict())
        self.average.eval()
        self.optimiser = torch.optim.AdamW(
            self.trainee.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        self.step, self.best = 0, math.inf
        if self.state_path.exists():
            state = torch.load(self.state_path, weights_only=True)
            self.trainee.load_state_dict(state["trainee"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            torch.set_rng_state(state["random"])
            self.step, self.best = state["step"], state["best"]
            print(f"going on from step {self.step}", file=sys.stderr)

    def take(self, waveforms: torch.Tensor, masks: torch.Tensor) -> float:
        """One optimiser step on a batch -> its loss."""
        self.trainee.train()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.recipe, self.step)
        both = self.trainee(waveforms, masks)
        loss = sum(loss_of(logits, self.recipe.pairs, self.recipe.rank_weight) for logits in both)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trainee.parameters(), 2.0)
        self.optimiser.step()
        self.step += 1
        decay = min(self.recipe.averaging, self.step / (self.step + 10))
        weights = self.trainee.countermeasure.state_dict().values()
        with torch.no_grad():
            for kept, new in zip(self.average.state_dict().values(), weights, strict=True):
                kept.lerp_(new, 1 - decay) if kept.dtype.is_floating_point else kept.copy_(new)
        return float(loss.item())

    def save(self) -> None:
        """Write what a later start goes on from, whole or not at all."""
        part = self.state_path.with_suffix(".pt.part")
        state = {"average": self.average.state_dict(), "optimiser": self.optimiser.state_dict()}
        state |= {"trainee": self.trainee.state_dict(), "random": torch.get_rng_state()}
        torch.save({**state, "step": self.step, "best": self.best}, part)
        part.replace(self.state_path)

    def measure(self, dev: Clips, losses: list[float], minutes: float) -> None:
        """Score dev with the averaged weights, log it, and keep the best and the last of them."""
        scores, labels = score(self.average, dev), dev.labels
        line = {
            "step": self.step,
            "minutes": round(minutes, 1),
            "loss": round(float(np.mean(losses)), 4),
            "dev_eer": round(eer(scores[labels == 1], scores[labels == 0]), 4),
            "dev_within_source": round(within_source(scores, dev), 4),
        }
        print(json.dumps(line), flush=True)
        with open(self.folder / "metrics.jsonl", "a") as log:
            log.write(json.dumps(line) + "\n")
        if line["dev_eer"] < self.best:
            self.best = line["dev_eer"]
            checkpoint.save(self.average, self.folder / "best.safetensors", step=str(self.step))
        checkpoint.save(self.average, self.folder / "last.safetensors", step=str(self.step))


def main() -> None:
    arguments, recipe = parse()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(recipe.seed)
    train, dev = load(arguments.train, "train"), load([arguments.dev], "dev")
    print(f"train {len(train)} clips ({train.labels.sum()} bona fide), dev {len(dev)}", file=sys.stderr)
    architecture = ARCHITECTURES[arguments.architecture]
    run, started = Run(architecture, recipe, arguments.out), time.monotonic()
    degrade = Degrade(*read_noises(arguments.noise))
    batches = Batches(train, degrade, recipe, run.step, architecture.window_samples, architecture.bands)
    losses: list[float] = []
    for waveforms, masks in DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=4):
        losses.append(run.take(waveforms, masks))
        minutes = (time.monotonic() - started) / 60
        if run.step % arguments.dev_every == 0 or run.step == recipe.steps:
            run.measure(dev, losses, minutes)
            losses = []
        if run.step % 50 == 0 or run.step == recipe.steps or minutes > arguments.minutes:
            run.save()
            print(f"step {run.step}", file=sys.stderr, flush=True)
        if minutes > arguments.minutes:
            break


if __name__ == "__main__":
    main()
