"""Cues: what a recording shows besides the artefact of synthesis, a number each."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aasist.audio.levels import FLOOR_DBFS, flat_samples
from aasist.session import SAMPLE_RATE, Float32

Float64 = NDArray[np.float64]

FRAME_SAMPLES = SAMPLE_RATE // 50
"""20 ms: levels, silences and noise are counted in these."""

SPECTRUM_SAMPLES = 512
"""Of a frame whose spectrum is looked at; its 31.25 Hz a bin part hum from the lowest voices."""

BAND_HZ = 250.0
"""Width of the bands in which edges and holes are sought."""

BAND_DEPTH_DB = 60.0
"""A band is in use while it is within this of the strongest, as in `aasist.audio.quality`."""

HOLE_DB = 35.0
"""A cell so far below the mean of its band is empty: speech over a room's noise does not fall so low from one frame to
the next, a codec that leaves a band out does."""

ACTIVE_SHARE = 1 / 3
"""A frame is active from this share of the way, in dB, from the noise to the loud frames on."""

MOST_ACTIVE_DB = 40.0
"""And no frame that is further than this below the loud ones."""

ONSET_DB = 15.0
"""A rise, from 30 ms before, that counts as an onset."""

_ONSETS = 10
_ONSET_FRAME_SAMPLES = SAMPLE_RATE // 200
_EMPTY_POWER = 1e-13
_LOW_HZ, _TOP_HZ, _MIDDLE_HZ = 80.0, (7_000.0, 7_800.0), (3_000.0, 5_000.0)
_EDGES_FROM_HZ = 3_000.0
_OCTAVES_HZ = (125.0, 250.0, 500.0, 1_000.0, 2_000.0, 4_000.0)
_LEAST_STEP = 1e-7
"""Between two different samples, in units of the peak: less is float32 rounding."""


@dataclass(frozen=True)
class Cue:
    """One number of a recording or of a window: what kind of thing it is, its unit, and what it means."""

    name: str
    group: str
    unit: str
    meaning: str


CUES = (
    Cue("level", "level", "dBFS", "root mean square"),
    Cue("peak", "level", "dBFS", "largest magnitude"),
    Cue("clipped", "level", "share", "samples in flat runs at either extreme"),
    Cue("length", "duration", "s", "of the recording; of a window, what is heard before it is repeated"),
    Cue("active", "duration", "s", "frames well above the noise"),
    Cue("active_share", "duration", "share", "of the frames"),
    Cue("leading", "silence", "s", "before the first active frame"),
    Cue("trailing", "silence", "s", "after the last active frame"),
    Cue("band_edge", "band", "Hz", f"top of the highest band within {BAND_DEPTH_DB:.0f} dB of the strongest"),
    Cue("edge_drop", "band", "dB", "steepest fall from one 500 Hz to the next, above 3 kHz"),
    Cue("top", "band", "dB", "power of 7 to 7.8 kHz against 3 to 5 kHz"),
    Cue("bottom", "band", "dB", f"power below {_LOW_HZ:.0f} Hz against all"),
    Cue("tilt", "band", "dB/octave", "slope of the long-term spectrum, 125 Hz to 4 kHz"),
    Cue("noise", "noise", "dBFS", "level of the quietest tenth of the frames"),
    Cue("snr", "noise", "dB", "loud frames above the quietest tenth"),
    Cue("holes", "codec", "share", f"cells of active frames {HOLE_DB:.0f} dB below the mean of their band"),
    Cue("pre_echo", "codec", "dB", "rise in the 15 ms before onsets above 2 kHz"),
    Cue("zeros", "samples", "share", "samples that are exactly 0"),
    Cue("distinct", "samples", "share", "different sample values, of all samples"),
    Cue("step", "samples", "dBFS", "least step between two values"),
)
"""What is measured of the waveform."""

COLUMN_CUES = (
    Cue("source_rate", "manifest", "Hz", "column of the manifest: sampling rate of the source"),
    Cue("source_format", "manifest", "", "column of the manifest: format of the source"),
)
"""What the manifest says, where it does; a window does not show it."""

NAMES = tuple(cue.name for cue in CUES)


def measured(samples: Float32, heard_seconds: float | None = None) -> Float64:
    """Samples (N,) at 16 kHz, N > 0 -> the `CUES` (C,) in their order; NaN for what there is nothing to measure by.

    ``heard_seconds``: how much of it is not repetition (None: all). Silence has levels of -120 dBFS. What is shorter than
    a frame is as if it were followed by zeros.
    """
    x = np.ascontiguousarray(samples, np.float32)
    wide = x.astype(np.float64)
    level = math.sqrt(float(np.mean(wide**2)))
    peak = float(np.abs(x).max())
    frames = _frames(wide)
    powers = (frames**2).mean(1)
    decibels = 10 * np.log10(np.maximum(powers, 10 ** (FLOOR_DBFS / 10)))
    quiet, loud = (float(value) for value in np.percentile(decibels, (10, 95)))
    active = _active(decibels, quiet, loud)
    at = np.flatnonzero(active)
    frame_seconds = FRAME_SAMPLES / SAMPLE_RATE
    values: dict[str, float] = {
        "level": _dbfs(level),
        "peak": _dbfs(peak),
        "clipped": (flat_samples(x, float(x.max())) + flat_samples(-x, float(-x.min()))) / len(x) if peak else 0.0,
        "length": len(x) / SAMPLE_RATE if heard_seconds is None else heard_seconds,
        "active": float(active.sum()) * frame_seconds,
        "active_share": float(active.mean()),
        "leading": float(at[0]) * frame_seconds if len(at) else math.nan,
        "trailing": float(len(active) - 1 - at[-1]) * frame_seconds if len(at) else math.nan,
        "noise": quiet,
        "snr": loud - quiet,
        "pre_echo": _pre_echo_db(wide),
        "zeros": float((x == 0).mean()),
        **_of_spectrum(wide, active),
        **_of_values(x, peak),
    }
    return np.array([values[name] for name in NAMES])


def _frames(samples: Float64) -> Float64:
    """Samples (N,) -> whole frames (F, 320); a part of one at the end is left out unless it is all there is."""
    if len(samples) < FRAME_SAMPLES:
        samples = np.pad(samples, (0, FRAME_SAMPLES - len(samples)))
    return samples[: len(samples) // FRAME_SAMPLES * FRAME_SAMPLES].reshape(-1, FRAME_SAMPLES)


def _active(decibels: Float64, quiet: float, loud: float) -> NDArray[np.bool_]:
    """Which frames (F,) are active. Where loud and quiet are one, all are, unless it is silence."""
    threshold = max(quiet + ACTIVE_SHARE * (loud - quiet), loud - MOST_ACTIVE_DB)
    return np.asarray((decibels >= threshold) & (decibels > FLOOR_DBFS))


def _of_spectrum(samples: Float64, active: NDArray[np.bool_]) -> dict[str, float]:
    """What the spectra of active frames tell; NaN where there is none."""
    names = ("band_edge", "edge_drop", "top", "bottom", "tilt", "holes")
    starts = np.flatnonzero(active) * FRAME_SAMPLES
    if len(samples) < SPECTRUM_SAMPLES:
        samples = np.pad(samples, (0, SPECTRUM_SAMPLES - len(samples)))
    starts = starts[starts + SPECTRUM_SAMPLES <= len(samples)]
    if not len(starts):
        return dict.fromkeys(names, math.nan)
    frames = np.lib.stride_tricks.sliding_window_view(samples, SPECTRUM_SAMPLES)[starts].astype(np.float32)
    power = np.abs(np.fft.rfft(frames * _TAPER, axis=1)).astype(np.float64) ** 2
    mean = power.mean(0) + _EMPTY_POWER
    bins = round(BAND_HZ * SPECTRUM_SAMPLES / SAMPLE_RATE)
    cells = power[:, 1:].reshape(len(power), -1, bins).mean(2)
    bands = cells.mean(0) + _EMPTY_POWER
    used = np.flatnonzero(bands >= bands.max() * 10 ** (-BAND_DEPTH_DB / 10))
    decibels = 10 * np.log10(bands)
    # Two bands against the next two, from 3 kHz to the top.
    pairs = (decibels[:-1] + decibels[1:]) / 2
    first = round(_EDGES_FROM_HZ / BAND_HZ) - 1
    octaves = 10 * np.log10([_between(mean, low, high) for low, high in itertools.pairwise(_OCTAVES_HZ)])
    above = slice(round(1_000 / BAND_HZ), int(used[-1]) + 1)  # nothing is left out of an empty band
    holes = cells[:, above] < bands[above] * 10 ** (-HOLE_DB / 10)
    return {
        "band_edge": float(used[-1] + 1) * BAND_HZ,
        "edge_drop": float((pairs[first:-2] - pairs[first + 2 :]).max()),
        "top": _db(_between(mean, *_TOP_HZ) / _between(mean, *_MIDDLE_HZ)),
        "bottom": _db(mean[_HZ < _LOW_HZ].sum() / mean.sum()),
        "tilt": float(np.polyfit(np.arange(len(octaves)), octaves, 1)[0]),
        "holes": float(holes.mean()) if holes.size else math.nan,
    }


def _between(mean: Float64, low_hz: float, high_hz: float) -> float:
    """Mean power of the bins of a band."""
    return float(mean[(low_hz <= _HZ) & (high_hz > _HZ)].mean())


def _pre_echo_db(samples: Float64) -> float:
    """How much louder it is in the 15 ms before onsets than in the 30 ms before these, above some 2 kHz: the mean over
    the strongest onsets; NaN without one."""
    high = samples[2:] - 2 * samples[1:-1] + samples[:-2]  # 12 dB an octave
    whole = len(high) // _ONSET_FRAME_SAMPLES
    if whole < 12:
        return math.nan
    powers = (high[: whole * _ONSET_FRAME_SAMPLES].reshape(whole, -1) ** 2).mean(1)
    decibels = 10 * np.log10(powers + _EMPTY_POWER)
    # Frame t against the six frames (30 ms) that end three frames (15 ms) before it.
    smooth = np.convolve(decibels, np.full(6, 1 / 6), "valid")[: whole - 9]
    rise = decibels[9:] - smooth
    begun = np.flatnonzero((rise[1:] >= ONSET_DB) & (rise[:-1] < ONSET_DB)) + 1
    if not len(begun):
        return math.nan
    strongest = begun[np.argsort(-rise[begun], kind="stable")[:_ONSETS]]
    before = np.mean([decibels[strongest + 9 - back] for back in (1, 2, 3)], axis=0)
    return float((before - smooth[strongest]).mean())


def _of_values(samples: Float32, peak: float) -> dict[str, float]:
    """What the values of the samples tell of the steps they were rounded to."""
    distinct = np.unique(samples)
    steps = np.diff(distinct)
    steps = steps[steps > _LEAST_STEP * peak]
    return {
        "distinct": len(distinct) / len(samples),
        "step": _dbfs(float(steps.min())) if len(steps) else math.nan,
    }


def _dbfs(amplitude: float) -> float:
    return max(FLOOR_DBFS, 20 * math.log10(max(amplitude, 1e-30)))


def _db(ratio: Any) -> float:
    return 10 * math.log10(max(float(ratio), _EMPTY_POWER))


_TAPER = np.hanning(SPECTRUM_SAMPLES).astype(np.float32)
_HZ = np.fft.rfftfreq(SPECTRUM_SAMPLES, 1 / SAMPLE_RATE)
