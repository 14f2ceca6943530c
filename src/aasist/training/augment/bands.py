"""Frequency responses: equalisers, band limits, and the way through another sampling rate."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aasist.keys import key
from aasist.session import SAMPLE_RATE
from aasist.training.augment.spectra import as_loud_as, filter_size, filtered, hertz, spectrum, waveform, weighted
from aasist.training.draws import Draws, Float64

_RESPONSE_SIZE = 8_192
"""Of the transform that gives a resampling filter's response."""


@dataclass(frozen=True)
class Equaliser:
    """A smooth random frequency response: microphones, placements, mastering. As loud as before."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    deviation_db: float = key(4.0, "Standard deviation of the gain at each knot", unit="dB", low=0.0, high=20.0)
    knots: int = key(9, "Points of the response that are drawn, denser at low frequencies", low=2, high=64)


@dataclass(frozen=True)
class Band:
    """A band limit: a low-pass, and with it sometimes a telephone's high-pass."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    top_hz: tuple[float, float] = key((3_200.0, 7_900.0), "Where the low-pass has halved the amplitude", unit="Hz",
                                      low=100.0, high=8_000.0)  # fmt: skip
    edge_hz: tuple[float, float] = key((20.0, 150.0), "Width of its edge: a factor of e of the odds kept : lost",
                                       unit="Hz", low=10.0, high=1_000.0)  # fmt: skip
    bottom: float = key(0.3, "Share of the limited rows that lose low frequencies too", low=0.0, high=1.0)
    bottom_hz: tuple[float, float] = key((100.0, 350.0), "Where that high-pass has halved the amplitude", unit="Hz",
                                         low=0.0, high=4_000.0)  # fmt: skip


@dataclass(frozen=True)
class Resample:
    """To another sampling rate and back, through windowed-sinc filters of drawn quality."""

    probability: float = key(0.0, "Share of the rows that it happens to", low=0.0, high=1.0)
    rates_hz: tuple[int, ...] = key(
        (8_000, 11_025, 12_000, 22_050, 24_000, 32_000, 44_100), "Rates, equally likely", unit="Hz", low=8_000,
        high=192_000,
    )  # fmt: skip
    crossings: tuple[float, float] = key(
        (6.0, 64.0), "Zero crossings of the filters on either side: few are cheap converters, whose aliases are heard",
        low=2.0, high=64.0,
    )  # fmt: skip


def equalised(waveforms: Tensor, draws: Draws, recipe: Equaliser) -> Tensor:
    """Rows (n, T) through a response each, straight lines in dB between knots."""
    size = filter_size(waveforms.shape[1])
    knots_db = draws.normal("knots", recipe.knots) * recipe.deviation_db
    bins = size // 2 + 1
    places = knot_places(recipe.knots) * (bins - 1)
    nepers = knots_db * (np.log(10) / 20)
    gain = torch.empty(len(waveforms), bins, device=waveforms.device)
    edges = np.ceil(places).astype(int)
    edges[-1] = bins
    for knot, (first, end) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        steps = torch.arange(first, end, device=waveforms.device, dtype=torch.float32)
        along = (steps - float(places[knot])) / float(places[knot + 1] - places[knot])
        gain[:, first:end] = torch.lerp(nepers[:, knot : knot + 1], nepers[:, knot + 1 : knot + 2], along)
    return as_loud_as(filtered(waveforms, gain.exp_(), size), waveforms)


def knot_places(knots: int) -> Float64:
    """Where the knots of an equaliser lie (knots,), as shares of 8 kHz: knot k at (k / last) ** 1.5."""
    return np.linspace(0.0, 1.0, knots) ** 1.5


def band_limited(waveforms: Tensor, draws: Draws, recipe: Band) -> Tensor:
    """Rows (n, T) with what lies outside a band taken away, by logistic edges and without delay."""
    size = filter_size(waveforms.shape[1])
    frequencies = hertz(size, waveforms.device)
    gain = _logistic((draws.column("top", recipe.top_hz) - frequencies) / draws.column("edge", recipe.edge_hz))
    cut = draws.on_device((draws.fraction("bottom") < recipe.bottom).astype(np.float64))
    high_pass = _logistic((frequencies - draws.column("bottom hertz", recipe.bottom_hz)) / 20.0)
    return filtered(waveforms, gain * torch.lerp(torch.ones_like(high_pass), high_pass, cut), size)


