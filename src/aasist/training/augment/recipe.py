"""What augmentation a recipe has: a section for each thing that may happen, all of them off by default."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from torch import Tensor

from aasist.keys import RecipeError, key, section
from aasist.training.augment.bands import Band, Equaliser, Resample
from aasist.training.augment.codec import Codec
from aasist.training.augment.coding import Gaps, MuLaw, Quantise
from aasist.training.augment.levels import Clip, Gain, Polarity
from aasist.training.augment.masks import BandMask, TimeMask, masks_of
from aasist.training.augment.mix import Mix
from aasist.training.augment.noise import Music, Noise
from aasist.training.augment.rawboost import RawBoost
from aasist.training.augment.room import Room
from aasist.training.augment.speed import Speed
from aasist.training.draws import Integers


@dataclass(frozen=True)
class AugmentRecipe:
    """What may happen to a row, in the order in which it does, from a mouth to a file."""

    clean: float = key(0.0, "Share of the rows that nothing on the batch happens to", low=0.0, high=1.0)
    codec: Codec = section(Codec)
    mix: Mix = section(Mix)
    speed: Speed = section(Speed)
    room: Room = section(Room)
    noise: Noise = section(Noise)
    music: Music = section(Music)
    equaliser: Equaliser = section(Equaliser)
    gain: Gain = section(Gain)
    clip: Clip = section(Clip)
    band: Band = section(Band)
    resample: Resample = section(Resample)
    mu_law: MuLaw = section(MuLaw)
    quantise: Quantise = section(Quantise)
    gaps: Gaps = section(Gaps)
    rawboost: RawBoost = section(RawBoost)
    mask: TimeMask = section(TimeMask)
    polarity: Polarity = section(Polarity)
    bands: BandMask = section(BandMask)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            part = getattr(self, field.name)
            if dataclasses.is_dataclass(part):
                _require_ranges(part, f"augment.{field.name}")
        if self.bands.fewest > self.bands.most:
            raise RecipeError(
                f"augment.bands.fewest must be at most augment.bands.most, {self.bands.most}, got {self.bands.fewest}"
            )
        if not self.resample.rates_hz:
            raise RecipeError("augment.resample.rates_hz must name a rate at the least, got none")


def band_masks(recipe: AugmentRecipe, keys: Integers, bands: int) -> Tensor | None:
    """Keys (B,) -> masks (B, bands) of 0 and 1 for the model's sinc bands, or None where nothing is masked."""
    return masks_of(recipe.bands, keys, bands)


def _require_ranges(part: object, name: str) -> None:
    """`RecipeError` where a range goes from high to low."""
    assert dataclasses.is_dataclass(part)
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        is_range = isinstance(value, tuple) and "..." not in str(field.type) and len(value) == 2
        if is_range and value[0] > value[1]:
            raise RecipeError(f"{name}.{field.name} must go from low to high, got {value[0]:g} to {value[1]:g}")
