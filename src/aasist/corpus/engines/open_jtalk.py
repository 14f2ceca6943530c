"""Open JTalk: HTS in Japanese."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from aasist.corpus.engine import Sound, Speaker, Voice, has_program
from aasist.corpus.program import TEXT, WAVE, spoken

DICTIONARY = Path("/var/lib/mecab/dic/open-jtalk/naist-jdic")
FOLDER = Path("/usr/share/hts-voice")


class OpenJTalk(Speaker):
    """The voices that are installed; tempo, pitch and colour are drawn."""

    name = "open-jtalk"
    technology = "HMM (HTS)"
    licence = "BSD-3-Clause; voice: CC BY 3.0"
    install = "apt-get install open-jtalk open-jtalk-mecab-naist-jdic hts-voice-nitech-jp-atr503-m001"

    def missing(self) -> str:
        """The program, its dictionary and a voice."""
        return "" if has_program("open_jtalk") and DICTIONARY.is_dir() and self._files else self.install

    @functools.cached_property
    def _files(self) -> dict[str, Path]:
        return {file.stem: file for file in sorted(FOLDER.rglob("*.htsvoice"))}

    def voices(self) -> Sequence[Voice]:
        """``nitech_jp_atr503_m001`` and so on."""
        return [Voice(name, "ja") for name in self._files]

    def speak(self, text: str, voice: Voice, generator: np.random.Generator) -> Sound:
        """At 48 kHz."""
        tempo, semitones = generator.uniform(0.9, 1.15), generator.uniform(-3.0, 5.0)
        all_pass = generator.uniform(0.5, 0.6)
        options = ("-r", f"{tempo:.3f}", "-fm", f"{semitones:.2f}", "-a", f"{all_pass:.3f}")
        words = ("open_jtalk", "-x", str(DICTIONARY), "-m", str(self._files[voice.name]), *options, "-ow", WAVE, TEXT)
        return spoken(words, text)
