"""Prosodic frames: pitch, voicing, energy, rhythm, jitter and shimmer of a waveform, every 10 ms.

Pitch is Boersma's ("Accurate short-term analysis of the fundamental frequency and the harmonics-to-noise ratio of a
sampled sound", 1993): the autocorrelation of a windowed frame over that of its window, and of its peaks the one that
lies on the best path. All of it is convolutions, matrix products and maxima, so that an exported model needs nothing
else: the autocorrelation is the inverse transform of the frame's spectrum below 1 kHz, taken at lags spaced evenly in
octaves, and the path is the best over the nearest frames only. There are no weights.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from aasist.session import SAMPLE_RATE

HOP_SAMPLES = 160
LOWEST_HZ, HIGHEST_HZ = 60.0, 500.0
"""Of pitch."""
FRAME_SAMPLES = 800
"""50 ms: three periods of the lowest pitch."""
STEPS_PER_OCTAVE = 96
TRANSFORM_SAMPLES = 1_088
"""A frame and the longest lag, so that the transform's autocorrelation does not go round."""
ENERGY_SAMPLES = 400
"""25 ms: under a Hann window this long, energy hardly follows the single periods of a voice."""
RHYTHM_HZ, RHYTHM_FRAMES = 5.0, 51
"""A Hann window of half a second about 5 Hz: half of the amplitude or more from 3 to 7 Hz, a quarter at 2 and at 8."""

OCTAVE_COST = 0.06
"""Of two periods that are about as alike, the shorter (Boersma's OctaveCost, 0.01 there)."""
PATH_FRAMES = 4
"""Frames to either side over which a pitch is followed."""
PATH_STEPS = 6
"""Lags that a path may move by from one frame to the next: 1/16 octave."""
UNVOICED, VOICED = 0.5, 0.7
"""Likeness of neighbouring periods up to which a frame has no pitch, and from which it has one."""
FAINT = 1e-3
"""Of the window's mean power below 1 kHz: what of it a frame must have to be half as voiced as it is periodic."""

FEATURES = ("voicing", "pitch", "pitch slope", "jitter", "shimmer", "energy", "energy slope", "rhythm")
"""What a frame holds, in order; see `ProsodicFrames`."""


