"""A corpus of seconds and a recipe of moments: what the tests of the loop train."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from aasist.training.recipe import Recipe, read_recipe, with_changes

from ..corpora import BONAFIDE, Recording, Signal, asvspoof2019_la

CHANGES = {
    "model.name": "small",
    "model.window_samples": 8_000,
    "model.level": "rms",
    "model.bands": 12,
    "model.kernel_samples": 33,
    "model.sinc_stride": 4,
    "model.front_pool": (3, 4),
    "model.channels": (6, 8),
    "model.time_pools": (3, 3),
    "model.graph_dims": (8, 6),
    "batch": 4,
    "epochs": 3,
    "precision": "fp32",
    "run.threads": 1,
    "run.log_steps": 2,
    "loading.workers": 0,
    "loading.cache_mib": 8,
}
"""The published recipe with a model of 3,500 weights and batches of 4."""


def voice(seed: int, attack: str) -> Signal:
    """Noise of 0.6 to 1.1 s, that of a spoof without its high frequencies."""
    random = np.random.default_rng(seed)
    noise = random.standard_normal(int(random.uniform(0.6, 1.1) * 16_000))
    if attack != BONAFIDE:
        noise = np.convolve(noise, np.full(4, 0.5), "same")
    return (0.1 * noise).astype(np.float32)


def corpus(root: Path, *, train: int = 18, dev: int = 12) -> Path:
    """ASVspoof 2019 LA's layout below ``root``, a third of it bona fide."""
    attacks = (BONAFIDE, "A01", "A02")
    sets = {}
    for first, (subset, count) in enumerate({"train": train, "dev": dev, "eval": 3}.items()):
        sets[subset] = [
            Recording(f"LA_{subset[0].upper()}_{n:07}", voice(1_000 * first + n, attacks[n % 3]), attacks[n % 3])
            for n in range(count)
        ]
    return asvspoof2019_la(root, sets)


def recipe(root: Path, **changes: object) -> Recipe:
    """`CHANGES` of the recipe ``aasist`` on the corpus at ``root``, and others on top (``run__steps`` for run.steps)."""
    named = {name.replace("__", "."): value for name, value in changes.items()}
    data = {"data.train": (f"asvspoof2019-la:{root}",)}
    return with_changes(read_recipe("aasist"), {**CHANGES, **data, **named})
