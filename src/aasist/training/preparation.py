"""Preparation of a batch for a step: onto the device, augmented, with its band masks and its pairs."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from aasist.errors import AudioError
from aasist.session import Float32
from aasist.training.augment.bank import NoiseBank
from aasist.training.augment.chain import Augmenter
from aasist.training.augment.codec import drawn_codec
from aasist.training.augment.recipe import band_masks
from aasist.training.batches import Batch
from aasist.training.draws import Purpose, generator, row_keys
from aasist.training.reader import Coding
from aasist.training.recipe import Recipe
from aasist.training.step import Ready
from aasist.training.waveforms import Crop, as_floats, decoded
from aasist.trial import Trials

SPEAKERS = 200
"""Bona fide recordings of training that are mixed below others, where the bank has no speech."""


class Preparation:
    """Batch -> `Ready`. Each row's draws are a function of the seed, the epoch and the row's own draw."""

    def __init__(self, recipe: Recipe, train: Trials, device: torch.device, told: Tensor | None = None) -> None:
        """``train``: the trials of training; ``told`` (N, files): what score files say of all trials of the run.

        Raises `AasistError` for noise that cannot be read, and for augmentation that
        this installation or the noise given does not allow."""
        self._recipe, self._device, self._told = recipe, device, told
        self._bands = recipe.model.resolved().bands
        self._keeps_clean = recipe.teachers.clean
        self._has_pairs = recipe.sampling.mode == "pairs"
        augment = recipe.augment
        bank = NoiseBank.read(recipe.data.noise, seed=recipe.seed) if recipe.data.noise else None
        if augment.mix.probability and not (bank is not None and bank.count("speech")):
            bank = (bank or NoiseBank({})).with_speech(_speech(train, recipe.crop, recipe.seed))
        self.noise_sha256 = None if bank is None else bank.sha256
        self._augmenter = Augmenter(augment, bank)
        self.coding: Coding | None = None
        """What workers put a recording through, by the key of its draws."""
        if augment.codec.probability:
            augment.codec.require_usable()
            self.coding = functools.partial(drawn_codec, augment.codec)

    def __call__(self, batch: Batch) -> Ready:
        pairs = torch.from_numpy(batch.pairs()) if self._has_pairs else torch.empty((0, 2), dtype=torch.int64)
        waveforms = batch.waveforms.to(self._device, non_blocking=True)
        labels = batch.labels.to(self._device, non_blocking=True)
        seed, epoch = self._recipe.seed, batch.epoch
        keys = row_keys(seed, Purpose.AUGMENT, epoch, batch.draws)
        clean = waveforms if self._keeps_clean else None
        waveforms, labels = self._augmenter(waveforms, keys, labels)
        mask = band_masks(self._recipe.augment, row_keys(seed, Purpose.BAND_MASK, epoch, batch.draws), self._bands)
        mask = None if mask is None else mask.to(self._device)
        # By position: the members of a pair may share their draws, and are each attacked for themselves.
        attack = row_keys(seed, Purpose.ATTACK, epoch, batch.positions) if self._recipe.adversarial.wanted else None
        told = None if self._told is None else self._told[torch.from_numpy(batch.rows)].to(self._device)
        return Ready(waveforms, labels, mask, pairs.to(self._device), epoch, batch.number, clean, attack, told)


def _speech(train: Trials, crop: Crop, seed: int) -> Iterator[Float32]:
    """Some of the bona fide recordings of training, drawn by the seed; what cannot be read is passed over."""
    rows = np.flatnonzero(np.asarray(train.bonafide))
    for row in generator(seed, Purpose.BANK, 1).permutation(rows)[:SPEAKERS].tolist():
        try:
            yield as_floats(decoded(str(train.columns["path"][row]), crop))
        except AudioError:
            continue
