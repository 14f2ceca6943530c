"""What a recording goes through on its way: level, band, noise, room, loudspeaker and speed. NumPy and soxr only.

Every function takes samples (N,) float32, finite, mono at 16 kHz, N of 1 or more, and gives the same without touching
its input; whatever is random is drawn from the generator given.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aasist.audio.encode import ChannelCodec, coded_at_rate, converted
from aasist.session import SAMPLE_RATE, Float32

Float64 = NDArray[np.float64]

FRAME_SAMPLES = SAMPLE_RATE // 50
"""Frames of 20 ms, side by side, tell sound from silence."""

SILENCE_DB = 40.0
"""A frame is silent when its power lies this far, or further, below that of the loudest frame."""

TELEPHONE_HZ = (300.0, 3_400.0)
"""The band of a telephone, as in ITU-T G.712."""

PINK_FROM_HZ = 50.0
"""Pink noise falls by 3 dB an octave from here up and holds nothing below."""

LOUDSPEAKER_HZ = (180.0, 7_000.0)
"""The band of a small loudspeaker: a telephone's, a laptop's."""

_DRIVE = 1.5
_ASYMMETRY = 0.15
"""How far the loudspeaker is driven into its tanh, and how much of a square goes with it (even harmonics)."""


def power(samples: Float32 | Float64) -> float:
    """Mean square, in float64."""
    return float(np.mean(np.square(samples, dtype=np.float64)))


def sounding_frames(samples: Float32) -> NDArray[np.bool_]:
    """Samples (N,) -> which frames (ceil(N / 320),) are less than `SILENCE_DB` below the loudest; none of pure zeros.

    The last frame may be a short one: its power is the mean over what it has.
    """
    starts = np.arange(0, len(samples), FRAME_SAMPLES)
    energies = np.add.reduceat(np.square(samples, dtype=np.float64), starts)
    powers = energies / np.diff(np.append(starts, len(samples)))
    return np.asarray(powers > powers.max() * 10 ** (-SILENCE_DB / 10))


def active_power(samples: Float32) -> float:
    """Mean square over the sounding frames, so that silence around speech changes no level; 0 for pure zeros.

    The idea of the active speech level (ITU-T P.56), with frames in place of an envelope.
    """
    mask = np.repeat(sounding_frames(samples), FRAME_SAMPLES)[: len(samples)]
    return power(samples[mask]) if mask.any() else 0.0


def without_outer_silence(samples: Float32) -> Float32:
    """From the first sounding frame to the end of the last; pure zeros stay as they are.

    Silence at the ends betrays the corpus rather than the synthesis (Müller et al., "Speech is Silver, Silence is
    Golden", ASVspoof workshop 2021): what a countermeasure knows from it is gone here.
    """
    sounding = np.flatnonzero(sounding_frames(samples))
    if not len(sounding):
        return samples.copy()
    return samples[sounding[0] * FRAME_SAMPLES : (sounding[-1] + 1) * FRAME_SAMPLES].copy()


def amplified(samples: Float32, gain_db: float) -> Float32:
    """Times ``gain_db``, then clipped at full scale, as converters and 16-bit files do."""
    return np.asarray(np.clip(samples * np.float32(10 ** (gain_db / 20)), -1.0, 1.0), np.float32)


def band_passed(samples: Float32, rate_hz: int, low_hz: float, high_hz: float) -> Float32:
    """Only ``low_hz`` to ``high_hz``, without delay: half-cosine edges of 100 Hz below and 200 Hz above the band."""
    size = _fft_size(len(samples) + rate_hz // 10)  # room for the ringing, which must not come round to the start
    hertz = np.fft.rfftfreq(size, 1 / rate_hz)
    rise = np.clip((hertz - low_hz + 100.0) / 100.0, 0.0, 1.0)
    fall = np.clip((high_hz + 200.0 - hertz) / 200.0, 0.0, 1.0)
    gain = np.sin(rise * np.pi / 2) ** 2 * np.sin(fall * np.pi / 2) ** 2
    spectrum = np.fft.rfft(samples.astype(np.float64), size) * gain
    return np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)


def telephoned(samples: Float32, codec: ChannelCodec) -> Float32:
    """A telephone call: 8 kHz, the telephone's band before the codec and, against its noise, behind it."""
    narrow = band_passed(converted(samples, SAMPLE_RATE, codec.rate_hz), codec.rate_hz, *TELEPHONE_HZ)
    received = band_passed(coded_at_rate(narrow, codec), codec.rate_hz, *TELEPHONE_HZ)
    return converted(received, codec.rate_hz, SAMPLE_RATE, fit=samples)


def resampled_through(samples: Float32, rate_hz: int) -> Float32:
    """To ``rate_hz`` and back."""
    return converted(converted(samples, SAMPLE_RATE, rate_hz), rate_hz, SAMPLE_RATE, fit=samples)


def at_speed(samples: Float32, factor: float) -> Float32:
    """Played ``factor`` times as fast: (round(N / factor),); pitch and formants move with it (Ko et al., 2015)."""
    return converted(samples, round(SAMPLE_RATE * factor), SAMPLE_RATE)


def beginning(samples: Float32, seconds: float) -> Float32:
    """The first ``seconds``, or all of a shorter recording."""
    return samples[: max(1, round(seconds * SAMPLE_RATE))].copy()


def pink_noise(length: int, rng: np.random.Generator) -> Float64:
    """(length,): power 1 / f from `PINK_FROM_HZ` up, seeded; its level is arbitrary."""
    size = _fft_size(max(length, SAMPLE_RATE))  # short noise is cut from long: a few bins would be no spectrum
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    gain = np.where(hertz >= PINK_FROM_HZ, 1 / np.sqrt(np.maximum(hertz, PINK_FROM_HZ)), 0.0)
    return np.asarray(np.fft.irfft(np.fft.rfft(rng.standard_normal(size)) * gain, size)[:length])


def excerpt(noise: Float32, length: int, rng: np.random.Generator) -> Float64:
    """(length,) of a recorded ``noise`` from a random sample on, which is followed round its end."""
    return np.resize(np.roll(noise.astype(np.float64), -int(rng.integers(len(noise)))), length)


def with_noise(samples: Float32, noise: Float64, snr_db: float) -> Float32:
    """``noise`` (N,) added ``snr_db`` below the speech: the speech's power over its sounding frames, the noise's over
    all. Neither pure zeros nor a silent noise change anything; sums beyond full scale are not clipped."""
    noise_power = power(noise)
    scale = np.sqrt(active_power(samples) / noise_power * 10 ** (-snr_db / 10)) if noise_power else 0.0
    return (samples + scale * noise).astype(np.float32)


def room_response(rng: np.random.Generator, t60_seconds: float, direct_to_reverberant_db: float) -> Float64:
    """A synthetic response of a room (1.2 * T60,): the direct sound 1.0 at sample 0, then noise that falls by 60 dB in
    ``t60_seconds``, from 2.5 ms on and with the stated energy (Polack's statistical model of late reverberation)."""
    length = round(1.2 * t60_seconds * SAMPLE_RATE)
    seconds = np.arange(length) / SAMPLE_RATE
    tail = rng.standard_normal(length) * 10 ** (-3 * seconds / t60_seconds)
    tail[: SAMPLE_RATE // 400] = 0.0
    response: Float64 = tail * np.sqrt(10 ** (-direct_to_reverberant_db / 10) / np.sum(tail**2))
    response[0] = 1.0
    return response


def in_room(samples: Float32, response: Float64) -> Float32:
    """Samples heard through ``response``, as long and as loud as before, in time with its strongest arrival; what
    rings on after the end is cut off."""
    size = _fft_size(len(samples) + len(response))
    wet = np.fft.irfft(np.fft.rfft(samples.astype(np.float64), size) * np.fft.rfft(response, size), size)
    wet = wet[int(np.abs(response).argmax()) :][: len(samples)]
    wet_power = power(wet)
    return (wet * (np.sqrt(power(samples) / wet_power) if wet_power else 0.0)).astype(np.float32)


def played_by_loudspeaker(samples: Float32) -> Float32:
    """A small loudspeaker played up to its limit: soft clipping with odd and some even harmonics, then its band."""
    peak = float(np.abs(samples).max())
    if not peak:
        return samples.copy()
    drive = _DRIVE * samples.astype(np.float64) / peak
    bent = np.tanh(drive + _ASYMMETRY * drive**2) * (peak / _DRIVE)
    return band_passed(bent.astype(np.float32), SAMPLE_RATE, *LOUDSPEAKER_HZ)


def replayed(samples: Float32, response: Float64, rng: np.random.Generator) -> Float32:
    """A replay attack's way: loudspeaker, room, the noise of a microphone (white, 30 dB SNR), and its level, 0 to 12 dB
    below the original's, drawn evenly."""
    heard = in_room(played_by_loudspeaker(samples), response)
    recorded = with_noise(heard, rng.standard_normal(len(heard)), 30.0)
    level = active_power(recorded)
    wanted = active_power(samples) * 10 ** (-rng.uniform(0.0, 12.0) / 10)
    return amplified(recorded, 10 * np.log10(wanted / level) if level and wanted else 0.0)


def _fft_size(length: int) -> int:
    """A power of two that holds ``length``: fast, and the same whatever the length's factors."""
    return 1 << max(length - 1, 1).bit_length()
