"""Matching: a spoof beside its bona fide partner, equal in length, level, band edge, silence at the ends and noise beneath."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from aasist.corpus.engine import EngineError
from aasist.corpus.spectra import Float64, frames_of, hann, signal_of, spectra_of
from aasist.session import SAMPLE_RATE, Float32

FRAME = 320
"""20 ms, side by side: these tell speech from silence."""

SILENCE_DB, LEAST_SILENCE_DB = 40.0, 10.0
"""A frame is silent when it lies so far below the loud ones; over noise, nearer to the noise than to them, but no less."""

NEAR_NOISE = 0.35
"""So much of the way from the noise to the loud frames, in dB, still counts as noise."""

LOUD_PERCENTILE, NOISE_PERCENTILE = 95.0, 10.0
"""What counts as loud (a single click does not), and as noise."""

SIZE, HOP = 512, 256
"""Of long-term spectra: bins of 31.25 Hz."""

EDGE_DB = 15.0
"""A fall by so much within `_GAP` bins, with nothing above it, is the edge of a band."""

_GAP, _BELOW = 8, 8
_LOWEST_EDGE = 80
"""2.5 kHz: below, speech falls steeply by itself."""

CEILING = 0.99
MOST_GAIN_DB = 60.0

FADE = 160
"""10 ms where speech was cut off."""

PAUSE_DB = 22.0
"""Speech may be cut where it is so far below its loud frames."""

RUMBLE_HZ = 55.0
"""Below it no voice has anything."""

_QUIET_SHARE = 0.1
"""Without pauses, the noise is what the quietest tenth of the frames holds."""


def rms(samples: NDArray[np.floating]) -> float:
    """Root mean square, in float64; 0 of nothing."""
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


def frame_powers(samples: Float32) -> Float64:
    """Samples (N,) -> mean square of each frame (ceil(N / 320),); the last over what it has."""
    starts = np.arange(0, len(samples), FRAME)
    sums = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    return np.asarray(sums / np.diff(np.append(starts, len(samples))))


def sounding(samples: Float32) -> NDArray[np.bool_]:
    """Which frames (ceil(N / 320),) hold sound; none of pure zeros."""
    powers = frame_powers(samples)
    noise, loud = 10 * np.log10(np.percentile(powers, (NOISE_PERCENTILE, LOUD_PERCENTILE)) + 1e-20)
    depth = np.clip((1 - NEAR_NOISE) * (loud - noise), LEAST_SILENCE_DB, SILENCE_DB)
    return np.asarray((powers > 10 ** ((loud - depth) / 10)) & (powers > 0))


def active_rms(samples: Float32) -> float:
    """Root mean square over the sounding frames: silence around speech changes no level. 0 of pure zeros."""
    powers, mask = frame_powers(samples), sounding(samples)
    return float(np.sqrt(powers[mask].mean())) if mask.any() else 0.0


def silences(samples: Float32) -> tuple[int, int]:
    """Samples before the first and after the last sounding frame; all and none where nothing sounds."""
    frames = np.flatnonzero(sounding(samples))
    if not len(frames):
        return len(samples), 0
    return int(frames[0]) * FRAME, max(0, len(samples) - (int(frames[-1]) + 1) * FRAME)


def long_term_spectrum(samples: Float32) -> Float64:
    """Mean power at each bin (257,) over frames of 32 ms."""
    if len(samples) < SIZE:
        samples = np.pad(samples, (0, SIZE - len(samples)))
    return np.asarray(np.mean(np.abs(np.fft.rfft(frames_of(samples, SIZE, HOP) * hann(SIZE))) ** 2, axis=0))


def band_edge(spectrum: Float64) -> int | None:
    """The bin at which a long-term spectrum (257,) falls off and above which it never comes back; None: it reaches 8 kHz."""
    below = np.convolve(spectrum, np.full(_BELOW, 1 / _BELOW), "valid")  # [i]: mean of bins i to i + 7
    above = np.maximum.accumulate(spectrum[::-1])[::-1]  # [i]: most of what lies at i or higher
    for edge in range(_LOWEST_EDGE, len(spectrum) - _GAP):
        if above[edge + _GAP] < below[edge - _BELOW] * 10 ** (-EDGE_DB / 10):
            return edge
    return None


def within_band(samples: Float32, partner: Float32) -> Float32:
    """``samples`` with no more above the partner's band edge than the partner has there; as they are without such an edge.

    A recording that was once MP3, telephone or 11 kHz ends in a hole, which no vocoder leaves as it is.
    """
    target = long_term_spectrum(partner)
    edge = band_edge(target)
    if edge is None:
        return samples
    for _ in range(2):  # what leaks over the edge of the first is caught by the second
        gains = np.ones(len(target))
        gains[edge:] = np.sqrt(np.minimum(1.0, target / np.maximum(long_term_spectrum(samples), 1e-20)))[edge:]
        spectra = spectra_of(samples, SIZE, SIZE // 4) * gains
        samples = signal_of(spectra, SIZE, SIZE // 4, len(samples)).astype(np.float32)
    return samples


def band_limited(samples: Float32, rate_hz: int) -> Float32:
    """As if they had gone through ``rate_hz``: nothing from its Nyquist frequency on. What bona fide partners of narrow
    engines get."""
    from aasist.corpus.spectra import resampled

    slow = resampled(samples, SAMPLE_RATE, rate_hz)
    return fitted(resampled(slow, rate_hz, SAMPLE_RATE), len(samples))


def fitted(samples: Float32, count: int) -> Float32:
    """The first ``count`` samples, with zeros behind where there are fewer."""
    return np.pad(samples[:count], (0, max(0, count - len(samples))))


def require_sound(samples: NDArray[np.floating]) -> Float32:
    """The samples as float32 (N,); `EngineError` for what is no sound: another shape, NaN, silence."""
    out = np.asarray(samples, dtype=np.float32)
    if out.ndim != 1 or not len(out):
        raise EngineError(f"expected samples (N,), got the shape {out.shape}")
    if not np.all(np.isfinite(out)):
        raise EngineError("it made samples that are NaN or infinite")
    if rms(out) < 1e-6:
        raise EngineError("it made silence")
    return out


def matched_copy(copy: Float32, partner: Float32) -> Float32:
    """A copy (N,) of the partner (N,), within its band and as loud; `EngineError` where it would clip.

    Below `RUMBLE_HZ` it is the partner: what lies there is the room and the mains, and vocoders differ in what they make
    of it for no reason of theirs.
    """
    inside = without_rumble(within_band(require_sound(copy), partner))
    voice = without_rumble(partner)
    return require_unclipped(inside * np.float32(rms(voice) / max(rms(inside), 1e-9)) + (partner - voice))


def without_rumble(samples: Float32) -> Float32:
    """Samples (N,) with nothing below `RUMBLE_HZ`.

    Followed by their mirror image for it, so that an end in speech does not ring at the beginning.
    """
    mirrored = np.concatenate((samples, samples[::-1]))
    spectrum = np.fft.rfft(mirrored)
    spectrum[: int(np.ceil(RUMBLE_HZ * len(mirrored) / SAMPLE_RATE))] = 0.0
    return np.fft.irfft(spectrum, len(mirrored))[: len(samples)].astype(np.float32)


@dataclass(frozen=True)
class Cast:
    """What speech beside a partner is poured into: ``lead`` and ``trail`` samples of silence, ``body`` between them."""

    lead: int
    body: int
    trail: int


def cast_of(partner: Float32) -> Cast:
    """The partner's own silences, and what lies between them."""
    lead, trail = silences(partner)
    return Cast(lead, len(partner) - lead - trail, trail)


