"""SVOX Pico: HMMs in the telephone of 2009, six languages."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aasist.corpus.engine import Sound, Speaker, Voice, has_program
from aasist.corpus.program import WAVE, spoken

LANGUAGES = ("de-DE", "en-GB", "en-US", "es-ES", "fr-FR", "it-IT")


class Pico(Speaker):
    """One voice a language; tempo and pitch are drawn, within the text as its markup."""

    name = "pico"
    technology = "HMM (SVOX Pico)"
    licence = "Apache-2.0"
    install = "apt-get install libttspico-utils (non-free)"

    def missing(self) -> str:
        """The program."""
        return "" if has_program("pico2wave") else self.install

    def voices(self) -> Sequence[Voice]:
        """``de-DE`` and so on."""
        return [Voice(name, name[:2]) for name in LANGUAGES]

    def speak(self, text: str, voice: Voice, generator: np.random.Generator) -> Sound:
        """At 16 kHz."""
        speed, pitch = int(generator.integers(88, 116)), int(generator.integers(85, 121))
        plain = text.replace("<", " ").replace(">", " ").replace("&", " ")
        said = f'<speed level="{speed}"><pitch level="{pitch}">{plain}</pitch></speed>'
        # It takes its text as a word of the command; no shell sees it.
        return spoken(("pico2wave", "-l", voice.name, "-w", WAVE, said), "")
