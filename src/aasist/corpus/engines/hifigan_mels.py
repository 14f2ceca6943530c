"""HiFi-GAN on mel spectra as acoustic models give them: smoothed, in tokens, noisy."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from aasist.corpus import acoustic
from aasist.corpus.engine import Sound
from aasist.corpus.engines.hifigan import HifiGan
from aasist.corpus.spectra import Float64, resampled
from aasist.session import SAMPLE_RATE, Float32


class TreatedMel(HifiGan):
    """The generator, on a spectrum that is not quite the recording's."""

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At the rate of the generator."""
        fast = resampled(samples, SAMPLE_RATE, self.mel.sampling_rate)
        treated = self.treated(self.heard(fast).astype(np.float64), generator)
        return self.spoken(treated.astype(np.float32), len(fast))

    @abstractmethod
    def treated(self, mel: Float64, generator: np.random.Generator) -> Float64:
        """Logarithms (bands, frames) -> those that it is given."""


class HifiGanSmooth(TreatedMel):
    """As Tacotron 2 or FastSpeech 2 would feed it."""

    name = "hifigan-smooth"
    technology = "GAN vocoder (HiFi-GAN), mel smoothed or of low rank"

    def treated(self, mel: Float64, generator: np.random.Generator) -> Float64:
        """Blurred, or of few components."""
        return acoustic.smoothed(mel, generator)


class HifiGanTokens(TreatedMel):
    """As a codec language model would: what there is between two codes is lost."""

    name = "hifigan-tokens"
    kind = "codec"
    technology = "GAN vocoder (HiFi-GAN), mel in tokens"

    def treated(self, mel: Float64, generator: np.random.Generator) -> Float64:
        """From codebooks, or in steps."""
        return acoustic.tokens(mel, generator)


class HifiGanNoisy(TreatedMel):
    """As diffusion or flow matching would, a few steps from its end."""

    name = "hifigan-noisy"
    technology = "GAN vocoder (HiFi-GAN), noise on the mel"

    def treated(self, mel: Float64, generator: np.random.Generator) -> Float64:
        """With noise."""
        return acoustic.noisy(mel, generator)
