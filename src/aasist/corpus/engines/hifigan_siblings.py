"""Siblings of HiFi-GAN: its weights drawn a little off, or rounded to few bits; each is a vocoder with traces of its own."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from aasist.corpus.engine import Sound
from aasist.corpus.engines.hifigan import HifiGan, session_of
from aasist.corpus.spectra import resampled
from aasist.corpus.weights import weights
from aasist.session import SAMPLE_RATE, Float32


class Sibling(HifiGan):
    """Another one is drawn for each recording."""

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At the rate of the generator."""
        model = bytearray(self.file().read_bytes())
        amount = self.drawn(generator)
        for layer in weights(model):
            if layer.ndim == 3:
                layer[:] = self.changed(layer, amount, generator)
        fast = resampled(samples, SAMPLE_RATE, self.mel.sampling_rate)
        return self.spoken(self.heard(fast), len(fast), session_of(bytes(model)))

    @abstractmethod
    def drawn(self, random: np.random.Generator) -> float:
        """How far this one is from the generator."""

    @abstractmethod
    def changed(self, layer: Float32, amount: float, random: np.random.Generator) -> Float32:
        """The weights of a convolution, three axes -> those of its sibling."""


class HifiGanDetuned(Sibling):
    """Noise of 1 to 5 % of each convolution's spread, and each layer up to so much louder or softer."""

    name = "hifigan-detuned"
    technology = "GAN vocoder (HiFi-GAN), weights off by 1 to 5 %"

    def drawn(self, random: np.random.Generator) -> float:
        """A share of the spread."""
        return float(random.uniform(0.01, 0.05))

    def changed(self, layer: Float32, amount: float, random: np.random.Generator) -> Float32:
        """Off by so much."""
        noise = random.standard_normal(layer.shape).astype(np.float32) * layer.std()
        return np.asarray(layer * (1 + random.uniform(-amount, amount)) + amount * noise, np.float32)


class HifiGanCoarse(Sibling):
    """Weights in 4.5 to 6 bits: 23 to 63 steps from the least to the most of each channel, as networks are shrunk."""

    name = "hifigan-coarse"
    technology = "GAN vocoder (HiFi-GAN), weights in 4.5 to 6 bits"

    def drawn(self, random: np.random.Generator) -> float:
        """Steps to either side of zero."""
        return float(random.integers(11, 32))

    def changed(self, layer: Float32, amount: float, random: np.random.Generator) -> Float32:
        """Rounded."""
        step = np.abs(layer).max(axis=(1, 2), keepdims=True) / np.float32(amount)
        return np.asarray(np.round(layer / np.maximum(step, 1e-12)) * step, np.float32)
