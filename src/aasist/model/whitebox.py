"""A checkpoint with its gradient: how far a recording's score can be pushed by one who knows every weight."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aasist.errors import ModelError, one_line
from aasist.model import checkpoint
from aasist.model.perturbation import REACH, climbed, radii, started
from aasist.model.training_form import prepared
from aasist.session import BONAFIDE, SPOOF, Float32

WINDOWS_AT_ONCE = 8
"""Windows of a recording that go through the model together: what bounds the memory of a long one."""


@dataclass(frozen=True)
class Attack:
    """``fgsm``: one step from the recording (Goodfellow et al., 2015). ``pgd``: ``steps`` from a random start (Madry et
    al., 2018), drawn by ``seed`` and the trial."""

    kind: str = "pgd"
    steps: int = 10
    seed: int = 0


@dataclass(frozen=True)
class Pushed:
    """Margins (bona fide less spoof logit, the mean over the windows) of one recording: as it is, and pushed by each ratio
    that was asked for, in that order. ``has_gradient``: whether anything told where to push."""

    clean: float
    attacked: tuple[float, ...]
    has_gradient: bool


def use_threads(threads: int) -> None:
    """Let torch use so many threads, in the whole process: it knows no other way."""
    torch.set_num_threads(threads)


class WhiteBox:
    """The model of a checkpoint in float32, on CUDA where there is one, whose margins can be followed to the waveform.

    What is differentiated is the model itself: sinc bands or speech encoder, residual encoder, graphs. Prosodic frames,
    where it takes any, are taken as they are for the gradient (`hides_prosody`) and made anew for every score.
    """

    def __init__(self, path: Path) -> None:
        """Raises `ModelError` where ``path`` is no checkpoint."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.device, model = device, checkpoint.load(path).to(device).requires_grad_(False)
        self.architecture = model.architecture
        self.hides_prosody = model.prosody is not None
        self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self._form = prepared(model, "fp32", device).eval()

    def pushed(
        self,
        samples: Float32,
        places: NDArray[np.int64],
        snrs_db: Sequence[float],
        attack: Attack,
        *,
        up: bool,
        draw: int,
    ) -> Pushed:
        """Push a recording's margin ``up`` or down by perturbations within each of ``snrs_db`` (dB).

        ``samples`` (N,) float32 at 16 kHz, ``places`` (W, T) where in it the samples of each window stand: windows that
        overlap are perturbed alike, as one recording. The ratio is of the level of all that windows hold. Of all
        perturbations tried, the recording itself and those of weaker bounds among them, the one that pushes furthest
        counts, so that no bound looks safer than one within it. ``draw`` says which random start. Raises `ModelError` where
        the model gives no finite margin.
        """
        clean = torch.from_numpy(samples)[None].to(self.device)
        where = torch.from_numpy(places).to(self.device)
        sign = 1.0 if up else -1.0
        margin, gradient = self._margin(clean, where)
        level = clean[:, torch.unique(where)]
        best = dict.fromkeys(snrs_db, margin)
        furthest = margin
        for snr_db in sorted(best, reverse=True):
            tried = self._tried(clean, where, radii(level, snr_db), sign * gradient, sign, attack, (draw, snr_db))
            furthest = sign * max(sign * one for one in (furthest, *tried))
            best[snr_db] = furthest
        return Pushed(margin, tuple(best[snr_db] for snr_db in snrs_db), bool(gradient.any()))

    def _tried(
        self,
        clean: Tensor,
        where: Tensor,
        radius: Tensor,
        towards: Tensor,
        sign: float,
        attack: Attack,
        draw: tuple[int, float],
    ) -> Iterator[float]:
        """The margin of each perturbation that an attack comes by; ``towards`` (1, N) is the way up from ``clean``."""
        if attack.kind == "fgsm":
            yield self._margin(climbed(clean, clean, radius, towards, 1.0), where, with_gradient=False)[0]
            return
        seed = np.random.SeedSequence([attack.seed, draw[0], round(1_000 * draw[1])])
        uniform = np.random.default_rng(seed).random(clean.shape, np.float32)
        perturbed = started(clean, radius, torch.from_numpy(uniform).to(clean.device))
        for _ in range(attack.steps):
            margin, gradient = self._margin(perturbed, where)
            yield margin
            perturbed = climbed(perturbed, clean, radius, sign * gradient, REACH / attack.steps)
        yield self._margin(perturbed, where, with_gradient=False)[0]

    def _margin(self, samples: Tensor, where: Tensor, *, with_gradient: bool = True) -> tuple[float, Tensor]:
        """Samples (1, N) and windows in it (W, T) -> the mean margin, and its gradient (1, N), zeros where not asked for."""
        total, gradient = 0.0, torch.zeros_like(samples)
        for some in torch.split(where, WINDOWS_AT_ONCE):
            windows = samples[0, some].requires_grad_(with_gradient)
            with torch.set_grad_enabled(with_gradient):
                try:
                    logits = self._form(windows)
                except RuntimeError as error:
                    raise ModelError("model", f"PyTorch cannot run the model: {one_line(error)}") from error
                margins = (logits[:, BONAFIDE] - logits[:, SPOOF]).sum() / len(where)
            total += float(margins.detach().double())
            if with_gradient:
                (found,) = torch.autograd.grad(margins, windows)
                gradient[0].index_add_(0, some.flatten(), found.flatten())
        if not np.isfinite(total):
            raise ModelError("model", f"the model {self.architecture.name!r} gave a score that is not a finite number")
        return total, gradient
