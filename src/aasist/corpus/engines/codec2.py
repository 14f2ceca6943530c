"""Codec2: speech in 0.7 to 3.2 kbit/s, a sinusoidal coder that re-synthesises every frame (Rowe, 2011)."""

from __future__ import annotations

import numpy as np

from aasist.corpus.engine import Copier, Sound, has_package
from aasist.corpus.spectra import resampled
from aasist.session import SAMPLE_RATE, Float32

RATE = 8_000
MODES = (3200, 2400, 1600, 1400, 1300, 1200)
"""Bits a second."""


class Codec2(Copier):
    """A parametric codec: unlike a channel codec it keeps pitch and envelope and makes the wave anew."""

    name = "codec2"
    kind = "codec"
    technology = "Codec2, sinusoidal parametric codec, 8 kHz"
    licence = "LGPL-2.1"
    install = "pip install pycodec2"
    rate_hz = RATE

    def missing(self) -> str:
        """Its Python binding."""
        return "" if has_package("pycodec2") else self.install

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At 8 kHz."""
        import pycodec2

        codec = pycodec2.Codec2(int(generator.choice(MODES)))
        slow = resampled(samples, SAMPLE_RATE, RATE)
        frame = codec.samples_per_frame()
        # Two frames more: the decoder is late by up to that.
        whole = np.pad(slow, (0, -len(slow) % frame + 2 * frame))
        pcm = np.clip(whole * 32767, -32768, 32767).astype(np.int16).reshape(-1, frame)
        decoded = np.concatenate([codec.decode(codec.encode(block)) for block in pcm])
        return decoded.astype(np.float32) / 32768, RATE
