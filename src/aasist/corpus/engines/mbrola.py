"""MBROLA: diphones of recorded speakers, joined after one resynthesis (Dutoit et al., 1996), through eSpeak NG's rules."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aasist.corpus.engine import Sound, Speaker, Voice, has_program
from aasist.corpus.engines.espeak import listed
from aasist.corpus.program import TEXT, WAVE, spoken

FOLDER = Path("/usr/share/mbrola")

UNABLE = {"mb-cn1"}
"""eSpeak NG 1.51 lists it and then does not find it."""


class Mbrola(Speaker):
    """The voices that are installed in /usr/share/mbrola and that eSpeak NG has rules for."""

    name = "mbrola"
    technology = "diphones (MBROLA)"
    licence = "MBROLA voices: non-commercial"
    install = "apt-get install espeak-ng mbrola mbrola-us1 mbrola-de6 mbrola-fr1 (non-free)"

    def missing(self) -> str:
        """Both programs, and a voice."""
        return "" if has_program("espeak-ng") and has_program("mbrola") and self._voices else self.install

    @functools.cached_property
    def _voices(self) -> tuple[Voice, ...]:
        found = {}
        for file, language in listed("mb"):
            # mb-us1 speaks with the data of us1, and so does mb-us1-en, for another language.
            data = file.removeprefix("mb-").split("-")[0]
            if file not in UNABLE and (FOLDER / data / data).is_file():
                found[file] = Voice(file, language)
        return tuple(found.values())

    def voices(self) -> Sequence[Voice]:
        """``mb-us1`` and so on."""
        return self._voices

    def speak(self, text: str, voice: Voice, generator: np.random.Generator) -> Sound:
        """At 16 or 22.05 kHz, as the voice was recorded."""
        speed, pitch = int(generator.integers(130, 171)), int(generator.integers(40, 61))
        words = ("espeak-ng", "-b", "1", "-v", voice.name, "-s", str(speed), "-p", str(pitch), "-w", WAVE, "-f", TEXT)
        return spoken(words, text)
