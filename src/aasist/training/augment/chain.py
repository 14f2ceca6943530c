"""The chain: what happens to a batch, in the order of a recording's life."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aasist.keys import RecipeError
from aasist.parallel import in_order
from aasist.session import BONAFIDE, SAMPLE_RATE
from aasist.training.augment.bands import band_limited, equalised, resampled
from aasist.training.augment.bank import NoiseBank
from aasist.training.augment.coding import companded, gapped, quantised
from aasist.training.augment.levels import amplified, clipped, inverted
from aasist.training.augment.masks import time_masked
from aasist.training.augment.mix import mixed
from aasist.training.augment.noise import noisy, with_music
from aasist.training.augment.rawboost import boosted
from aasist.training.augment.recipe import AugmentRecipe
from aasist.training.augment.room import reverberated
from aasist.training.augment.speed import sped
from aasist.training.draws import Draws, Integers
from aasist.trial import Booleans

ROWS_AT_ONCE = 8
"""On the CPU: so many rows of four seconds stay in its caches from one operation to the next (measured: half the time
of 24 at once)."""


@dataclass(frozen=True)
class Step:
    """One thing that happens to rows (n, T): with which probability, and how. ``bonafide_only``: to no others."""

    name: str
    probability: float
    effect: Callable[[Tensor, Draws], Tensor]
    bonafide_only: bool = False


class Augmenter:
    """What a recipe does to batches, on the device they lie on.

    What becomes of a row is a function of its samples and its key: neither of the batch it is in, nor of what was done
    before. On one machine that holds to the last bit; between devices logarithms, cosines and transforms differ in
    their last bits. The order of `steps`: another speaker, speed, room, noise, music, equaliser, level, clipping, band,
    resampling, mu-law, fewer bits, lost packets, RawBoost (a channel of its own), a mask in time, polarity; codecs come
    before all of them, in the workers that decode.
    """

    def __init__(self, recipe: AugmentRecipe, bank: NoiseBank | None = None, sample_rate: int = SAMPLE_RATE) -> None:
        """Raises `RecipeError` for what needs recordings that the bank has not."""
        if sample_rate != SAMPLE_RATE:
            raise RecipeError(f"augmentation is made for {SAMPLE_RATE:,} Hz, got {sample_rate:,} Hz")
        for name, probability, kind in (
            ("mix", recipe.mix.probability, "speech"),
            ("music", recipe.music.probability, "music"),
        ):
            if probability and (bank is None or not bank.count(kind)):
                raise RecipeError(
                    f"augment.{name}.probability is {probability:g}, but there is no {kind} to draw from: name "
                    f"recordings of the kind {kind}, or set it to 0"
                )
        self.recipe = recipe
        self.steps = tuple(step for step in _steps(recipe, bank) if step.probability > 0)

    def __call__(self, waveforms: Tensor, keys: Integers, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Waveforms (B, T) float32, keys (B,) of their draws and labels (B,) -> the same, augmented. The input stays as it
        was; labels never change."""
        if not self.steps or not len(waveforms):
            return waveforms, labels
        out, bonafide = torch.empty_like(waveforms), labels.cpu().numpy() == BONAFIDE
        threads = torch.get_num_threads()
        if out.device.type != "cpu":
            self._change(waveforms, out, keys, bonafide)
        elif threads == 1 or len(out) == 1:
            self._change(waveforms, out, keys, bonafide, ROWS_AT_ONCE)
        else:
            # Each thread takes some rows through the whole chain. Shared by torch's own threads, every operation would
            # end with one waiting for another, which on a busy machine is milliseconds a thousand times.
            def work(rows: Integers) -> None:
                torch.set_num_threads(1)  # of this thread
                some = slice(int(rows[0]), int(rows[-1]) + 1)
                self._change(waveforms[some], out[some], keys[some], bonafide[some], ROWS_AT_ONCE)

            parts = [part for part in np.array_split(np.arange(len(out)), threads) if len(part)]
            try:
                for _ in in_order(work, parts, threads=threads):
                    pass
            finally:
                torch.set_num_threads(threads)  # new threads would take after the last that was told a number
        return out, labels

    @torch.no_grad()
    def _change(
        self, waveforms: Tensor, out: Tensor, keys: Integers, bonafide: Booleans, at_once: int | None = None
    ) -> None:
        """Take rows (n, T) through the chain into ``out``, ``at_once`` at the most (None: all of them)."""
        out.copy_(waveforms)
        dirty = Draws(keys, "clean").fraction("happens") >= self.recipe.clean
        for step in self.steps:
            happens = dirty & (Draws(keys, step.name).fraction("happens") < step.probability)
            rows = np.flatnonzero(happens & bonafide if step.bonafide_only else happens)
            for first in range(0, len(rows), at_once or max(len(rows), 1)):
                some = rows[first:][:at_once]
                draws = Draws(keys[some], step.name, out.device)
                index = torch.from_numpy(some).to(out.device)
                out.index_copy_(0, index, step.effect(out.index_select(0, index), draws))


def _steps(recipe: AugmentRecipe, bank: NoiseBank | None) -> list[Step]:
    """Everything that may happen, in order."""
    r = recipe
    steps = [
        Step("speed", r.speed.probability, lambda x, draws: sped(x, draws, r.speed)),
        Step("room", r.room.probability, lambda x, draws: reverberated(x, draws, r.room, bank)),
        Step("noise", r.noise.probability, lambda x, draws: noisy(x, draws, r.noise, bank)),
        Step("equaliser", r.equaliser.probability, lambda x, draws: equalised(x, draws, r.equaliser)),
        Step("gain", r.gain.probability, lambda x, draws: amplified(x, draws, r.gain)),
        Step("clip", r.clip.probability, lambda x, draws: clipped(x, draws, r.clip)),
        Step("band", r.band.probability, lambda x, draws: band_limited(x, draws, r.band)),
        Step("resample", r.resample.probability, lambda x, draws: resampled(x, draws, r.resample)),
        Step("mu_law", r.mu_law.probability, lambda x, draws: companded(x, draws, r.mu_law)),
        Step("quantise", r.quantise.probability, lambda x, draws: quantised(x, draws, r.quantise)),
        Step("gaps", r.gaps.probability, lambda x, draws: gapped(x, draws, r.gaps)),
        Step("rawboost", r.rawboost.probability, lambda x, draws: boosted(x, draws, r.rawboost)),
        Step("mask", r.mask.probability, lambda x, draws: time_masked(x, draws, r.mask)),
        Step("polarity", r.polarity.probability, lambda x, draws: inverted(x, draws, r.polarity)),
    ]
    if bank is not None:
        mix = Step("mix", r.mix.probability, lambda x, draws: mixed(x, draws, r.mix, bank), not r.mix.spoofs)
        music = Step("music", r.music.probability, lambda x, draws: with_music(x, draws, r.music, bank))
        steps[0:0] = [mix]
        steps.insert(4, music)
    return steps
