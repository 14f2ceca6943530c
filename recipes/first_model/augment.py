"""Degradations of a clip, each seeded; the same draw can be given to both members of a pair."""

from __future__ import annotations

import io
from collections.abc import Callable

import av
import numpy as np
import soxr

Waveform = np.ndarray
RATE = 16000


def equaliser(x: Waveform, rng: np.random.Generator) -> Waveform:
    """A smooth random frequency response, up to about 8 dB: microphones, rooms, page-specific mastering."""
    spectrum = np.fft.rfft(x)
    knots = rng.normal(0.0, 4.0, 9)
    gain_db = np.interp(np.linspace(0, 1, len(spectrum)), np.linspace(0, 1, 9) ** 1.5, knots)
    return np.fft.irfft(spectrum * 10 ** (gain_db / 20), len(x)).astype(np.float32)


def band_limit(x: Waveform, rng: np.random.Generator) -> Waveform:
    """A low-pass at 3.2 to 7.9 kHz, sometimes with a telephone's high-pass."""
    spectrum = np.fft.rfft(x)
    hertz = np.fft.rfftfreq(len(x), 1 / RATE)
    top = rng.uniform(3200, 7900)
    gain = 1 / (1 + np.exp((hertz - top) / rng.uniform(20, 150)))
    if rng.random() < 0.3:
        gain *= 1 / (1 + np.exp((rng.uniform(100, 350) - hertz) / 20))
    return np.fft.irfft(spectrum * gain, len(x)).astype(np.float32)


def resample(x: Waveform, rng: np.random.Generator) -> Waveform:
    """There and back through another rate, as the pages' own conversions do."""
    rate = int(rng.choice([8000, 11025, 12000, 22050, 24000, 32000, 44100]))
    quality = str(rng.choice(["LQ", "MQ", "HQ"]))
    return fitted(soxr.resample(soxr.resample(x, RATE, rate, quality), rate, RATE, quality), len(x))


def mu_law(x: Waveform, rng: np.random.Generator) -> Waveform:
    """G.711 over 8 kHz: a telephone."""
    narrow = soxr.resample(x, RATE, 8000)
    narrow = narrow / (np.abs(narrow).max() + 1e-9) * rng.uniform(0.1, 1.0)
    coded = np.round(127 * np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256))
    decoded = np.sign(coded) * np.expm1(np.abs(coded) / 127 * np.log(256)) / 255
    return fitted(soxr.resample(decoded.astype(np.float32), 8000, RATE), len(x))


def codec(x: Waveform, rng: np.random.Generator) -> Waveform:
    """MP3, AAC or Opus at a speech bit rate, through FFmpeg."""
    name, container, rate = [("libmp3lame", "mp3", 16000), ("aac", "adts", 16000), ("libopus", "ogg", 16000)][
        rng.integers(3)
    ]
    kilobits = int(rng.choice([16, 24, 32, 48, 64, 96] if name == "libopus" else [24, 32, 48, 64, 96]))
    return fitted(coded(x, name, container, rate, kilobits), len(x))


def coded(x: Waveform, name: str, container: str, rate: int, kilobits: int) -> Waveform:
    """Waveform at 16 kHz -> encoded and decoded at ``rate`` -> 16 kHz, the encoder's delay cut off."""
    peak = float(np.abs(x).max()) + 1e-9
    scaled = (np.clip(x / peak * 0.7, -1, 1) * 32767).astype(np.int16)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(name, rate=rate, layout="mono")
        stream.bit_rate = kilobits * 1000
        frame = av.AudioFrame.from_ndarray(scaled[None], format="s16", layout="mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(stream.format, "mono", rate, frame_size=stream.codec_context.frame_size or None)
        for part in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    buffer.seek(0)
    resampler = av.AudioResampler("flt", "mono", RATE)
    with av.open(buffer, format=container if container != "adts" else "aac") as coded_file:
        parts = [p.to_ndarray()[0] for f in coded_file.decode(audio=0) for p in resampler.resample(f)]
        parts += [p.to_ndarray()[0] for p in resampler.resample(None)]
    decoded = np.concatenate(parts)
    # An ADTS stream says nothing of the encoder's delay; MP3 and Ogg do, and FFmpeg cuts it off.
    return (decoded[1024:] if container == "adts" else decoded) * (peak / 0.7)


def noise(x: Waveform, rng: np.random.Generator, noises: list[Waveform]) -> Waveform:
    """White, coloured or recorded noise at 8 to 40 dB."""
    kind = rng.random()
    if kind < 0.5 and noises:
        source = noises[rng.integers(len(noises))]
        start = rng.integers(len(source))
        n = np.resize(np.roll(source, -start)[: len(x)], len(x))
    else:
        spectrum = np.fft.rfft(rng.normal(size=len(x)))
        spectrum *= np.maximum(np.arange(len(spectrum)), 20.0) ** -rng.uniform(0, 1)
        n = np.fft.irfft(spectrum, len(x))
    ratio = 10 ** (-rng.uniform(8, 40) / 20)
    return (x + n * (ratio * rms(x) / rms(n))).astype(np.float32)


def reverb(x: Waveform, rng: np.random.Generator, responses: list[Waveform]) -> Waveform:
    """A recorded room response, aligned to its strongest reflection."""
    response = responses[rng.integers(len(responses))]
    response = response[max(int(np.argmax(np.abs(response))) - 16, 0) :][: RATE // 2]
    size = len(x) + len(response)
    wet = np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(response, size), size)[: len(x)]
    wet *= rms(x) / rms(wet)
    return (x + rng.uniform(0.2, 1.0) * (wet - x)).astype(np.float32)


def clip(x: Waveform, rng: np.random.Generator) -> Waveform:
    """Saturation of the loudest samples."""
    top = np.quantile(np.abs(x), rng.uniform(0.97, 0.9995))
    return np.clip(x, -top, top)


def quantise(x: Waveform, rng: np.random.Generator) -> Waveform:
    """Fewer bits: 8 to 14 over the peak."""
    step = np.abs(x).max() / 2 ** rng.uniform(7, 13) + 1e-9
    return (np.round(x / step) * step).astype(np.float32)


def rms(x: Waveform) -> float:
    """Root mean square, never zero."""
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))) + 1e-9)


def fitted(x: Waveform, length: int) -> Waveform:
    """Cut or padded at the end to ``length``."""
    return x[:length] if len(x) >= length else np.pad(x, (0, length - len(x)))


class Degrade:
    """A random chain of degradations; the order is that of a recording's life: room, noise, level, channel, codec."""

    def __init__(self, noises: list[Waveform], responses: list[Waveform]) -> None:
        self.steps: list[tuple[float, Callable[[Waveform, np.random.Generator], Waveform]]] = [
            (0.15 if responses else 0.0, lambda x, rng: reverb(x, rng, responses)),
            (0.4, equaliser),
            (0.35, lambda x, rng: noise(x, rng, noises)),
            (0.1, clip),
            (0.3, band_limit),
            (0.25, resample),
            (0.08, mu_law),
            (0.15, codec),
            (0.1, quantise),
        ]

    def __call__(self, x: Waveform, rng: np.random.Generator) -> Waveform:
        for probability, step in self.steps:
            # A generator of its own for each step, so that a pair with one seed gets one chain whatever a step draws.
            own = np.random.default_rng(rng.integers(2**63))
            if own.random() < probability:
                x = step(x, own)
        return np.nan_to_num(x).astype(np.float32)
