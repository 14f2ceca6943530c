"""flite, Festival's small sister: diphones, and voices of CLUSTERGEN (Black, 2006)."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from aasist.corpus.engine import Sound, Speaker, Voice, has_program
from aasist.corpus.program import TEXT, WAVE, run, spoken

FAMILIES = {"kal": ("diphone", 8_000), "kal16": ("diphone", 16_000)}
"""Voices that are not CLUSTERGEN at 16 kHz."""

OF_ONE_SUBJECT = {"awb_time"}
"""It tells the time, and nothing else."""


class Flite(Speaker):
    """The voices that it was built with, all of them English; tempo and pitch are drawn."""

    name = "flite"
    technology = "diphones; CLUSTERGEN"
    licence = "MIT-CMU"
    install = "apt-get install flite"

    def missing(self) -> str:
        """The program."""
        return "" if has_program("flite") else self.install

    @functools.cached_property
    def _voices(self) -> tuple[Voice, ...]:
        names = run(("flite", "-lv")).partition(":")[2].split()
        kinds = {name: FAMILIES.get(name, ("clustergen", 16_000)) for name in names if name not in OF_ONE_SUBJECT}
        return tuple(Voice(name, "en", family, rate_hz=rate) for name, (family, rate) in kinds.items())

    def voices(self) -> Sequence[Voice]:
        """``slt`` and so on."""
        return self._voices

    def speak(self, text: str, voice: Voice, generator: np.random.Generator) -> Sound:
        """At 8 or 16 kHz."""
        stretch = f"duration_stretch={generator.uniform(0.9, 1.15):.3f}"
        return spoken(("flite", "-voice", voice.name, "--setf", stretch, "-f", TEXT, "-o", WAVE), text)
