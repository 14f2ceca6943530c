"""Times augmentation on the batch against the usual way, sample by sample; writes docs/augmentation-table.md.

    python benchmarks/augmentation.py [--rounds 10] [--batch 24] [--samples 64600] [--threads 2]

`OneByOne` is the same chain as it is commonly written: NumPy and soxr on one waveform at a time, drawn from a generator,
one after another or in as many worker processes as ours has threads: the latter is like for like. All take turns in
one run: a busy machine slows them alike, and the ratio holds. tests/training/test_augment_baseline.py holds both to the
same statistics.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import soxr
import torch

from aasist.keys import with_values
from aasist.training.augment.bank import NoiseBank
from aasist.training.augment.chain import Augmenter
from aasist.training.augment.recipe import AugmentRecipe
from aasist.training.draws import Purpose, row_keys

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "augmentation-table.md"
RATE = 16_000

LINES = {
    "the shipped model's chain": {
        "room.probability": 0.15, "equaliser.probability": 0.4, "noise.probability": 0.35, "clip.probability": 0.1,
        "band.probability": 0.3, "resample.probability": 0.25, "mu_law.probability": 0.08, "quantise.probability": 0.1,
    },
    "all but RawBoost, each with probability 0.3": {
        f"{name}.probability": 0.3
        for name in ("speed", "room", "noise", "equaliser", "gain", "clip", "band", "resample", "mu_law", "quantise",
                     "gaps", "mask", "polarity")
    },
    "RawBoost, convolutive and impulsive, every row": {"rawboost.probability": 1.0},
    "noise, made, every row": {"noise.probability": 1.0, "noise.recorded": 0.0},
    "noise, recorded, every row": {"noise.probability": 1.0, "noise.recorded": 1.0},
    "room, recorded, every row": {"room.probability": 1.0},
    "equaliser, every row": {"equaliser.probability": 1.0},
    "band limit, every row": {"band.probability": 1.0},
    "resampling there and back, every row": {"resample.probability": 1.0},
    "speed, every row": {"speed.probability": 1.0},
    "mu-law at 8 kHz, every row": {"mu_law.probability": 1.0},
}  # fmt: skip
"""What is timed: a name and what differs from a recipe without augmentation."""


class OneByOne:
    """The chain of a recipe, waveform by waveform. RawBoost in its form 5 alone."""

    def __init__(self, recipe: AugmentRecipe, noises: list[np.ndarray], responses: list[np.ndarray]) -> None:
        self.recipe, self.noises, self.responses = recipe, noises, responses

    def __call__(self, waveforms: np.ndarray, seed: int) -> np.ndarray:
        """(B, T) -> (B, T)."""
        return np.stack([self.one(x, np.random.default_rng([seed, row])) for row, x in enumerate(waveforms)])

    def one(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(T,) -> (T,)."""
        for name in ("speed", "room", "noise", "equaliser", "gain", "clip", "band", "resample", "mu_law", "quantise",
                     "gaps", "rawboost", "mask", "polarity"):  # fmt: skip
            section = getattr(self.recipe, name)
            if rng.random() < section.probability:
                x = getattr(self, name)(x, rng, section)
        return x.astype(np.float32)

    def speed(self, x, rng, keys):
        factor = rng.uniform(*keys.factor)
        played = soxr.resample(x, RATE, RATE / factor)
        return np.resize(played, len(x))

    def room(self, x, rng, keys):
        if self.responses and rng.random() < keys.recorded:
            response = self.responses[rng.integers(len(self.responses))]
        else:
            t60, direct = rng.uniform(*keys.t60_seconds), 10 ** (rng.uniform(*keys.direct_db) / 20)
            seconds = np.arange(round(t60 * RATE)) / RATE
            response = rng.standard_normal(len(seconds)) * 10 ** (-3 * seconds / t60)
            response[: RATE // 400] = 0
            response /= np.sqrt(np.sum(response**2)) * direct
            response[0] = 1
        size = len(x) + len(response)
        wet = np.fft.irfft(np.fft.rfft(x, size) * np.fft.rfft(response.astype(np.float32), size), size)
        wet = wet[int(np.abs(response).argmax()) :][: len(x)]
        wet *= rms(x) / rms(wet)
        mixed = x + rng.uniform(*keys.wet) * (wet - x)
        return mixed * (rms(x) / rms(mixed))

    def noise(self, x, rng, keys):
        if self.noises and rng.random() < keys.recorded:
            source = self.noises[rng.integers(len(self.noises))]
            added = np.resize(np.roll(source, -rng.integers(len(source))), len(x))
        else:
            spectrum = np.fft.rfft(rng.standard_normal(len(x), np.float32))
            octaves = np.log2(np.maximum(np.fft.rfftfreq(len(x), 1 / RATE), 100) / 100)
            added = np.fft.irfft(spectrum * 10 ** (-rng.uniform(*keys.slope_db) * octaves / 20), len(x))
        return x + added * (rms(x) / rms(added) * 10 ** (-rng.uniform(*keys.snr_db) / 20))

    def equaliser(self, x, rng, keys):
        knots = rng.normal(0, keys.deviation_db, keys.knots)
        spectrum = np.fft.rfft(x)
        place = np.linspace(0, 1, keys.knots) ** 1.5
        spectrum *= 10 ** (np.interp(np.linspace(0, 1, len(spectrum)), place, knots) / 20)
        out = np.fft.irfft(spectrum, len(x))
        return out * (rms(x) / rms(out))

    def gain(self, x, rng, keys):
        return np.clip(x * 10 ** (rng.uniform(*keys.gain_db) / 20), -1, 1)

    def clip(self, x, rng, keys):
        top = np.quantile(np.abs(x), 1 - rng.uniform(*keys.share))
        return np.clip(x, -top, top)

    def band(self, x, rng, keys):
        spectrum, hertz = np.fft.rfft(x), np.fft.rfftfreq(len(x), 1 / RATE)
        gain = logistic((rng.uniform(*keys.top_hz) - hertz) / rng.uniform(*keys.edge_hz))
        if rng.random() < keys.bottom:
            gain *= logistic((hertz - rng.uniform(*keys.bottom_hz)) / 20)
        return np.fft.irfft(spectrum * gain, len(x))

    def resample(self, x, rng, keys):
        rate = int(rng.choice(keys.rates_hz))
        return fitted(soxr.resample(soxr.resample(x, RATE, rate), rate, RATE), len(x))

    def mu_law(self, x, rng, keys):
        scale = rng.uniform(*keys.peak) / (np.abs(x).max() + 1e-9)
        narrow = soxr.resample(x * np.float32(scale), RATE, 8_000)
        code = np.round(127 * np.sign(narrow) * np.log1p(255 * np.minimum(np.abs(narrow), 1)) / np.log(256))
        decoded = np.sign(code) * np.expm1(np.abs(code) / 127 * np.log(256)) / 255
        return fitted(soxr.resample(decoded, 8_000, RATE), len(x)) / scale

    def quantise(self, x, rng, keys):
        step = (np.abs(x).max() + 1e-9) / 2 ** (rng.uniform(*keys.bits) - 1)
        return np.round(x / step) * step

    def gaps(self, x, rng, keys):
        x = x.copy()
        for _ in range(rng.integers(keys.spans[0], keys.spans[1] + 1)):
            start = rng.integers(len(x))
            x[start : start + round(rng.uniform(*keys.seconds) * RATE)] = 0
        return x

    def rawboost(self, x, rng, keys):
        x, power = x / max(1, np.abs(x).max()), np.ones_like(x)
        out = np.zeros(len(x))
        for order in range(keys.orders):
            power = power * x
            taps = np.ones(1)
            for _ in range(keys.notches):
                centre, width = rng.uniform(*keys.centre_hz), rng.uniform(*keys.width_hz)
                half = rng.integers(keys.coefficients[0], keys.coefficients[1] + 1) // 2
                steps = np.arange(-half, half + 1)
                low, high = max(centre - width / 2, 0) * 2 / RATE, min(centre + width / 2, RATE / 2) * 2 / RATE
                stop = (steps == 0) + low * np.sinc(low * steps) - high * np.sinc(high * steps)
                taps = np.convolve(taps, stop * np.hamming(len(steps)))
            taps *= 10 ** (rng.uniform(*(keys.order_gain_db if order else keys.gain_db)) / 20) / max_gain(taps)
            out += np.convolve(power, taps, "same")
        out -= out.mean()
        out /= max(1, np.abs(out).max())
        met = rng.permutation(len(x))[: int(len(x) * rng.uniform(0, keys.impulse_share))]
        factor = (2 * rng.random(len(met)) - 1) * (2 * rng.random(len(met)) - 1)
        out[met] += keys.impulse_gain * factor * out[met]
        return out / max(1, np.abs(out).max())

    def mask(self, x, rng, keys):
        half, centre = rng.uniform(*keys.seconds) * RATE / 2, rng.uniform(0, len(x))
        return x * np.clip((np.abs(np.arange(len(x)) - centre) - half) / (0.005 * RATE), 0, 1)

    def polarity(self, x, rng, keys):
        return -x


def rms(x: np.ndarray) -> float:
    """Root mean square, never zero."""
    return float(np.sqrt(np.mean(np.square(x))) + 1e-9)


def max_gain(taps: np.ndarray) -> float:
    """The largest magnitude of a filter's response."""
    return float(np.abs(np.fft.rfft(taps, 2_048)).max())


def logistic(odds: np.ndarray) -> np.ndarray:
    """1 / (1 + e ** -odds)."""
    return 1 / (1 + np.exp(np.minimum(-odds, 80)))


def fitted(x: np.ndarray, length: int) -> np.ndarray:
    """Cut or padded at the end."""
    return x[:length] if len(x) >= length else np.pad(x, (0, length - len(x)))


def speech_like(rows: int, samples: int, rng: np.random.Generator) -> np.ndarray:
    """(rows, samples) float32: noise with speech's fall of 6 dB an octave and four syllables a second."""
    spectra = np.fft.rfft(rng.standard_normal((rows, samples)))
    spectra /= np.maximum(np.fft.rfftfreq(samples, 1 / RATE), 200)
    noise = np.fft.irfft(spectra, samples)
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * (4 * np.arange(samples) / RATE + rng.random((rows, 1))))
    noise *= syllables**2
    return (0.5 * noise / np.abs(noise).max(axis=1, keepdims=True)).astype(np.float32)


