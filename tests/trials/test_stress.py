"""An evaluation under conditions repeats to the bit, whatever the order, the company and the threads."""

import dataclasses
import hashlib
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from aasist.audio.encode import ChannelCodec
from aasist.audio.read import read
from aasist.errors import AudioError
from aasist.trial import Trials, strings
from aasist.trials.stress import (
    CONDITIONS,
    EncoderMissing,
    degraded,
    stressed,
)

Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def speech(recording: Path) -> Samples:
    return read(recording)


@pytest.mark.parametrize("name", ["noise-20db", "noise-10db", "noise-0db", "reverberation", "replay"])
def test_another_seed_or_trial_id_draws_anew(name: str, speech: Samples) -> None:
    clip = speech[:16_000]
    draws = [
        degraded(clip, CONDITIONS[name], "trial", 1),
        degraded(clip, CONDITIONS[name], "trial", 2),
        degraded(clip, CONDITIONS[name], "other", 1),
    ]
    assert all(not np.array_equal(draws[one], draws[two]) for one, two in ((0, 1), (0, 2), (1, 2)))


def test_a_draw_is_the_same_in_another_process(speech: Samples) -> None:
    """Python's hash of a text is not: a seed made of it would fail here."""
    code = (
        "import hashlib, numpy as np\nfrom aasist.trials.stress import CONDITIONS, degraded\n"
        "x = np.sin(np.arange(8_000, dtype=np.float32))\n"
        "print(hashlib.sha256(degraded(x, CONDITIONS['replay'], 'LA_E_1', 3).tobytes()).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    tone = np.sin(np.arange(8_000, dtype=np.float32))
    ours = degraded(tone, CONDITIONS["replay"], "LA_E_1", 3)
    assert other.stdout.strip() == hashlib.sha256(ours.tobytes()).hexdigest()


def loudness(samples: Samples) -> float:
    return float(np.log(np.mean(np.square(samples, dtype=np.float64)) + 1e-9))


def corpus_of(count: int) -> tuple[Trials, list[Samples]]:
    rng = np.random.default_rng(0)
    clips = [rng.standard_normal(rng.integers(800, 4_000)).astype(np.float32) * np.float32(0.1) for _ in range(count)]
    return Trials(strings(f"trial-{row}" for row in range(count)), None), clips


SOME = {name: CONDITIONS[name] for name in ("noise-0db", "clean", "replay")}


def test_scores_come_condition_by_condition_and_the_number_of_threads_moves_none() -> None:
    trials, clips = corpus_of(23)
    runs = [
        list(stressed(SOME, trials, clips.__getitem__, loudness, seed=5, threads=threads)) for threads in (1, 2, 7, 40)
    ]
    for run in runs:
        assert [name for name, _ in run] == list(SOME)
        assert all(np.array_equal(scores, first) for (_, scores), (_, first) in zip(run, runs[0], strict=True))
    assert np.array_equal(dict(runs[0])["clean"], [loudness(clip) for clip in clips])
    assert not np.array_equal(dict(runs[0])["replay"], dict(runs[0])["clean"])


def test_a_trial_scores_the_same_in_another_order_and_company() -> None:
    trials, clips = corpus_of(9)
    alone = trials.take(np.array([7, 2]))
    everything = dict(stressed(SOME, trials, clips.__getitem__, loudness, seed=5))
    pair = dict(stressed(SOME.values(), alone, lambda row: clips[(7, 2)[row]], loudness, seed=5))
    for name, scores in pair.items():
        assert np.array_equal(scores, everything[name][[7, 2]])


def test_nan_is_kept_as_a_trial_that_could_not_be_scored() -> None:
    trials, clips = corpus_of(4)

    def score(samples: Samples) -> float:
        return float("nan") if samples is clips[2] or np.array_equal(samples, clips[2]) else 1.0

    ((_, scores),) = stressed([CONDITIONS["clean"]], trials, clips.__getitem__, score, seed=0)
    assert np.array_equal(scores, [1.0, 1.0, np.nan, 1.0], equal_nan=True)


@pytest.mark.parametrize("threads", [1, 3])
def test_progress_counts_every_trial_of_every_condition_once(threads: int) -> None:
    trials, clips = corpus_of(10)
    seen: list[tuple[str, int, int]] = []
    told = stressed(
        SOME, trials, clips.__getitem__, loudness, seed=0, threads=threads, progress=lambda *step: seen.append(step)
    )
    assert len(list(told)) == 3
    assert seen == [(name, done, 10) for name in SOME for done in range(1, 11)]


@pytest.mark.parametrize("threads", [1, 3])
def test_what_a_read_raises_ends_the_run_and_soon(threads: int) -> None:
    trials, _ = corpus_of(500)
    calls = Counter[str]()

    def broken(row: int) -> Samples:
        calls["read"] += 1
        if row == 5:
            raise AudioError("unreadable", "trial-5 is damaged")
        time.sleep(0.002)
        return np.ones(100, np.float32)

    with pytest.raises(AudioError, match="trial-5 is damaged"):
        list(stressed(SOME, trials, broken, loudness, seed=0, threads=threads))
    assert calls["read"] < 100


def test_no_trials_give_no_scores() -> None:
    trials, clips = corpus_of(0)
    assert [len(scores) for _, scores in stressed(SOME, trials, clips.__getitem__, loudness, seed=0, threads=2)] == [
        0,
        0,
        0,
    ]


def test_threads_below_one_are_refused_at_once() -> None:
    trials, clips = corpus_of(1)
    with pytest.raises(ValueError, match="threads must be 1 or more, got 0"):
        stressed(SOME, trials, clips.__getitem__, loudness, seed=0, threads=0)


def test_a_condition_without_its_encoder_is_refused_with_the_reason_before_anything_is_scored() -> None:
    trials, clips = corpus_of(2)
    evs = ChannelCodec("EVS", "libevs", 16_000, "evs", "3gp")
    absent = dataclasses.replace(CONDITIONS["phone-gsm"], name="phone-evs", codec=evs)
    assert "needs FFmpeg's encoder 'libevs'" in (absent.unavailable or "")
    read_rows: list[int] = []
    with pytest.raises(EncoderMissing, match="phone-evs: EVS needs FFmpeg's encoder 'libevs'"):
        stressed(
            [CONDITIONS["clean"], absent], trials, lambda row: (read_rows.append(row), clips[row])[1], loudness, seed=0
        )
    assert not read_rows
