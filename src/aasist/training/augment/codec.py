"""Codec round trips in the workers: a clip encoded and decoded as MP3, AAC, Opus or a telephone's codec would."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from aasist.audio import encode
from aasist.audio.encode import ChannelCodec
from aasist.keys import RecipeError, key
from aasist.session import Float32
from aasist.training.cache import DiskTier, WaveformCache
from aasist.training.draws import Draws
from aasist.training.waveforms import Int16

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


def codec_round_trip(samples: Float32, recipe: Codec, key: int) -> Float32:
    """A clip (T,) -> as one of the recipe's codecs makes it (T,), or the clip itself, by the draws of ``key``.

    What comes out is of 16 bits, as everything decoded is.
    """
    codec = drawn_codec(recipe, key)
    return samples if codec is None else _from_16_bits(_coded(samples, codec))


def drawn_codec(recipe: Codec, key: int) -> ChannelCodec | None:
    """What the draws of ``key`` do to a clip; None for nothing."""
    draws = Draws(np.array([key], np.int64), "codec")
    if draws.fraction("happens")[0] >= recipe.probability:
        return None
    codecs = recipe.codecs(recipe.formats[int(draws.integer("format", 0, len(recipe.formats) - 1)[0])])
    return codecs[int(draws.integer("rate", 0, len(codecs) - 1)[0])]


class CodecRoundTrip:
    """`codec_round_trip` for a worker, with what it has coded kept: in memory within ``cache_bytes``, and in ``tier``.

    Clips are known by their samples, so nothing depends on what is held. It pays where clips come back: recordings
    shorter than a crop do in every epoch, random crops of long ones never.
    """

    def __init__(self, recipe: Codec, *, cache_bytes: int = 64 << 20, tier: DiskTier | None = None) -> None:
        """Raises `RecipeError` where the recipe asks for what this installation cannot code."""
        recipe.require_usable()
        self.recipe, self._cache_bytes, self._tier = recipe, cache_bytes, tier
        self._cache: WaveformCache | None = None

    def __call__(self, samples: Float32, key: int) -> Float32:
        """A clip (T,) and the key of its draws -> (T,). Raises as `aasist.audio.encode.coded` does."""
        codec = drawn_codec(self.recipe, key)
        if codec is None:
            return samples
        if self._cache is None:  # made in the worker: a fork would share its memory
            self._cache = WaveformCache(self._cache_bytes)
        digest = hashlib.sha256(repr(codec).encode() + codec.library_version.encode())
        digest.update(np.ascontiguousarray(samples, np.float32).data)
        name = digest.hexdigest()[:40]
        row = int(name[:15], 16)
        coded = self._cache.get(row)
        if coded is None:
            coded = self._from_tier(name, samples, codec)
            self._cache.put(row, coded)
        return _from_16_bits(coded)

    def _from_tier(self, name: str, samples: Float32, codec: ChannelCodec) -> Int16:
        if self._tier is not None and (held := self._tier.get(name)) is not None:
            return held
        coded = _coded(samples, codec)
        if self._tier is not None:
            self._tier.put(name, coded)
        return coded


def _coded(samples: Float32, codec: ChannelCodec) -> Int16:
    return np.clip(np.rint(encode.coded(samples, codec) * 2**15), -(2**15), 2**15 - 1).astype(np.int16)


def _from_16_bits(coded: Int16) -> Float32:
    return coded.astype(np.float32) * np.float32(1 / 2**15)
