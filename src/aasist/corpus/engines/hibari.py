"""Hibari: a small network distilled from Kokoro, English."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from aasist.corpus.engine import Sound, Speaker, Voice, has_package

RATE = 24_000


class HibariSpeaker(Speaker):
    """The voice that its package holds; the others would be downloaded. Tempo is drawn."""

    name = "hibari"
    technology = "neural, distilled from StyleTTS 2"
    licence = "Apache-2.0"
    install = "pip install hibari-tts"
    packages = ("hibari-tts",)

    def missing(self) -> str:
        """The package."""
        return "" if has_package("hibari") else self.install

    @functools.cached_property
    def _model(self) -> Any:
        import hibari

        return hibari.Hibari()

    def voices(self) -> Sequence[Voice]:
        """One."""
        return [Voice("heart", "en")]

    def speak(self, text: str, voice: Voice, generator: np.random.Generator) -> Sound:
        """At 24 kHz."""
        tempo, seed = float(generator.uniform(0.9, 1.15)), int(generator.integers(1 << 31))
        return np.asarray(self._model(text, speed=tempo, seed=seed), np.float32), RATE
