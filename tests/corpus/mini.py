"""Engines of moments, as a user would write them; also what ``--engine`` is given in tests."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

import numpy as np

from aasist.corpus.engine import Copier, Sound, Speaker, Voice
from aasist.session import SAMPLE_RATE, Float32


class Rough(Copier):
    """Sixteen levels and some noise."""

    name, technology, licence = "rough", "quantisation", "CC0-1.0"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        return samples + 0.02 * generator.standard_normal(len(samples)).astype(np.float32), SAMPLE_RATE


class Bent(Copier):
    """Rectified."""

    name, technology, licence = "bent", "rectification", "CC0-1.0"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        return np.abs(samples) - np.abs(samples).mean(), SAMPLE_RATE


class Fast(Copier):
    """At another rate."""

    name, kind, technology, rate_hz = "fast", "vc", "repetition", 32_000

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        return np.repeat(samples, 2), self.rate_hz


class Narrow(Copier):
    """Every second sample."""

    name, kind, technology, rate_hz = "narrow", "codec", "decimation", 8_000

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        return samples[::2], self.rate_hz


class Beeper(Speaker):
    """A tone for each letter."""

    name, technology, licence = "beeper", "tones", "CC0-1.0"

    def voices(self) -> Sequence[Voice]:
        return [Voice("low", "en", "sine"), Voice("high", "en", "square"), Voice("tief", "de", "sine")]

    def speak(self, text: str, voice: Voice, generator: np.random.Generator) -> Sound:
        pitch = {"low": 150, "high": 400, "tief": 100}[voice.name] * generator.uniform(0.9, 1.1)
        tones = [np.sin(np.arange(1_100) * 2 * np.pi * (pitch + 10 * ord(letter) % 97) / 22_050) for letter in text]
        return (0.3 * np.concatenate(tones)).astype(np.float32), 22_050


class Broken(Copier):
    """Refuses everything."""

    name = "broken"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        raise RuntimeError("no such luck")


class Moody(Copier):
    """Refuses some recordings."""

    name = "moody"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        if generator.random() < 0.5:
            raise ValueError("not this one")
        return samples, SAMPLE_RATE


class Deaf(Copier):
    """Makes what is no sound."""

    name = "deaf"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        return np.full(len(samples), np.nan, np.float32), SAMPLE_RATE


class Crashing(Copier):
    """Takes its process with it."""

    name = "crashing"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        os.kill(os.getpid(), signal.SIGSEGV)
        raise AssertionError


class Hanging(Copier):
    """Never ends."""

    name = "hanging"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        time.sleep(1_000)
        raise AssertionError


class Slow(Copier):
    """Takes a moment, so that something can happen meanwhile."""

    name, kind = "slow", "vc"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        time.sleep(0.2)
        return samples[::-1].copy(), SAMPLE_RATE


class Absent(Copier):
    """Lacks something."""

    name = "absent"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        raise AssertionError("asked of an engine that lacks something")

    def missing(self) -> str:
        return "pip install absent"
