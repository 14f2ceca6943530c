"""Voice conversion through HiFi-GAN: pitch, formants and pace moved in the mel spectrum, or the pitch before it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from aasist.corpus import acoustic
from aasist.corpus.engine import Sound
from aasist.corpus.engines.hifigan import HifiGan, Mel
from aasist.corpus.engines.psola import Psola
from aasist.corpus.engines.world import WorldConversion
from aasist.corpus.spectra import Float64, resampled
from aasist.session import SAMPLE_RATE, Float32

TOP_HZ = 7_700.0
"""Above it many recordings end."""

RATE_STEP_HZ = 50


class HifiGanConversion(HifiGan):
    """Played faster or slower by up to a fourth, brought back to its length in the spectrum, formants where they shall be."""

    name = "hifigan-convert"
    kind = "vc"
    technology = "GAN vocoder (HiFi-GAN), pitch, formants and pace moved in the mel"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At the rate of the generator."""
        count = len(samples) * self.mel.sampling_rate // SAMPLE_RATE
        return self.spoken(another_voice(samples, self.mel, self.heard, generator).astype(np.float32), count)


class HifiGanMoved(HifiGan):
    """What PSOLA or WORLD made another voice, voiced anew, its formants moved a little further."""

    name = "hifigan-moved"
    kind = "vc"
    technology = "PSOLA or WORLD conversion, then GAN vocoder (HiFi-GAN)"
    install = f"pip install praat-parselmouth pyworld; {HifiGan.install}"
    packages = (*HifiGan.packages, *Psola.packages, *WorldConversion.packages)

    def __init__(self) -> None:
        self._movers = (Psola(), WorldConversion())

    def missing(self) -> str:
        """The generator and both of what goes before it."""
        return self.install if super().missing() or any(mover.missing() for mover in self._movers) else ""

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At the rate of the generator."""
        mover = self._movers[int(generator.integers(len(self._movers)))]
        voice, rate = mover.copy(samples, generator)
        fast = resampled(voice, rate, self.mel.sampling_rate)
        ratio = generator.uniform(0.94, 1.06)
        mel = acoustic.moved(self.heard(fast).astype(np.float64), self.mel.centres_hz, ratio, TOP_HZ)
        return self.spoken(mel.astype(np.float32), len(fast))


def another_voice(
    samples: Float32, mel: Mel, heard: Callable[[Float32], NDArray[np.floating]], generator: np.random.Generator
) -> Float64:
    """Samples (T,) at 16 kHz -> the mel spectrum (bands, frames) of another voice: pitch x 0.8 to 1.25, formants x 0.9 to
    1.1, in half of the cases with another pace within 40 ms. ``heard`` gives that of samples at the vocoder's rate."""
    towards = generator.choice((-1.0, 1.0))
    wanted = 2.0 ** (towards * generator.uniform(1.0, 3.8) / 12)
    formant_ratio = 1.0 + towards * generator.uniform(0.02, 0.1)
    # As a tape would be played: at another rate, and taken for the vocoder's own.
    slow_hz = RATE_STEP_HZ * round(mel.sampling_rate / wanted / RATE_STEP_HZ)
    tape = resampled(samples, SAMPLE_RATE, slow_hz)
    pitch_ratio = mel.sampling_rate / slow_hz
    fast = len(samples) * mel.sampling_rate // SAMPLE_RATE
    frames = -(-fast // mel.hop_size) + 1
    spectrum = acoustic.stretched(heard(tape).astype(np.float64), frames)
    spectrum = acoustic.moved(spectrum, mel.centres_hz, formant_ratio / pitch_ratio, TOP_HZ * min(1.0, pitch_ratio))
    return (
        acoustic.paced(spectrum, mel.hop_size / mel.sampling_rate, generator) if generator.random() < 0.5 else spectrum
    )
