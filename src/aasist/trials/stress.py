"""Stress: an evaluation repeated under conditions, each draw seeded and the same for everyone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from aasist.audio.encode import EncoderMissing
from aasist.parallel import in_order
from aasist.session import Float32
from aasist.trial import Trials
from aasist.trials.conditions import CONDITIONS, Condition, conditions
from aasist.trials.waveforms import WaveformCache

__all__ = ["CONDITIONS", "Condition", "EncoderMissing", "WaveformCache", "conditions", "degraded", "stressed"]

TRIALS_AHEAD = 32
"""Trials a thread that are begun before the first is done, so that a slow one holds up no other."""

Progress = Callable[[str, int, int], None]
"""Told the condition's name, trials done and trials in all; never by two threads at once."""


def degraded(
    samples: Float32, condition: Condition, trial_id: str, seed: int, cache: WaveformCache | None = None
) -> Float32:
    """Samples (N,) at 16 kHz under ``condition`` (M,): the draw depends on seed, condition and trial id alone.

    So results do not depend on the order of the trials, on which others there are, or on threads. Raises as
    `Condition.apply` does, and as ``cache`` does when one is given.
    """
    if cache is None or not condition.costly:
        return condition.apply(samples, _generator(condition.name, trial_id, seed))
    key = cache.key(samples, condition.name, condition.version, seed, trial_id)
    if (known := cache.get(key)) is not None:
        return known
    result = condition.apply(samples, _generator(condition.name, trial_id, seed))
    cache.put(key, result)
    return result


def _generator(condition: str, trial_id: str, seed: int) -> np.random.Generator:
    # Python's hash() differs from one process to the next.
    digest = hashlib.sha256(f"{seed}\0{condition}\0{trial_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def stressed(
    conditions: Mapping[str, Condition] | Iterable[Condition],
    trials: Trials,
    read: Callable[[int], Float32],
    score: Callable[[Float32], float],
    *,
    seed: int,
    cache: WaveformCache | None = None,
    threads: int = 1,
    progress: Progress | None = None,
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """For each condition in order, as soon as it is done: its name and the scores (N,) of all trials.

    ``read(index)`` gives the samples of the trial in that row, ``score(samples)`` their score; NaN stands for a trial
    that could not be scored. With ``threads`` above 1 both are called by several threads at once; no result depends
    on their number. What they raise ends the run, an `AudioError` included: catch it there to go on with NaN. Raises
    `EncoderMissing` before anything is scored when one of the conditions is unavailable: leave it out by name
    (`Condition.unavailable` says why) and report it.
    """
    if threads < 1:
        raise ValueError(f"threads must be 1 or more, got {threads}")
    wanted = list(conditions.values() if isinstance(conditions, Mapping) else conditions)
    if reasons := [f"{condition.name}: {why}" for condition in wanted if (why := condition.unavailable) is not None]:
        raise EncoderMissing("conditions that cannot be applied here: " + "; ".join(reasons))
    return _all_scores(wanted, trials, read, score, seed, cache, threads, progress)


def _all_scores(
    wanted: Sequence[Condition],
    trials: Trials,
    read: Callable[[int], Float32],
    score: Callable[[Float32], float],
    seed: int,
    cache: WaveformCache | None,
    threads: int,
    progress: Progress | None,
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    # A generator of its own, so that `stressed` refuses what it must when it is called.
    for condition in wanted:

        def score_of(index: int, condition: Condition = condition) -> float:
            return float(score(degraded(read(index), condition, str(trials.ids[index]), seed, cache)))

        report = None if progress is None else _reporter(progress, condition.name, len(trials))
        yield condition.name, _scores(score_of, len(trials), threads, report)


def _reporter(progress: Progress, name: str, total: int) -> Callable[[int], None]:
    return lambda done: progress(name, done, total)


def _scores(
    score_of: Callable[[int], float], total: int, threads: int, report: Callable[[int], None] | None
) -> NDArray[np.float64]:
    """Scores (total,), trials side by side."""
    scores = np.full(total, np.nan)
    for index, score in enumerate(in_order(score_of, range(total), threads=threads, ahead=TRIALS_AHEAD * threads)):
        scores[index] = score
        if report is not None:
            report(index + 1)
    return scores
