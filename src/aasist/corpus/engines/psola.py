"""PSOLA: another voice by Praat's "Change gender", pitch periods cut out, moved and added (Moulines and Charpentier, 1990)."""

from __future__ import annotations

import numpy as np

from aasist.corpus.engine import Copier, EngineError, Sound, has_package
from aasist.corpus.spectra import topped
from aasist.session import SAMPLE_RATE, Float32

TOP_HZ = 7_600.0
"""Above it many recordings end; where formants move down, this moves with them."""


class Psola(Copier):
    """Pitch x 0.8 to 1.25, formants x 0.9 to 1.12, intonation flatter or livelier."""

    name = "psola"
    kind = "vc"
    technology = "PSOLA, pitch and formants moved"
    licence = "GPL-3.0"
    install = "pip install praat-parselmouth"
    packages = ("praat-parselmouth",)

    def missing(self) -> str:
        """Praat's Python library."""
        return "" if has_package("parselmouth") else self.install

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At 16 kHz."""
        import parselmouth
        from parselmouth.praat import call

        # Praat draws numbers of its own: without this, two runs give two sounds.
        parselmouth.praat.run(f"random_initializeWithSeedUnsafelyButPredictably ({int(generator.integers(1 << 30))})")
        sound = parselmouth.Sound(samples.astype(np.float64), SAMPLE_RATE)
        pitch_ratio, formant_ratio = generator.uniform(0.8, 1.25), generator.uniform(0.9, 1.12)
        liveliness = generator.uniform(0.7, 1.2)
        try:
            median_hz = call(call(sound, "To Pitch", 0.0, 75.0, 600.0), "Get quantile", 0.0, 0.0, 0.5, "Hertz")
            wanted_hz = 0.0 if np.isnan(median_hz) else median_hz * pitch_ratio  # 0: Praat keeps the pitch
            changed = call(sound, "Change gender", 75.0, 600.0, formant_ratio, wanted_hz, liveliness, 1.0)
        except parselmouth.PraatError as error:
            raise EngineError(f"Praat: {' '.join(str(error).split())}") from error
        voice = changed.values[0].astype(np.float32)
        if formant_ratio < 1:
            voice = topped(voice, samples, formant_ratio * TOP_HZ, SAMPLE_RATE)
        return voice, SAMPLE_RATE
