"""Codec round trips in the workers: a recording encoded and decoded as MP3, AAC, Opus or a telephone's codec would."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aasist.audio import encode
from aasist.audio.encode import ChannelCodec
from aasist.keys import RecipeError, key
from aasist.training.draws import Draws
from aasist.training.waveforms import Int16, as_floats, as_int16

FORMATS = ("mp3", "aac", "opus", "amr", "gsm", "mu-law")


@dataclass(frozen=True)
class Codec:
    """Codec round trips, through FFmpeg and libsndfile, before everything else that happens to a row."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    formats: tuple[str, ...] = key(("mp3", "aac", "opus"), "Equally likely", choices=FORMATS)
    mp3_kilobits: tuple[int, ...] = key((24, 32, 48, 64, 96), "Equally likely", unit="kbit/s", low=8, high=320)
    aac_kilobits: tuple[int, ...] = key((24, 32, 48, 64, 96), "Equally likely", unit="kbit/s", low=16, high=256)
    opus_kilobits: tuple[int, ...] = key((12, 16, 24, 32, 48, 64), "Equally likely", unit="kbit/s", low=6, high=256)
    amr_bits: tuple[int, ...] = key(
        (4_750, 7_950, 12_200), "Equally likely, of AMR-NB's eight rates", unit="bit/s", low=4_750, high=12_200
    )

    def codecs(self, name: str) -> list[ChannelCodec]:
        """What a format may be."""
        return {
            "mp3": [encode.mp3(1_000 * kilobits) for kilobits in self.mp3_kilobits],
            "aac": [encode.aac(1_000 * kilobits) for kilobits in self.aac_kilobits],
            "opus": [encode.opus(1_000 * kilobits) for kilobits in self.opus_kilobits],
            "amr": [encode.amr_narrow_band(bits) for bits in self.amr_bits],
            "gsm": [encode.GSM_FULL_RATE],
            "mu-law": [encode.MU_LAW],
        }[name]

    def require_usable(self) -> None:
        """`RecipeError` for a format without rates, or one that this installation has no encoder for."""
        if not self.formats:
            raise RecipeError("augment.codec.formats is empty: name one, or set augment.codec.probability to 0")
        for name in self.formats:
            codecs = self.codecs(name)
            if not codecs:
                raise RecipeError(f"augment.codec.formats has {name}, whose list of bit rates is empty")
            if (reason := encode.missing(codecs[0])) is not None:
                raise RecipeError(f"augment.codec.formats has {name}: {reason}; leave it out")


def drawn_codec(recipe: Codec, key: int) -> ChannelCodec | None:
    """What the draws of ``key`` do to a clip; None for nothing."""
    draws = Draws(np.array([key], np.int64), "codec")
    if draws.fraction("happens")[0] >= recipe.probability:
        return None
    codecs = recipe.codecs(recipe.formats[int(draws.integer("format", 0, len(recipe.formats) - 1)[0])])
    return codecs[int(draws.integer("rate", 0, len(codecs) - 1)[0])]


def round_trip(samples: Int16, codec: ChannelCodec) -> Int16:
    """Samples (N,) as the codec makes them (N,), of 16 bits as everything decoded is. Raises as
    `aasist.audio.encode.coded` does."""
    return as_int16(encode.coded(as_floats(samples), codec))
