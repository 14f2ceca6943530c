"""Codec round trips in the workers: drawn by key, cached, and refused where an encoder is missing."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from aasist.audio import encode
from aasist.keys import RecipeError
from aasist.training.augment import codec as codec_module
from aasist.training.augment.codec import Codec, CodecRoundTrip, codec_round_trip, drawn_codec
from aasist.training.cache import DiskTier

RECIPE = Codec(probability=1.0, formats=("mu-law", "gsm"))
CLIP = (0.3 * np.sin(np.arange(8_000) / 9) * np.linspace(0, 1, 8_000)).astype(np.float32)


def test_codecs_are_drawn_as_often_as_asked_and_evenly() -> None:
    recipe = Codec(probability=0.4, formats=("mp3", "opus", "mu-law"), mp3_kilobits=(32, 64))
    drawn = Counter(None if (c := drawn_codec(recipe, key)) is None else c.name for key in range(3_000))
    assert abs(drawn[None] - 1_800) < 110
    assert all(abs(drawn[name] - 400) < 80 for name in ("MP3", "Opus", "mu-law"))
    rates = Counter(c.bits_per_second for key in range(3_000) if (c := drawn_codec(recipe, key)) and c.name == "MP3")
    assert set(rates) == {32_000, 64_000} and min(rates.values()) > 140


def test_a_round_trip_is_a_function_of_clip_and_key() -> None:
    once = codec_round_trip(CLIP, RECIPE, 5)
    assert np.array_equal(once, codec_round_trip(CLIP, RECIPE, 5))
    assert once.shape == CLIP.shape and once.dtype == np.float32
    assert 0 < np.abs(once - CLIP).max() < 0.2
    assert np.corrcoef(once, CLIP)[0, 1] > 0.95
    assert codec_round_trip(CLIP, dataclasses.replace(RECIPE, probability=0.0), 5) is CLIP


@pytest.mark.parametrize("name", ["mp3", "aac", "opus", "amr", "gsm", "mu-law"])
def test_every_format_works_or_says_what_is_missing(name: str) -> None:
    recipe = Codec(probability=1.0, formats=(name,))
    if (reason := encode.missing(recipe.codecs(name)[0])) is not None:
        with pytest.raises(RecipeError, match="leave it out"):
            CodecRoundTrip(recipe)
        pytest.skip(reason)
    out = CodecRoundTrip(recipe)(CLIP, 1)
    assert out.shape == CLIP.shape and np.isfinite(out).all() and out.any()


def test_what_is_cached_is_what_would_be_coded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    coded: list[str] = []
    real = encode.coded

    def counted(samples: np.ndarray, codec: encode.ChannelCodec) -> np.ndarray:
        coded.append(codec.name)
        return real(samples, codec)

    monkeypatch.setattr(codec_module.encode, "coded", counted)
    trip = CodecRoundTrip(RECIPE, tier=DiskTier(tmp_path, 10**7))
    plain = [codec_round_trip(CLIP, RECIPE, key) for key in range(6)]
    coded.clear()
    assert all(np.array_equal(trip(CLIP, key), wanted) for key, wanted in enumerate(plain))
    assert sorted(coded) == ["GSM 06.10", "mu-law"]  # six clips, two codings
    coded.clear()
    other = CodecRoundTrip(RECIPE, cache_bytes=0, tier=DiskTier(tmp_path, 10**7))
    assert all(np.array_equal(other(CLIP, key), wanted) for key, wanted in enumerate(plain))
    assert not coded  # all from the disk
    trip(CLIP * np.float32(0.5), 1)
    assert len(coded) == 1  # another clip


def test_the_cache_stays_within_its_bytes() -> None:
    trip = CodecRoundTrip(RECIPE, cache_bytes=40_000)
    for number in range(6):
        trip(np.roll(CLIP, number), 3)
    assert trip._cache is not None and 0 < trip._cache.held_bytes <= 40_000
    assert trip._cache.statistics.evictions >= 4


def test_a_format_that_cannot_be_coded_here_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codec_module.encode, "missing", lambda codec: "AMR-NB needs FFmpeg's encoder 'x'")
    with pytest.raises(RecipeError, match=r"augment\.codec\.formats has mp3: AMR-NB needs .* leave it out"):
        CodecRoundTrip(Codec(probability=0.5, formats=("mp3",)))


def test_formats_without_rates_are_refused() -> None:
    with pytest.raises(RecipeError, match="mp3, whose list of bit rates is empty"):
        CodecRoundTrip(Codec(probability=0.5, formats=("mp3",), mp3_kilobits=()))
    with pytest.raises(RecipeError, match=r"augment\.codec\.formats is empty"):
        CodecRoundTrip(Codec(probability=0.5, formats=()))


def test_a_worker_may_be_handed_it_before_or_after_a_fork() -> None:
    import pickle

    trip = pickle.loads(pickle.dumps(CodecRoundTrip(RECIPE)))
    assert np.array_equal(trip(CLIP, 2), codec_round_trip(CLIP, RECIPE, 2))
