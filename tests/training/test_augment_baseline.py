"""The chain on the batch and the usual one, waveform by waveform, do the same to the statistics of speech."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
from tests.conftest import ROOT

from aasist.keys import with_values
from aasist.training.augment.chain import Augmenter
from aasist.training.augment.recipe import AugmentRecipe
from aasist.training.draws import Purpose, row_keys

ROWS, SAMPLES = 160, 6_000


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """benchmarks/augmentation.py."""
    spec = importlib.util.spec_from_file_location("benchmark_augmentation", ROOT / "benchmarks" / "augmentation.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Rows are short here: more threads would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def statistics(before: np.ndarray, after: np.ndarray) -> dict[str, np.ndarray]:
    """Of each row: level against before (dB), share of power above 3.5 kHz (dB), crest factor (dB), likeness to before."""
    power = np.mean(after.astype(np.float64) ** 2, 1) + 1e-12
    spectrum = np.abs(np.fft.rfft(after)) ** 2 + 1e-9
    high = spectrum[:, SAMPLES * 7 // 32 :].sum(1) / spectrum.sum(1)
    like = np.abs(np.sum(before * after, 1)) / np.sqrt(np.sum(before**2, 1) * np.sum(after**2, 1) + 1e-12)
    return {
        "level": 10 * np.log10(power / np.mean(before.astype(np.float64) ** 2, 1)),
        "top": 10 * np.log10(high + 1e-7),
        "crest": 20 * np.log10(np.abs(after).max(1) + 1e-9) - 10 * np.log10(power),
        "likeness": like,
    }


@pytest.mark.parametrize(
    "step",
    ["speed", "room", "noise", "equaliser", "gain", "clip", "band", "resample", "mu_law", "quantise", "gaps", "rawboost", "mask",
     "polarity"],
)  # fmt: skip
def test_both_have_the_same_statistics(benchmark: ModuleType, step: str) -> None:
    """Means over 160 rows within four and a half of their standard errors, and spreads within a third. Filters of
    resampling are another kind (drawn windowed sincs; soxr's): they keep alike and cut off alike, no more is asked."""
    rng = np.random.default_rng(0)
    before = benchmark.speech_like(ROWS, SAMPLES, rng)
    bank, noises, responses = benchmark.bank_and_lists(rng)
    recipe = with_values(AugmentRecipe(), {f"{step}.probability": 0.7, "room.recorded": 0.5})
    keys = row_keys(1, Purpose.AUGMENT, 0, np.arange(ROWS))
    ours, _ = Augmenter(recipe, bank)(torch.from_numpy(before), keys, torch.ones(ROWS))
    theirs = benchmark.OneByOne(recipe, noises, responses)(before, 5)
    one, other = statistics(before, ours.numpy()), statistics(before, theirs)
    for name in one:
        a, b = one[name], other[name]
        error = np.sqrt((a.var() + b.var()) / ROWS)
        assert abs(a.mean() - b.mean()) < 4.5 * error + 0.02, (name, a.mean(), b.mean())
        assert abs(a.std() - b.std()) < 0.35 * max(a.std(), b.std()) + 0.02, (name, a.std(), b.std())
