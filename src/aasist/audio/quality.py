"""How fit a recording is to be judged: levels, noise, clipping, bandwidth, and the rules drawn from them."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from aasist.audio.levels import FLOOR_DBFS, SourceLevels
from aasist.audio.silero import CHUNK_SAMPLES
from aasist.audio.speech import Mask, chunk_powers
from aasist.session import SAMPLE_RATE, Float32

Values = TypeVar("Values", Float32, Mask)

MIN_SPEECH_SECONDS = 1.0
"""Less speech than this is a word or two: a quarter of the model's window, the rest of it repetition."""

SILENCE_DBFS = -60.0
"""A peak below this is the hiss of an open input: 10 bits of a 16-bit recording are unused."""

CLIPPED_UNDECIDED = 0.10
"""Of the speech samples. Above it every loud vowel is a square wave, whose harmonics hide a vocoder's traces."""

CLIPPED_WARNING = 0.01
"""Of the speech samples. Below it only single peaks are flat; 8-bit and mu-law sources reach half of it unclipped."""

NOISY_UNDECIDED_DB = 0.0
"""The noise is as loud as the speech: what the model would score is mostly noise."""

NOISY_WARNING_DB = 10.0
"""Noise is plainly heard, and covers the quiet parts that tell synthesis from recording."""

NARROW_BAND_HZ = 4_500.0
"""Telephone audio ends at 3.4 or 4 kHz; AMR-WB and 16 kHz recordings reach 6.4 kHz or more."""

OVER_SCALE_DBFS = 6.0
"""Lossy coding overshoots full scale by a few dB; more is float audio on another scale."""

_DIGITAL_SILENCE_POWER = 1e-9
"""-90 dBFS: chunks below it are padding or a muted line and say nothing about the noise in the speech."""

_MIN_NOISE_CHUNKS = 10
"""Pauses (0.3 s) needed to trust them as a sample of the noise."""

_QUIET_SPEECH_PERCENTILE = 10.0
"""The quietest speech chunks bound the noise from above: they hold it and little else."""

_MAX_SNR_DB = 80.0

_BAND_HZ = 250.0
_BAND_DEPTH_DB = 60.0
"""A band counts as used while it is within this of the strongest: wide-band speech falls by 40 to 50 dB towards
7 kHz, a resampler's stop band or 16-bit rounding lies 70 dB down or more."""

_SPECTRUM_STRIDE = 4
"""Every fourth speech chunk is enough for a long-term spectrum."""


@dataclass(frozen=True)
class Quality:
    """What was measured. Levels are dB against full scale (1.0), `FLOOR_DBFS` at the least; None: nothing to measure.

    ``peak_dbfs`` and ``clipped_fraction`` (of the samples in speech, [0, 1]) are of the source, before mixing and
    resampling; levels, ``snr_db`` (limited to +-80) and ``bandwidth_hz`` (highest band in use, at most 8,000) of the
    16 kHz mono audio. ``truncated``: less came than the file promised, or part of it was damaged.
    """

    peak_dbfs: float
    speech_level_dbfs: float | None
    noise_level_dbfs: float | None
    snr_db: float | None
    clipped_fraction: float
    bandwidth_hz: float | None
    truncated: bool


@dataclass(frozen=True)
class Finding:
    """A remark on a recording: a stable code for programs and one line for people."""

    code: str
    message: str