def _logistic(odds: Tensor) -> Tensor:
    """1 / (1 + e ** -odds), in place."""
    # Beyond 30 nothing changes; what is smaller than any normal number takes a slow way through the processor.
    return odds.clamp_(-30.0, 30.0).neg_().exp_().add_(1.0).reciprocal_()


def resampled(waveforms: Tensor, draws: Draws, recipe: Resample) -> Tensor:
    """Rows (n, T) at another rate and at 16 kHz again."""
    which = draws.integer("rate", 0, len(recipe.rates_hz) - 1)
    low, high = np.log(recipe.crossings)
    crossings = np.exp(draws.between("crossings", (float(low), float(high))))
    return through_rates(waveforms, np.array(recipe.rates_hz, np.float64)[which], crossings)


def through_rates(waveforms: Tensor, rates_hz: Float64, crossings: Float64) -> Tensor:
    """Rows (n, T) through their rates (n,), 8 kHz or more, and back, by filters of so many ``crossings`` (n,).

    A signal of m periods a second has the spectrum of its samples again at every multiple of m. So below 16 kHz what
    the first filter H leaves above m / 2 comes down to m - f (an alias), what the second leaves of the mirror image goes
    up there: Y(f) = H(f) (H(f) X(f) + conj(H(m - f) X(m - f))). From 16 kHz up only H counts, twice.
    Rates are met to within a bin of the transform, a quarter of a hertz at four seconds.
    """
    samples, device = waveforms.shape[1], waveforms.device
    size = filter_size(samples)
    gain = windowed_sinc(rates_hz, crossings, size, device)
    passed = weighted(spectrum(waveforms, size), gain)
    down = np.flatnonzero(rates_hz < SAMPLE_RATE)
    rate_bins = np.rint(rates_hz[down] * size / SAMPLE_RATE).astype(int)
    for row, bins in zip(down.tolist(), rate_bins.tolist(), strict=True):
        first = bins - size // 2  # the lowest frequency that an alias reaches
        passed[row, first:] += passed[row, first:].flip(0).conj_physical()
    return waveform(weighted(passed, gain), size, samples)


def windowed_sinc(rates_hz: Float64, crossings: Float64, size: int, device: torch.device) -> Tensor:
    """Gain (n, size // 2 + 1) of the filter between 16 kHz and each rate (n,): a Hann-windowed sinc.

    Its cut-off lies at 97 % of the lower Nyquist frequency, ``crossings`` (n,) zeros of the sinc on either side.
    """
    cutoff_hz = 0.97 / 2 * np.minimum(rates_hz, SAMPLE_RATE)
    cutoff = torch.from_numpy(2 * cutoff_hz / SAMPLE_RATE).to(device, torch.float32).unsqueeze(1)
    half = torch.from_numpy(crossings).to(device, torch.float32).unsqueeze(1) / cutoff
    most = (
        min(int(np.ceil((crossings * SAMPLE_RATE / (2 * cutoff_hz)).max())), min(size, _RESPONSE_SIZE) // 2 - 1)
        if len(crossings)
        else 0
    )
    steps = torch.arange(most + 1, device=device, dtype=torch.float32)
    window = torch.cos(0.5 * torch.pi * steps / half).square() * (steps < half)
    side = cutoff * torch.sinc(cutoff * steps) * window
    # A kernel this short has a response so smooth that a few of its values tell the rest, to within 1e-5.
    few = min(size, _RESPONSE_SIZE)
    kernel = torch.zeros(len(rates_hz), few, device=device)
    kernel[:, : most + 1] = side
    kernel[:, few - most :] = side[:, 1:].flip(1)
    response = spectrum(kernel, few).real.unsqueeze(1)
    return torch.nn.functional.interpolate(response, size // 2 + 1, mode="linear", align_corners=True).squeeze(1)
