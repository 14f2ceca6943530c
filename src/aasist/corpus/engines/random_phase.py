"""Random phases: the magnitudes of a spectrogram, and phases that know nothing of each other."""

from __future__ import annotations

import numpy as np

from aasist.corpus.engine import Copier, Sound
from aasist.corpus.spectra import signal_of, spectra_of
from aasist.session import SAMPLE_RATE, Float32


class RandomPhase(Copier):
    """A vocoder that keeps short-time magnitudes alone; frames of 16 to 64 ms make it hoarse or hollow."""

    name = "random-phase"
    technology = "short-time magnitudes, random phases"
    licence = "MIT"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At 16 kHz."""
        size = int(generator.choice((256, 512, 1024)))
        spectra = spectra_of(samples, size, size // 4)
        # Part of the true phase is kept in some copies: from hollow to barely altered.
        spread = generator.uniform(0.5, 1.0) * np.pi
        turned = spectra * np.exp(1j * generator.uniform(-spread, spread, spectra.shape))
        return signal_of(turned, size, size // 4, len(samples)).astype(np.float32), SAMPLE_RATE