def matched_speech(speech: Float32, partner: Float32, random: np.random.Generator) -> Float32:
    """Speech of a synthesizer as long as its partner (N,), with its silences, its level, its band and its noise.

    Where the partner begins or ends in speech, so does this; where it ends in silence, this ends in a pause, or fades out.
    """
    cast = cast_of(partner)
    body = _poured(_trimmed(require_sound(speech)), cast, random)
    body = within_band(body, partner)
    noise = noise_like(partner, random)
    voice = np.zeros(len(partner), np.float32)
    voice[cast.lead : cast.lead + cast.body] = body
    wanted = active_rms(partner)
    gain = wanted / max(active_rms(voice), 1e-9)
    for _ in range(3):  # the noise adds to the level, the less the louder the voice
        gain *= wanted / max(active_rms(np.float32(gain) * voice + noise), 1e-9)
    rumble = partner - without_rumble(partner)
    return require_unclipped(without_rumble(np.float32(gain) * voice + noise) + rumble)


def require_unclipped(samples: Float32) -> Float32:
    """The samples; `EngineError` where they would not fit into full scale."""
    peak = float(np.max(np.abs(samples)))
    if peak > CEILING:
        raise EngineError(f"as loud as its partner it would clip (peak {peak:.2f}): lower span.peak")
    return samples


