"""eSpeak NG: formants by rule, in a hundred languages, with Klatt's synthesizer as a second voice."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence

import numpy as np

from aasist.corpus.engine import Sound, Speaker, Voice, has_program
from aasist.corpus.language import language_of
from aasist.corpus.program import TEXT, WAVE, run, spoken

FORMANT = ("", "f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8")
KLATT = ("klatt", "klatt2", "klatt3", "klatt4", "klatt6")
"""Variants: other speakers of the same rules, and other sources of sound."""


UNREAD = {"ja", "zh"}
"""It spells Chinese characters, or guesses."""


class Espeak(Speaker):
    """Every language by every variant; tempo and pitch are drawn."""

    name = "espeak"
    technology = "formants by rule; Klatt"
    licence = "GPL-3.0"
    install = "apt-get install espeak-ng"

    def missing(self) -> str:
        """The program."""
        return "" if has_program("espeak-ng") else self.install

    @functools.cached_property
    def _voices(self) -> tuple[Voice, ...]:
        return tuple(
            Voice(f"{voice}+{variant}" if variant else voice, language, family)
            for voice, language in dict(listed("")).items()
            for family, variants in (("formant", FORMANT), ("klatt", KLATT))
            for variant in variants
        )

    def voices(self) -> Sequence[Voice]:
        """``en-us+f3`` and so on."""
        return self._voices

    def speak(self, text: str, voice: Voice, generator: np.random.Generator) -> Sound:
        """At 22.05 kHz."""
        speed, pitch = int(generator.integers(135, 186)), int(generator.integers(35, 66))
        words = ("espeak-ng", "-b", "1", "-v", voice.name, "-s", str(speed), "-p", str(pitch), "-w", WAVE, "-f", TEXT)
        return spoken(words, text)


def listed(kind: str) -> Iterator[tuple[str, str]]:
    """Names and languages of the voices that eSpeak NG lists: its own, or those of a ``kind`` (``mb``)."""
    for line in run(("espeak-ng", f"--voices={kind}" if kind else "--voices")).splitlines()[1:]:
        # Priority, language, age and gender, name, file: the name has no spaces.
        parts = line.split()
        if len(parts) >= 5 and parts[0].isdigit():
            language = language_of(parts[1])
            if language and language not in UNREAD:
                yield parts[4].rpartition("/")[2] if kind else parts[1], language
