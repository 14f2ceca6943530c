"""Rooms: reverberation by FFT, with recorded responses or synthetic ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aasist.keys import key
from aasist.session import SAMPLE_RATE
from aasist.training.augment.bank import LEAD_SAMPLES, NoiseBank
from aasist.training.augment.spectra import QUIETEST, as_loud_as, fft_size, product, rms, spectrum, waveform
from aasist.training.draws import Draws, Float64

GAP_SAMPLES = SAMPLE_RATE // 400
"""Between the direct sound and the first reflection of a synthetic response (2.5 ms)."""


@dataclass(frozen=True)
class Room:
    """Reverberation, as loud as the speech was."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    recorded: float = key(1.0, "Share of the rooms that are recorded, where the bank has any", low=0.0, high=1.0)
    t60_seconds: tuple[float, float] = key((0.15, 0.8), "Of synthetic rooms: time in which the sound falls by 60 dB",
                                           unit="s", low=0.05, high=2.0)  # fmt: skip
    direct_db: tuple[float, float] = key((-3.0, 12.0), "Of synthetic rooms: direct above reverberant sound", unit="dB",
                                         low=-30.0, high=60.0)  # fmt: skip
    wet: tuple[float, float] = key((0.2, 1.0), "Weight of what the room gives, against the dry row", low=0.0, high=1.0)


def reverberated(waveforms: Tensor, draws: Draws, recipe: Room, bank: NoiseBank | None) -> Tensor:
    """Rows (n, T) heard in a room each, in time with the strongest arrival and as loud as before."""
    samples, responses = waveforms.shape[1], _responses(draws, recipe, bank)
    size = fft_size(samples + responses.shape[1])
    # One transform for both: to set one up takes as long as two rows.
    both = torch.zeros(2 * len(waveforms), size, device=waveforms.device)
    both[: len(waveforms), :samples] = waveforms
    both[len(waveforms) :, : responses.shape[1]] = responses
    spectra = spectrum(both, size)
    wet = product(spectra[: len(waveforms)], spectra[len(waveforms) :])
    wet = waveform(wet, size, samples + LEAD_SAMPLES)
    wet = as_loud_as(wet[:, LEAD_SAMPLES:], waveforms)
    return as_loud_as(torch.lerp(waveforms, wet, draws.column("wet", recipe.wet)), waveforms)


def synthetic_responses(draws: Draws, t60_seconds: Float64, direct: Tensor, samples: int) -> Tensor:
    """(n, samples): the direct sound at `LEAD_SAMPLES`, then noise that falls by 60 dB in ``t60_seconds`` (n,), where it
    ends. The root of its energy is 1 / ``direct`` (n, 1) (Polack's statistical model)."""
    seconds = torch.arange(samples - LEAD_SAMPLES, device=draws.device, dtype=torch.float32) / SAMPLE_RATE
    t60 = draws.on_device(t60_seconds)
    tail = draws.normal("reflections", len(seconds)) * torch.exp(seconds * (-3 * np.log(10) / t60)) * (seconds < t60)
    tail[:, :GAP_SAMPLES] = 0.0
    tail /= rms(tail).clamp_min_(QUIETEST) * direct * len(seconds) ** 0.5
    tail[:, 0] = 1.0
    return torch.nn.functional.pad(tail, (LEAD_SAMPLES, 0))


def _responses(draws: Draws, recipe: Room, bank: NoiseBank | None) -> Tensor:
    """A response (n, L) for each row, recorded or synthetic; L is that of the longest there may be, not that there is."""
    share = recipe.recorded if bank is not None and bank.count("rir") else 0.0
    recorded = draws.fraction("recorded") < share
    longest = LEAD_SAMPLES + round(recipe.t60_seconds[1] * SAMPLE_RATE) if share < 1 else 0
    if bank is not None and share > 0:
        longest = max(longest, bank.response_samples)
    out = torch.zeros(len(draws), longest, device=draws.device)
    if recorded.any():
        assert bank is not None
        found = bank.responses(draws.of(np.flatnonzero(recorded)))
        out[_rows(recorded, draws), : found.shape[1]] = found
    if not recorded.all():
        some = draws.of(np.flatnonzero(~recorded))
        t60_seconds, direct = some.between("t60", recipe.t60_seconds), some.ratio("direct", recipe.direct_db)
        made = synthetic_responses(some, t60_seconds, direct, LEAD_SAMPLES + round(recipe.t60_seconds[1] * SAMPLE_RATE))
        out[_rows(~recorded, draws), : made.shape[1]] = made
    return out


def _rows(mask: NDArray[np.bool_], draws: Draws) -> Tensor:
    return torch.from_numpy(np.flatnonzero(mask)).to(draws.device)