def noise_like(partner: Float32, random: np.random.Generator) -> Float32:
    """Noise (N,) with the long-term spectrum of the partner's pauses."""
    spectra = np.abs(spectra_of(partner, SIZE, HOP)) ** 2
    mask = sounding(partner)
    # A frame of 32 ms is quiet when every 20 ms that it touches is.
    centres = np.clip((np.arange(len(spectra)) * HOP - SIZE // 2) // FRAME, 0, len(mask) - 1)
    inside = (np.arange(len(spectra)) * HOP >= SIZE) & ((np.arange(len(spectra)) + 2) * HOP <= len(partner) + SIZE)
    loud = mask | np.roll(mask, 1) | np.roll(mask, -1)
    quiet = np.flatnonzero(inside & ~loud[centres])
    if len(quiet) < 3:
        rows = np.flatnonzero(inside) if inside.any() else np.arange(len(spectra))
        powers = spectra[rows].sum(axis=1)
        quiet = rows[np.argsort(powers, kind="stable")[: max(1, round(_QUIET_SHARE * len(rows)))]]
    shape = np.sqrt(spectra[quiet].mean(axis=0) / (hann(SIZE) ** 2).sum())
    white = random.standard_normal(len(partner))
    return signal_of(spectra_of(white, SIZE, HOP) * shape, SIZE, HOP, len(partner)).astype(np.float32)


def _trimmed(speech: Float32) -> Float32:
    lead, trail = silences(speech)
    return speech[lead : len(speech) - trail]


def _poured(speech: Float32, cast: Cast, random: np.random.Generator) -> Float32:
    """Trimmed speech -> (body,): said again where it is too short, cut where it is too long.

    A part of it that begins after a pause, or at the beginning, where the partner begins in silence, and that ends in a
    pause where the partner ends in silence, the nearest in length that there is; anywhere in speech otherwise.
    """
    if len(speech) < SAMPLE_RATE // 5:
        raise EngineError(f"it said only {len(speech) / SAMPLE_RATE:.2f} s")
    while len(speech) < cast.body + SAMPLE_RATE // 2:
        speech = np.concatenate((speech, np.zeros(SAMPLE_RATE // 5, np.float32), speech))
    powers, mask = frame_powers(speech), sounding(speech)
    frames, latest = -(-cast.body // FRAME), (len(speech) - cast.body) // FRAME
    begins = np.flatnonzero(mask[: latest + 1])
    if cast.lead >= FRAME:
        after_pause = [frame for frame in begins.tolist() if frame == 0 or not mask[max(0, frame - 3) : frame].any()]
        begins = np.array(after_pause or [0])
    if cast.trail < FRAME:
        start = int(random.choice(begins))
        return speech[start * FRAME : start * FRAME + cast.body].copy()
    # Frames that are the first of a pause.
    quiet = powers < np.percentile(powers, LOUD_PERCENTILE) * 10 ** (-PAUSE_DB / 10)
    pauses = np.append(np.flatnonzero(quiet & ~np.append(False, quiet[:-1])), len(powers))
    ends = pauses[np.searchsorted(pauses, begins + frames, side="right") - 1]
    short = np.where(ends > begins, begins + frames - ends, frames)
    start = int(begins[np.argmin(short)])
    end = start + frames - int(short.min()) if short.min() < frames else start + frames
    body = np.zeros(cast.body, np.float32)
    part = speech[start * FRAME : min(end * FRAME, start * FRAME + cast.body)]
    body[: len(part)] = part
    fade = min(FADE, len(part))
    body[len(part) - fade : len(part)] *= np.linspace(1.0, 0.0, fade, dtype=np.float32)
    return body