class ProsodicFrames(nn.Module):
    """Waveform (B, T) at 16 kHz -> prosodic frames (B, T // 160, 8); frame i is about sample 160 i + 80. T >= 480.

    - voicing: likeness of neighbouring periods, 0 to 1;
    - pitch: octaves above the mean of the window's voiced frames; pitch slope: octaves in 0.1 s, at most 0.6;
    - jitter, shimmer: how far a frame's period, or amplitude, is from the mean of itself and its two neighbours (as RAP
      and APQ3 are of periods), as log(1 + per cent), the per cent at most 10. Frames overlap, so it is the slow part of
      what a phonetician measures from period to period. Neither a steady glide nor a steady swell has any;
    - energy: log10 of power over the window's mean, at least -6; energy slope: the same in 0.1 s;
    - rhythm: amplitude of the energy's modulation about 5 Hz, the rate of syllables.

    Pitch, its slope, jitter and shimmer are faded to 0 where the frame or a neighbour that they need is not voiced.
    Nothing depends on the level of the waveform (above 1e-5), and digital silence gives finite frames.
    """

    waves: Tensor
    likeness: Tensor
    power: Tensor
    costs: Tensor
    energy: Tensor
    rhythm: Tensor

    def __init__(self) -> None:
        super().__init__()
        waves, likeness, power = _transforms()
        for name, tensor in {
            "waves": waves,
            "likeness": likeness,
            "power": power,
            "costs": OCTAVE_COST * torch.arange(len(likeness) - 2).unsqueeze(1) / STEPS_PER_OCTAVE,
            "energy": _hann(ENERGY_SAMPLES).reshape(1, 1, -1),
            "rhythm": _modulation(),
        }.items():
            self.register_buffer(name, tensor.float(), persistent=False)

    def forward(self, waveform: Tensor) -> Tensor:
        # A floor and not a sum: the exporter takes adding 1e-10 for adding nothing.
        waveform = waveform * torch.rsqrt(waveform.square().mean(dim=1, keepdim=True).clamp_min(1e-10))
        spectra = self.spectra(waveform)
        voicing, octaves = self.pitch(spectra)
        power, energy = torch.matmul(self.power, spectra).squeeze(1), self.energies(waveform)
        voiced = voiced_share(voicing)
        mean = (voiced * octaves).sum(1, keepdim=True) / voiced.sum(1, keepdim=True).clamp_min(1e-3)
        before, after = _neighbours(voiced)
        beside = torch.minimum(before, after)
        pitch_slope, pitch_bend = _differences(octaves)
        energy_slope, _ = _differences(energy)
        _, power_bend = _differences(power.clamp_min(1e-10).log10())
        rhythm = functional.conv1d(
            functional.pad(energy.unsqueeze(1), (RHYTHM_FRAMES // 2, RHYTHM_FRAMES // 2), mode="replicate"), self.rhythm
        )
        frames = [
            voicing,
            voiced * (octaves - mean),
            beside * (10 * pitch_slope).clamp(-0.6, 0.6),
            torch.minimum(voiced, beside) * _roughness(math.log(2) * pitch_bend),
            # An amplitude is the root of a power.
            torch.minimum(voiced, beside) * _roughness(math.log(10) / 2 * power_bend),
            energy,
            10 * energy_slope,
            rhythm.square().sum(1).sqrt(),
        ]
        return torch.stack(frames, dim=2)

    def spectra(self, waveform: Tensor) -> Tensor:
        """Waveform (B, T) -> power spectra (B, bins, T // 160), from 44 Hz to 1.1 kHz."""
        padded = functional.pad(waveform, [(FRAME_SAMPLES - HOP_SAMPLES) // 2] * 2)
        real, imaginary = (
            functional.conv1d(padded.unsqueeze(1), self.waves, stride=HOP_SAMPLES).square().chunk(2, dim=1)
        )
        return real + imaginary

    def pitch(self, spectra: Tensor) -> tuple[Tensor, Tensor]:
        """Power spectra (B, bins, F) -> voicing in [0, 1], pitch in octaves above 1 Hz: (B, F) each. A frame without
        voice has some pitch too."""
        likeness = self.likenesses(spectra)
        middle = likeness[:, 1:-1]
        peaks = (middle > likeness[:, :-2]) & (middle >= likeness[:, 2:])
        found = _followed(middle) - self.costs
        best = torch.where(peaks, found, -10.0).argmax(dim=1, keepdim=True)
        shorter, here, longer = (likeness.gather(1, best + step).squeeze(1) for step in range(3))
        # The top of the parabola through the peak and its neighbours.
        curve = (2 * here - shorter - longer).clamp_min(1e-6)
        offset = ((longer - shorter) / (2 * curve)).clamp(-1, 1)
        top = here + (longer - shorter) * offset / 4
        voicing = top.clamp(0, 1) * peaks.gather(1, best).squeeze(1)
        lags = best.squeeze(1).to(offset.dtype) + offset
        return voicing, math.log2(HIGHEST_HZ) - lags / STEPS_PER_OCTAVE

    def likenesses(self, spectra: Tensor) -> Tensor:
        """Power spectra (B, bins, F) -> how alike the waveform is a lag apart, (B, lags, F): 1 where that is a period
        of it, but for frames that are faint beside the others. Lags go from 1/500 s to 1/60 s, and one beyond either."""
        power = torch.matmul(self.power, spectra)
        whole = power + FAINT * power.mean(dim=2, keepdim=True)
        return torch.matmul(self.likeness, spectra) / whole.clamp_min(1e-10)

    def energies(self, waveform: Tensor) -> Tensor:
        """Waveform (B, T) with a root mean square of 1 -> log10 of its power about each frame, (B, T // 160)."""
        powers = functional.pad(waveform, [(ENERGY_SAMPLES - HOP_SAMPLES) // 2] * 2).square().unsqueeze(1)
        return functional.conv1d(powers, self.energy, stride=HOP_SAMPLES).squeeze(1).clamp_min(1e-6).log10()


def voiced_share(voicing: Tensor) -> Tensor:
    """Voicing (...) -> 0 where a frame has no pitch, 1 where it has, and between the two where it is doubtful."""
    return ((voicing - UNVOICED) / (VOICED - UNVOICED)).clamp(0, 1)


def statistics(frames: Tensor, voiced: Tensor) -> Tensor:
    """Frames (B, F, K), voiced share (B, F) -> (B, 5 K): mean, deviation and mean step from frame to frame of all;
    mean and deviation of what is voiced."""
    everywhere = torch.ones_like(voiced)
    # Of a single frame there is no step: it is compared with itself.
    after = torch.cat([frames[:, 1:], frames[:, -1:]], dim=1)
    return torch.cat(
        [*_moments(frames, everywhere), (after - frames).abs().mean(dim=1), *_moments(frames, voiced)], dim=1
    )


def _moments(frames: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Frames (B, F, K), weights (B, F) -> weighted mean and deviation, (B, K) each; 0 where nothing has a weight."""
    shares = (weights / weights.sum(1, keepdim=True).clamp_min(1e-3)).unsqueeze(2)
    mean = (shares * frames).sum(dim=1)
    variance = (shares * (frames - mean.unsqueeze(1)).square()).sum(dim=1)
    return mean, variance.clamp_min(1e-6).sqrt()


def _followed(likeness: Tensor) -> Tensor:
    """Likeness (B, lags, F) -> its mean over the best path through each lag and frame, `PATH_FRAMES` either way."""
    ahead, back = torch.zeros_like(likeness), torch.zeros_like(likeness)
    for _ in range(PATH_FRAMES):
        ahead = functional.pad(_best_near(likeness + ahead)[:, :, :-1], (1, 0))
        back = functional.pad(_best_near(likeness + back)[:, :, 1:], (0, 1))
    return (likeness + ahead + back) / (2 * PATH_FRAMES + 1)


def _best_near(likeness: Tensor) -> Tensor:
    """(B, lags, F) -> the largest within `PATH_STEPS` lags, of the same shape."""
    # Maxima of 2, 4 and 8 neighbours, then of two eights: PyTorch's pooling takes ten times as long.
    span, count = 1, likeness.shape[1]
    padded = functional.pad(likeness, (0, 0, PATH_STEPS, PATH_STEPS), value=-10.0)
    while 2 * span <= 2 * PATH_STEPS + 1:
        padded = torch.maximum(padded[:, :-span], padded[:, span:])
        span *= 2
    return torch.maximum(padded[:, :count], padded[:, 2 * PATH_STEPS + 1 - span :])


def _neighbours(values: Tensor) -> tuple[Tensor, Tensor]:
    """(B, F) -> each frame's neighbour before and after, (B, F); at either end the frame itself."""
    return torch.cat([values[:, :1], values[:, :-1]], dim=1), torch.cat([values[:, 1:], values[:, -1:]], dim=1)


def _differences(values: Tensor) -> tuple[Tensor, Tensor]:
    """(B, F) -> slope in a frame, and distance from the mean of the frame and both its neighbours, 0 at either end."""
    before, after = values[:, :-2], values[:, 2:]
    bend = (2 * values[:, 1:-1] - before - after) / 3
    return functional.pad((after - before) / 2, (1, 1)), functional.pad(bend, (1, 1))


def _roughness(change: Tensor) -> Tensor:
    """A relative change (...) -> log(1 + per cent) of its magnitude, which is cut at 10 %: beyond are jumps."""
    return torch.log1p((100 * change.abs()).clamp(max=10.0))


def _hann(samples: int) -> Tensor:
    """A Hann window (samples,) float64 that sums to 1."""
    window = torch.hann_window(samples, periodic=False, dtype=torch.float64)
    return window / window.sum()


def _transforms() -> tuple[Tensor, Tensor, Tensor]:
    """Windowed waves (2 bins, 1, 800), likeness (lags, bins) and power (1, bins) of what they find, in float64."""
    bins = torch.arange(3, round(1_100 / SAMPLE_RATE * TRANSFORM_SAMPLES) + 1, dtype=torch.float64)
    hertz = bins / TRANSFORM_SAMPLES * SAMPLE_RATE
    phases = 2 * math.pi * torch.outer(bins, torch.arange(FRAME_SAMPLES, dtype=torch.float64)) / TRANSFORM_SAMPLES
    waves = torch.cat([phases.cos(), phases.sin()]) * _hann(FRAME_SAMPLES)
    # Harmonics beyond 1 kHz tell of formants and noise more than of pitch; what is below the lowest pitch is hum.
    rise, fall = (hertz - 30) / 30, (1_100 - hertz) / 200
    gains = (math.pi / 2 * torch.minimum(rise, fall).clamp(0, 1)).sin().square()
    steps = round(STEPS_PER_OCTAVE * math.log2(HIGHEST_HZ / LOWEST_HZ))
    lags = 2.0 ** (torch.arange(-1, steps + 2, dtype=torch.float64) / STEPS_PER_OCTAVE) / HIGHEST_HZ
    share = lags * SAMPLE_RATE / FRAME_SAMPLES
    # The autocorrelation of a Hann window (Boersma, eq. 8).
    window = (1 - share) * (2 + (2 * math.pi * share).cos()) / 3 + (2 * math.pi * share).sin() / (2 * math.pi)
    likeness = (2 * math.pi * torch.outer(lags, hertz)).cos() * gains / window.unsqueeze(1)
    return waves.unsqueeze(1), likeness, gains.unsqueeze(0)


def _modulation() -> Tensor:
    """Two waves (2, 1, frames) float64 a quarter period apart: of an energy that swings about 5 Hz they find the
    amplitude, and of one that does not, 0."""
    window = _hann(RHYTHM_FRAMES)
    seconds = (torch.arange(RHYTHM_FRAMES, dtype=torch.float64) - RHYTHM_FRAMES // 2) * HOP_SAMPLES / SAMPLE_RATE
    phases = 2 * math.pi * RHYTHM_HZ * seconds
    waves = torch.stack([phases.cos(), phases.sin()]) * window
    return 2 * (waves - waves.sum(1, keepdim=True) * window).unsqueeze(1)
