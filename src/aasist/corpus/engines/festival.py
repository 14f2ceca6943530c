"""Festival: diphones, HMMs, and units of a corpus (Black and Taylor, 1997), in ten languages."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import numpy as np

from aasist.corpus.engine import Sound, Speaker, Voice, has_program
from aasist.corpus.program import TEXT, WAVE, run, spoken

LATIN, CZECH = "iso-8859-1", "iso-8859-2"

KNOWN = {
    "kal_diphone": ("en", "diphone", LATIN),
    "ked_diphone": ("en", "diphone", LATIN),
    "cmu_us_slt_arctic_hts": ("en", "hts", LATIN),
    "lp_diphone": ("it", "diphone", LATIN),
    "pc_diphone": ("it", "diphone", LATIN),
    "hy_fi_mv_diphone": ("fi", "diphone", LATIN),
    "suo_fi_lj_diphone": ("fi", "diphone", LATIN),
    "czech_dita": ("cs", "diphone", CZECH),
    "czech_krb": ("cs", "diphone", CZECH),
    "czech_machac": ("cs", "diphone", CZECH),
    "czech_ph": ("cs", "diphone", CZECH),
    "msu_ru_nsh_clunits": ("ru", "units", "utf-8"),
    "upc_ca_ona_hts": ("ca", "hts", LATIN),
    "hindi_NSK_diphone": ("hi", "diphone", "utf-8"),
    "marathi_NSK_diphone": ("mr", "diphone", "utf-8"),
    "telugu_NSK_diphone": ("te", "diphone", "utf-8"),
}
"""Voices of Debian's packages: language, technology, and the encoding that their rules read."""


class Festival(Speaker):
    """The voices of `KNOWN` that are installed; tempo is drawn."""

    name = "festival"
    technology = "diphones; HTS; unit selection"
    licence = "MIT-CMU; voices: their packages'"
    install = "apt-get install festival festvox-kallpc16k festvox-us-slt-hts"

    def missing(self) -> str:
        """Its programs, and a voice."""
        return "" if has_program("text2wave") and has_program("festival") and self._voices else self.install

    @functools.cached_property
    def _voices(self) -> tuple[Voice, ...]:
        # Where it has none, it says so first, and names those that it looked for.
        said = run(("festival", "--batch", '(format t "\nvoices: %l\n" (voice.list))'))
        names = re.findall(r"[\w-]+", said.rpartition("\nvoices:")[2])
        return tuple(Voice(name, *KNOWN[name][:2]) for name in sorted(names) if name in KNOWN)

    def voices(self) -> Sequence[Voice]:
        """``kal_diphone`` and so on."""
        return self._voices

    def speak(self, text: str, voice: Voice, generator: np.random.Generator) -> Sound:
        """At the rate of the voice."""
        stretch = f"(Parameter.set 'Duration_Stretch {generator.uniform(0.9, 1.15):.3f})"
        words = ("text2wave", "-o", WAVE, "-eval", f"(voice_{voice.name})", "-eval", stretch, TEXT)
        return spoken(words, text, encoding=KNOWN[voice.name][2])
