"""Codec2: speech in 0.7 to 3.2 kbit/s, a sinusoidal coder that re-synthesises every frame (Rowe, 2011)."""

from __future__ import annotations

import sys

import numpy as np

from aasist.corpus.engine import Copier, Sound, has_package
from aasist.corpus.program import output
from aasist.corpus.spectra import resampled
from aasist.session import SAMPLE_RATE, Float32

RATE = 8_000
MODES = (3200, 2400, 1600, 1400, 1300, 1200)
"""Bits a second."""

LONGEST_FRAME = 320

CODE = """
import sys, numpy, pycodec2
codec = pycodec2.Codec2(int(sys.argv[1]))
pcm = numpy.frombuffer(sys.stdin.buffer.read(), numpy.int16).reshape(-1, codec.samples_per_frame())
sys.stdout.buffer.write(b"".join(codec.decode(codec.encode(block)).tobytes() for block in pcm))
"""
"""A process for each recording: the library draws phases from numbers that go on from one codec to the next."""


class Codec2(Copier):
    """A parametric codec: unlike a channel codec it keeps pitch and envelope and makes the wave anew."""

    name = "codec2"
    kind = "codec"
    technology = "Codec2, sinusoidal parametric codec, 8 kHz"
    licence = "LGPL-2.1"
    install = "pip install pycodec2"
    packages = ("pycodec2",)
    rate_hz = RATE

    def missing(self) -> str:
        """Its Python binding."""
        return "" if has_package("pycodec2") else self.install

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At 8 kHz."""
        slow = resampled(samples, SAMPLE_RATE, RATE)
        whole = np.pad(slow, (0, -len(slow) % LONGEST_FRAME))
        pcm = np.clip(whole * 32767, -32768, 32767).astype(np.int16)
        decoded = output((sys.executable, "-c", CODE, str(generator.choice(MODES))), given=pcm.tobytes())
        return np.frombuffer(decoded, np.int16).astype(np.float32) * np.float32(1 / 32768), RATE
