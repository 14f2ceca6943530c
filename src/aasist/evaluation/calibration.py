"""From scores to calibrated log-likelihood ratios, and what a miscalibration costs.

An llr is a natural logarithm, positive = bona fide. What ships is an affine, strictly increasing map; the
pool-adjacent-violators map, which no other increasing map beats, is for reporting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from aasist.evaluation.tally import Float64, Metric, Tally

ITERATIONS = 100
RIDGE = 1e-6
"""Keeps the slope finite when the classes do not overlap."""


def fit_affine(bonafide: ArrayLike, spoof: ArrayLike) -> tuple[float, float]:
    """Scores (N,) and (M,), higher = more bona fide -> (slope, offset) with ``llr = slope * score + offset``.

    Logistic regression at a prior of 0.5 whatever the counts: both classes weigh one half (Brümmer and du Preez,
    "Application-independent evaluation of speaker detection", 2006, section 5). Newton's method; natural logarithm.
    Raises ``ValueError`` when a class is empty, a score is not finite, or bona fide trials score no higher than spoofs.
    """
    positive, negative = (np.asarray(scores, dtype=np.float64).ravel() for scores in (bonafide, spoof))
    if positive.size == 0 or negative.size == 0:
        raise ValueError("calibration needs trials of both classes")
    scores = np.concatenate([positive, negative])
    if not np.isfinite(scores).all():
        raise ValueError("calibration needs finite scores")
    centre, scale = float(scores.mean()), float(scores.std()) or 1.0
    design = np.stack([(scores - centre) / scale, np.ones_like(scores)], axis=1)
    labels = np.concatenate([np.ones(positive.size), np.zeros(negative.size)])
    weights = np.concatenate([np.full(positive.size, 0.5 / positive.size), np.full(negative.size, 0.5 / negative.size)])
    parameters = np.zeros(2)
    for _ in range(ITERATIONS):
        probability = 1.0 / (1.0 + np.exp(-np.clip(design @ parameters, -500, 500)))
        gradient = design.T @ (weights * (probability - labels)) + RIDGE * parameters
        curvature = design.T @ (design * (weights * probability * (1 - probability))[:, None]) + RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        parameters -= step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    slope = float(parameters[0] / scale)
    if slope <= 0:
        raise ValueError("bona fide trials score no higher than spoofs: no increasing map calibrates them")
    return slope, float(parameters[1] - parameters[0] * centre / scale)


@Metric
def cllr(tally: Tally) -> float:
    """Cost of log-likelihood ratios in bits (Brümmer and du Preez, 2006, eq. 12): 0 is perfect, 1 is a coin.

    The scores are read as natural-logarithm llr.
    """
    misses = tally.bonafide @ tally.scale.miss_bits / tally.bonafide.sum()
    false_acceptances = tally.spoof @ tally.scale.false_acceptance_bits / tally.spoof.sum()
    return float(misses + false_acceptances) / 2


@Metric
def min_cllr(tally: Tally) -> float:
    """Cllr in bits after `pav_llr`: what no increasing map of the scores gets below (Brümmer and du Preez, 2006)."""
    llr = pav_llr.of(tally)
    with np.errstate(over="ignore"):
        # A level of infinite llr holds trials of the right class only, and they cost nothing.
        misses = np.where(tally.bonafide > 0, np.logaddexp(0.0, -llr), 0.0) @ tally.bonafide / tally.bonafide.sum()
        accepted = np.where(tally.spoof > 0, np.logaddexp(0.0, llr), 0.0) @ tally.spoof / tally.spoof.sum()
    return float(misses + accepted) / 2 / float(np.log(2.0))


@Metric
def pav_llr(tally: Tally) -> Float64:
    """llr (K,) of each score by pool-adjacent-violators: the best increasing map there is (Ayer et al., 1955).

    Infinite where the lowest scores are all of spoofs, or the highest all of bona fide trials.
    """
    bonafide, spoof, sizes = _pooled(tally.bonafide, tally.spoof)
    with np.errstate(divide="ignore"):
        odds = np.log(bonafide / tally.bonafide.sum()) - np.log(spoof / tally.spoof.sum())
    return np.repeat(odds, sizes)


def _pooled(bonafide: Float64, spoof: Float64) -> tuple[Float64, Float64, np.ndarray]:
    """Counts (K,) -> counts and sizes of the blocks, in which the share of bona fide rises."""
    # A bona fide level before a spoof level violates; so a run of one class is one block from the start.
    kind = np.where(spoof == 0, 1, np.where(bonafide == 0, -1, 0))
    new = np.append(True, (kind[1:] != kind[:-1]) | (kind[1:] == 0))
    starts = np.flatnonzero(new)
    runs = zip(
        np.add.reduceat(bonafide, starts).tolist(),
        np.add.reduceat(spoof, starts).tolist(),
        np.diff(np.append(starts, len(kind))).tolist(),
        strict=True,
    )
    blocks: list[tuple[float, float, int]] = []
    for b, s, size in runs:
        while blocks and blocks[-1][0] * s >= b * blocks[-1][1]:  # the share before is at least this one's
            before = blocks.pop()
            b, s, size = b + before[0], s + before[1], size + before[2]  # noqa: PLW2901
        blocks.append((b, s, size))
    columns = np.array(blocks)
    return columns[:, 0], columns[:, 1], columns[:, 2].astype(np.intp)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Predicted against observed probability of bona fide, both at a prior of 0.5, in bins (B,) of the prediction.

    ``trials`` (B,) counts what lies in each bin; empty bins are left out.
    """

    predicted: Float64
    observed: Float64
    trials: Float64


@Metric
def reliability(tally: Tally, bins: int = 15) -> Reliability:
    """The reliability diagram of scores read as natural-logarithm llr; both classes weigh one half."""
    predicted = 1.0 / (1.0 + np.exp(-np.clip(tally.scale.scores, -500, 500)))
    bin_of = np.minimum((predicted * bins).astype(np.intp), bins - 1)
    bonafide = np.bincount(bin_of, tally.bonafide / tally.bonafide.sum(), bins)
    spoof = np.bincount(bin_of, tally.spoof / tally.spoof.sum(), bins)
    trials = np.bincount(bin_of, tally.bonafide + tally.spoof, bins).astype(np.float64)
    shares_of_both = tally.bonafide / tally.bonafide.sum() + tally.spoof / tally.spoof.sum()
    weighted = np.bincount(bin_of, predicted * shares_of_both, bins)
    filled = trials > 0
    with np.errstate(invalid="ignore"):
        shares = bonafide / (bonafide + spoof)
    return Reliability((weighted / np.maximum(bonafide + spoof, 1e-300))[filled], shares[filled], trials[filled])