def bank_and_lists(rng: np.random.Generator) -> tuple[NoiseBank, list[np.ndarray], list[np.ndarray]]:
    """Noises and responses that both sides draw from."""
    noises = list(speech_like(40, 5 * RATE, rng))
    seconds = np.arange(RATE // 2) / RATE
    responses = [rng.standard_normal(len(seconds)) * 10 ** (-3 * seconds / rng.uniform(0.15, 0.8)) for _ in range(40)]
    for response in responses:
        response[0] = 2 * np.abs(response).max()
    responses = [response.astype(np.float32) for response in responses]
    return NoiseBank({"noise": noises, "rir": responses}), noises, responses


_worker: OneByOne | None = None


def begin(*arguments: object) -> None:
    """A worker process makes its own chain."""
    global _worker  # noqa: PLW0603
    torch.set_num_threads(1)
    _worker = OneByOne(*arguments)  # type: ignore[arg-type]


def in_worker(part: tuple[np.ndarray, int]) -> np.ndarray:
    """One worker's part of a batch."""
    assert _worker is not None
    return _worker(*part)


def in_turns(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each run, taken in turns; the first round warms caches up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                times[name].append(1_000 * (time.perf_counter() - start))
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--samples", type=int, default=64_600)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rng = np.random.default_rng(0)
    waveforms = speech_like(arguments.batch, arguments.samples, rng)
    tensor, labels = torch.from_numpy(waveforms), torch.ones(arguments.batch, dtype=torch.int64)
    bank, noises, responses = bank_and_lists(rng)
    workers = f"{arguments.threads} processes"
    lines = [
        f"| batch of {arguments.batch} x {arguments.samples:,} samples | one by one in 1 process, ms a batch | "
        f"in {workers}, ms | on the batch in {arguments.threads} threads, ms | times as fast as 1 process | "
        f"times as fast as {workers} |",
        "|---|---|---|---|---|---|",
    ]
    for name, changes in LINES.items():
        recipe = with_values(AugmentRecipe(), changes)
        augmenter, usual = Augmenter(recipe, bank), OneByOne(recipe, noises, responses)
        turn = iter(range(10**9))

        def ours(augmenter: Augmenter = augmenter, turn=turn) -> object:  # type: ignore[no-untyped-def]
            keys = row_keys(0, Purpose.AUGMENT, next(turn), np.arange(arguments.batch))
            return augmenter(tensor, keys, labels)

        with ProcessPoolExecutor(arguments.threads, initializer=begin, initargs=(recipe, noises, responses)) as pool:

            def shared(pool: ProcessPoolExecutor = pool, turn=turn) -> object:  # type: ignore[no-untyped-def]
                parts = np.array_split(waveforms, arguments.threads)
                return np.concatenate(list(pool.map(in_worker, [(part, next(turn)) for part in parts])))

            runs = {"one": lambda usual=usual, turn=turn: usual(waveforms, next(turn)), "shared": shared, "ours": ours}
            times = {run: float(np.median(taken)) for run, taken in in_turns(runs, arguments.rounds).items()}
        lines.append(
            f"| {name} | {times['one']:.0f} | {times['shared']:.0f} | {times['ours']:.0f} | "
            f"{times['one'] / times['ours']:.1f} | **{times['shared'] / times['ours']:.1f}** |"
        )
        print(lines[-1])
    lines += [
        "",
        f"Medians of {arguments.rounds} turns, measured {time.strftime('%Y-%m-%d')} by `python benchmarks/augmentation.py`; "
        f"Python {platform.python_version()}, NumPy {np.__version__}, soxr {soxr.__version__}, "
        f"PyTorch {torch.__version__}.",
    ]
    TABLE.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