class QualityMeter:
    """Meters the 16 kHz audio of one recording together with its speech mask; 8 bytes are kept for each 32 ms."""

    def __init__(self, *, recent_chunks: int | None = None) -> None:
        """``recent_chunks``: take levels and noise of the last so many chunks alone, in memory for twice as many."""
        self._recent_chunks = recent_chunks
        self._powers: list[Float32] = []
        self._masks: list[Mask] = []
        self._chunks = 0
        self._spoken_chunks = 0
        self._spectrum: NDArray[np.float64] = np.zeros(CHUNK_SAMPLES // 2 + 1)
        self._spectra = 0
        self._taper = np.hanning(CHUNK_SAMPLES).astype(np.float32)

    def push(self, samples: Float32, speech: Mask) -> None:
        """Samples (n,) that start on a chunk, and the mask (ceil(n / 512),) of their chunks."""
        self._powers.append(chunk_powers(samples))
        self._masks.append(speech)
        self._chunks += len(speech)
        self._spoken_chunks += int(speech.sum())
        if self._recent_chunks is not None and self._chunks > 2 * self._recent_chunks:
            self._powers, self._masks = [self._recent(self._powers)], [self._recent(self._masks)]
            self._chunks = len(self._masks[0])
        whole = len(samples) // CHUNK_SAMPLES
        chunks = samples[: whole * CHUNK_SAMPLES].reshape(whole, CHUNK_SAMPLES)[speech[:whole]][::_SPECTRUM_STRIDE]
        self._spectrum += (np.abs(np.fft.rfft(chunks * self._taper, axis=1)) ** 2).sum(axis=0)
        self._spectra += len(chunks)

    def quality(self, source: SourceLevels, duration_seconds: float) -> Quality:
        """The figures over everything pushed so far, joined with those of the source."""
        powers = self._recent([np.zeros(0, np.float32), *self._powers]).astype(np.float64)
        speech = self._recent([np.zeros(0, np.bool_), *self._masks])
        spoken = float(powers[speech].mean()) if speech.any() else None
        noise = _noise_power(powers, speech)
        spoken_seconds = self._spoken_chunks * CHUNK_SAMPLES / SAMPLE_RATE
        speech_share = spoken_seconds / duration_seconds if duration_seconds else 0.0
        # Clipped samples are loud ones: they lie in the speech, however much silence surrounds it.
        spoken_samples = source.samples * (min(1.0, speech_share) or 1.0)
        return Quality(
            peak_dbfs=source.peak_dbfs,
            speech_level_dbfs=None if spoken is None else _dbfs(spoken),
            noise_level_dbfs=None if noise is None else _dbfs(noise),
            snr_db=None if spoken is None or noise is None else _snr_db(spoken, noise),
            clipped_fraction=min(1.0, source.clipped_samples / spoken_samples) if spoken_samples else 0.0,
            bandwidth_hz=self._bandwidth_hz(),
            truncated=source.truncated,
        )

    def _recent(self, parts: list[Values]) -> Values:
        """The last chunks of ``parts``, as many as count."""
        joined = np.concatenate(parts)
        return joined if self._recent_chunks is None else joined[-self._recent_chunks :].copy()

    def _bandwidth_hz(self) -> float | None:
        """Upper edge of the highest band within `_BAND_DEPTH_DB` of the strongest, over the speech chunks."""
        if not self._spectra or not self._spectrum.any():
            return None
        bins = round(_BAND_HZ / (SAMPLE_RATE / CHUNK_SAMPLES))
        bands = self._spectrum[1:].reshape(-1, bins).sum(axis=1)
        used = np.flatnonzero(bands >= bands.max() * 10 ** (-_BAND_DEPTH_DB / 10))
        return float((used[-1] + 1) * _BAND_HZ)


def _noise_power(powers: NDArray[np.float64], speech: Mask) -> float | None:
    """Mean square of the noise under the speech: the median of the pauses, or less where even the quietest speech is
    quieter (pauses may hold music or applause that the speech does not)."""
    candidates = []
    pauses = powers[~speech & (powers > _DIGITAL_SILENCE_POWER)]
    if len(pauses) >= _MIN_NOISE_CHUNKS:
        candidates.append(float(np.median(pauses)))
    if speech.any():
        candidates.append(float(np.percentile(powers[speech], _QUIET_SPEECH_PERCENTILE)))
    return min(candidates, default=None)


def _snr_db(spoken: float, noise: float) -> float:
    """Speech over noise in dB; ``spoken`` still holds the noise."""
    ratio = max(spoken - noise, 0.0) / max(noise, 1e-30)
    return float(np.clip(10.0 * np.log10(max(ratio, 1e-30)), -_MAX_SNR_DB, _MAX_SNR_DB))


def _dbfs(power: float) -> float:
    return max(FLOOR_DBFS, 10.0 * float(np.log10(max(power, 1e-30))))


def judge(quality: Quality, speech_seconds: float) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    """(warnings, reasons why the recording cannot be decided on); a finding is in one of the two, never in both."""
    if quality.peak_dbfs < SILENCE_DBFS:
        return _truncation(quality), (Finding("silence", f"nothing above {SILENCE_DBFS:.0f} dBFS was recorded"),)
    if speech_seconds == 0:
        return _truncation(quality), (Finding("no_speech", "no speech was found"),)

    warnings, undecided = list(_truncation(quality)), []
    if speech_seconds < MIN_SPEECH_SECONDS:
        undecided.append(
            Finding("little_speech", f"{speech_seconds:.1f} s of speech; {MIN_SPEECH_SECONDS:.0f} s is needed")
        )
    if quality.clipped_fraction > CLIPPED_WARNING:
        severe = quality.clipped_fraction > CLIPPED_UNDECIDED
        finding = Finding("clipped", f"{quality.clipped_fraction:.0%} of the speech is clipped")
        (undecided if severe else warnings).append(finding)
    if quality.snr_db is not None and quality.snr_db < NOISY_WARNING_DB:
        severe = quality.snr_db < NOISY_UNDECIDED_DB
        finding = Finding("noisy", f"the speech is only {quality.snr_db:.0f} dB above the noise")
        (undecided if severe else warnings).append(finding)
    if quality.bandwidth_hz is not None and quality.bandwidth_hz <= NARROW_BAND_HZ:
        warnings.append(Finding("narrow_band", f"nothing above {quality.bandwidth_hz:,.0f} Hz: a telephone band"))
    if quality.peak_dbfs > OVER_SCALE_DBFS:
        warnings.append(Finding("over_scale", f"samples reach {quality.peak_dbfs:.0f} dB above full scale"))
    return tuple(warnings), tuple(undecided)


def _truncation(quality: Quality) -> tuple[Finding, ...]:
    if not quality.truncated:
        return ()
    return (Finding("truncated", "the file is cut off or damaged; what could be decoded was judged"),)
