"""WORLD: pitch, spectral envelope and aperiodicity, and speech from them (Morise et al., 2016)."""

from __future__ import annotations

import functools
import importlib
import sys
import types
from importlib import metadata
from typing import Any

import numpy as np

from aasist.corpus.engine import Copier, Sound, has_package
from aasist.corpus.engines.psola import TOP_HZ
from aasist.corpus.spectra import Float64, topped
from aasist.session import SAMPLE_RATE, Float32


class World(Copier):
    """The recording's own pitch and envelope."""

    name = generator = "world"
    technology = "WORLD vocoder"
    licence = "BSD-3-Clause"
    install = "pip install pyworld"
    packages = ("pyworld",)

    def missing(self) -> str:
        """Its Python binding."""
        return "" if has_package("pyworld") else self.install

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At 16 kHz."""
        return synthesised(*analysed(samples))


class WorldConversion(World):
    """Another voice: pitch up or down by up to a fourth, formants by up to a tenth."""

    name = "world-convert"
    kind = "vc"
    technology = "WORLD vocoder, pitch and formants moved"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At 16 kHz."""
        pitch, envelope, aperiodicity = analysed(samples)
        towards = generator.choice((-1.0, 1.0))
        pitch_ratio = 2.0 ** (towards * generator.uniform(1.0, 5.0) / 12)
        formant_ratio = 1.0 + towards * generator.uniform(0.02, 0.1)
        bins = np.arange(envelope.shape[1])
        # The top would be stretched out of nothing: what lies above it is its last value.
        warped = np.exp(_at(np.log(envelope), bins / formant_ratio))
        voice, rate = synthesised(
            pitch * pitch_ratio, warped, np.clip(_at(aperiodicity, bins / formant_ratio), 0.0, 1.0)
        )
        return (topped(voice, samples, formant_ratio * TOP_HZ, rate) if formant_ratio < 1 else voice), rate


def analysed(samples: Float32) -> tuple[Float64, Float64, Float64]:
    """Samples (N,) at 16 kHz -> pitch (F,) in Hz, envelope (F, 513) and aperiodicity (F, 513), every 5 ms."""
    pyworld = _pyworld()
    double = samples.astype(np.float64)
    rough, times = pyworld.dio(double, SAMPLE_RATE)
    pitch = pyworld.stonemask(double, rough, times, SAMPLE_RATE)
    return (
        pitch,
        pyworld.cheaptrick(double, pitch, times, SAMPLE_RATE),
        pyworld.d4c(double, pitch, times, SAMPLE_RATE),
    )


def synthesised(pitch: Float64, envelope: Float64, aperiodicity: Float64) -> Sound:
    """The parts that `analysed` gives, put together."""
    pyworld = _pyworld()
    parts = (np.ascontiguousarray(part) for part in (pitch, envelope, aperiodicity))
    return pyworld.synthesize(*parts, SAMPLE_RATE).astype(np.float32), SAMPLE_RATE


@functools.cache
def _pyworld() -> Any:
    """The binding. It asks ``pkg_resources`` for its own version, which warns in setuptools of today and is gone from newer."""
    stands_in = "pkg_resources" not in sys.modules
    if stands_in:
        stand_in = types.ModuleType("pkg_resources")
        stand_in.get_distribution = lambda name: types.SimpleNamespace(version=metadata.version(name))  # type: ignore[attr-defined]
        sys.modules["pkg_resources"] = stand_in
    try:
        return importlib.import_module("pyworld")
    finally:
        if stands_in:
            del sys.modules["pkg_resources"]


def _at(frames: Float64, places: Float64) -> Float64:
    """Frames (F, B) at fractional bins (B,), by lines between neighbours."""
    low = np.clip(np.floor(places).astype(int), 0, frames.shape[1] - 2)
    share = np.clip(places - low, 0.0, 1.0)
    return np.asarray(frames[:, low] * (1 - share) + frames[:, low + 1] * share)
