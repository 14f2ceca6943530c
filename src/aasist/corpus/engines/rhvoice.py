"""RHVoice: HTS voices of recorded speakers, ten languages."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aasist.corpus.engine import Sound, Speaker, Voice, has_program
from aasist.corpus.language import language_of
from aasist.corpus.program import WAVE, spoken

FOLDER = Path("/usr/share/RHVoice/voices")


class RhVoice(Speaker):
    """The voices that are installed; tempo and pitch are drawn."""

    name = "rhvoice"
    technology = "HMM (HTS)"
    licence = "GPL-2.0; voices: mostly CC BY-NC-ND"
    install = "apt-get install rhvoice rhvoice-english rhvoice-russian (non-free)"

    def missing(self) -> str:
        """Its program, and a voice."""
        return "" if has_program("RHVoice-test") and self._voices else self.install

    @functools.cached_property
    def _voices(self) -> tuple[Voice, ...]:
        found = []
        for file in sorted(FOLDER.glob("*/voice.info")):
            lines = (line.partition("=") for line in file.read_text(encoding="utf-8", errors="replace").splitlines())
            facts = {name.strip().lower(): value.strip() for name, _, value in lines}
            language = language_of(facts.get("language", ""))
            if language and facts.get("name"):
                found.append(Voice(facts["name"], language))
        return tuple(found)

    def voices(self) -> Sequence[Voice]:
        """``Alan`` and so on."""
        return self._voices

    def speak(self, text: str, voice: Voice, generator: np.random.Generator) -> Sound:
        """At 16 or 24 kHz."""
        rate, pitch = int(generator.integers(90, 116)), int(generator.integers(90, 111))
        words = ("RHVoice-test", "-p", voice.name, "-r", str(rate), "-t", str(pitch), "-o", WAVE)
        return spoken(words, text, stdin=True)
