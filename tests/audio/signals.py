"""Signals and encoded files that the audio tests share, made on the spot."""

import io

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

Signal = NDArray[np.float32]


def sine(rate: int, seconds: float, hz: float = 440.0, level: float = 0.5) -> Signal:
    """(N,) float32."""
    return (level * np.sin(2 * np.pi * hz * np.arange(round(rate * seconds)) / rate)).astype(np.float32)


def voiced(rate: int = 16_000, seconds: float = 1.5, seed: int = 0) -> Signal:
    """Glottal pulses with a moving pitch through three formants, swelling in syllables, over faint noise: (N,)."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(rate * seconds)) / rate
    pitch_hz = 120 + 25 * np.sin(2 * np.pi * 0.8 * time)
    phase = np.cumsum(pitch_hz) / rate
    source = np.diff(np.floor(phase), prepend=0.0) + 0.01 * rng.standard_normal(len(time))
    spectrum, frequencies = np.fft.rfft(source), np.fft.rfftfreq(len(time), 1 / rate)
    formants = sum(1 / (1 + ((frequencies - hz) / width) ** 2) for hz, width in ((650, 60), (1150, 90), (2500, 150)))
    speech = np.fft.irfft(spectrum * (formants + 0.02), len(time)) * (0.35 + 0.65 * np.sin(2 * np.pi * 2 * time) ** 2)
    return (0.5 * speech / np.abs(speech).max() + 1e-4 * rng.standard_normal(len(time))).astype(np.float32)


def written(samples: Signal, rate: int, file_format: str, subtype: str | None = None) -> bytes:
    """One file written by libsndfile; (N,) or (N, C)."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=file_format, subtype=subtype)
    return file.getvalue()


def encoded(
    samples: Signal,
    rate: int,
    container: str,
    codec: str,
    *,
    coded_rate: int | None = None,
    bit_rate: int | None = None,
) -> bytes:
    """One file encoded by FFmpeg from mono samples; skips the test, visibly, where this build has no such encoder."""
    file = io.BytesIO()
    try:
        with av.open(file, "w", format=container) as output:
            stream = output.add_stream(codec, rate=coded_rate or rate, layout="mono")
            if bit_rate is not None:
                stream.bit_rate = bit_rate
            sample_format = stream.codec_context.codec.audio_formats[0].name
            resampler = av.AudioResampler(format=sample_format, layout="mono", rate=coded_rate or rate)
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate = rate
            size = stream.codec_context.frame_size or 1024
            fifo = av.AudioFifo()
            for part in (*resampler.resample(frame), *resampler.resample(None)):
                part.pts = None
                fifo.write(part)
            while (part := fifo.read(size, partial=True)) is not None:
                output.mux(stream.encode(part))
            output.mux(stream.encode(None))
    except (av.FFmpegError, av.error.EncoderNotFoundError, ValueError) as error:
        pytest.skip(f"FFmpeg cannot encode {codec} in {container} here: {error}")
    return file.getvalue()
