"""From scores to calibrated log-likelihood ratios, and what a miscalibration costs.

An llr is a natural logarithm, positive = bona fide. What ships is an affine, strictly increasing map; the
pool-adjacent-violators map, which no other increasing map beats, is for reporting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from aasist.evaluation.tally import Float64, Levels, Metric, Tally

ITERATIONS = 100
RIDGE = 1e-6
"""Keeps the slope finite when the classes do not overlap."""
PASS_SHRINKS_TO = 0.9
"""A pass of pool-adjacent-violators that leaves a larger share of the blocks than this is the last."""


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
    (slope,), offset = regressed(scores[:, None], positive.size)
    if slope <= 0:
        raise ValueError("bona fide trials score no higher than spoofs: no increasing map calibrates them")
    return float(slope), offset


@dataclass(frozen=True)
class Carried:
    """A map ``llr = slope * score + offset`` that was fitted for groups of trials that it has not seen.

    ``left_out_cllr`` is the Cllr, in bits, of each group's trials by the map that was fitted to the other groups, and
    ``carried_cllr`` that after what those maps were changed by: what to expect of a group that is not among these.
    """

    slope: float
    offset: float
    groups: int
    left_out_cllr: float
    carried_cllr: float


def fit_carried(scores: ArrayLike, labels: ArrayLike, groups: ArrayLike) -> Carried:
    """Scores (N,), labels (N,) (true: bona fide) and groups (N,), such as sources -> `Carried`.

    Each group's trials are mapped by `fit_affine` of all others; a second affine map, fitted to these llr, says how much too
    sure they are, and the map of all trials is changed by it. Scores of one group shift against those of another, which a
    map of all of them together takes for certainty. Raises ``ValueError`` where `fit_affine` does, with fewer than three
    groups, and where all trials but one group's are of one class.
    """
    scores, groups = np.asarray(scores, dtype=np.float64).ravel(), np.asarray(groups).ravel()
    labels = np.asarray(labels, dtype=bool).ravel()
    slope, offset = fit_affine(scores[labels], scores[~labels])
    found = np.unique(groups)
    if len(found) < 3:
        raise ValueError(f"to leave groups out there must be three or more, got {len(found)}")
    llrs = np.empty_like(scores)
    for group in found:
        left_out = groups == group
        rest = ~left_out
        if not (labels[rest].any() and (~labels[rest]).any()):
            raise ValueError(f"without {str(group)!r} there are trials of one class only")
        its_slope, its_offset = fit_affine(scores[rest & labels], scores[rest & ~labels])
        llrs[left_out] = its_slope * scores[left_out] + its_offset
    share, shift = fit_affine(llrs[labels], llrs[~labels])
    before, after = (Tally.of(some[labels], some[~labels]) for some in (llrs, share * llrs + shift))
    return Carried(share * slope, share * offset + shift, len(found), cllr.of(before), cllr.of(after))


def regressed(scores: Float64, bonafide: int) -> tuple[Float64, float]:
    """Scores (N, K), the first ``bonafide`` rows of bona fide trials -> weights (K,) and offset of logistic regression at a
    prior of 0.5: what minimises the Cllr of ``scores @ weights + offset``. By Newton's method."""
    spoofs = len(scores) - bonafide
    centres, scales = scores.mean(0), scores.std(0)
    scales[scales == 0] = 1.0
    design = np.concatenate([(scores - centres) / scales, np.ones((len(scores), 1))], axis=1)
    labels = np.concatenate([np.ones(bonafide), np.zeros(spoofs)])
    weights = np.concatenate([np.full(bonafide, 0.5 / bonafide), np.full(spoofs, 0.5 / spoofs)])
    parameters = np.zeros(design.shape[1])
    ridge = RIDGE * np.eye(len(parameters))
    for _ in range(ITERATIONS):
        probability = 1.0 / (1.0 + np.exp(-np.clip(design @ parameters, -500, 500)))
        gradient = design.T @ (weights * (probability - labels)) + RIDGE * parameters
        curvature = design.T @ (design * (weights * probability * (1 - probability))[:, None]) + ridge
        step = np.linalg.solve(curvature, gradient)
        parameters -= step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    slopes = parameters[:-1] / scales
    return slopes, float(parameters[-1] - slopes @ centres)


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
    starts = _block_starts(tally)
    bonafide, spoof = np.add.reduceat(tally.bonafide, starts), np.add.reduceat(tally.spoof, starts)
    llr = _odds(bonafide, spoof, tally)
    # A block of infinite llr holds trials of the right class only, and they cost nothing.
    misses = np.logaddexp(0.0, -llr, where=bonafide > 0, out=np.zeros_like(llr)) @ bonafide / tally.bonafide.sum()
    accepted = np.logaddexp(0.0, llr, where=spoof > 0, out=np.zeros_like(llr)) @ spoof / tally.spoof.sum()
    return float(misses + accepted) / 2 / float(np.log(2.0))


@Metric
def pav_llr(tally: Tally) -> Float64:
    """llr (K,) of each score by pool-adjacent-violators: the best increasing map there is (Ayer et al., 1955).

    Infinite where the lowest scores are all of spoofs, or the highest all of bona fide trials.
    """
    starts = _block_starts(tally)
    bonafide, spoof = np.add.reduceat(tally.bonafide, starts), np.add.reduceat(tally.spoof, starts)
    return np.repeat(_odds(bonafide, spoof, tally), np.diff(np.append(starts, len(tally.bonafide))))


def _odds(bonafide: Float64, spoof: Float64, tally: Tally) -> Float64:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(bonafide / tally.bonafide.sum()) - np.log(spoof / tally.spoof.sum()))


def _block_starts(tally: Tally) -> Levels:
    """First level of each block of pool-adjacent-violators, in which the share of bona fide rises; the first is 0."""
    # Neighbours that violate end in one block whatever lies around them, so all of them are pooled at once, and again
    # until few are left: then one by one, since a staircase that falls slowly would take a pass a step.
    starts = np.flatnonzero((tally.bonafide + tally.spoof) > 0)  # a level without trials would violate on both sides
    bonafide, spoof = tally.bonafide[starts], tally.spoof[starts]
    while True:
        rises = bonafide[:-1] * spoof[1:] < bonafide[1:] * spoof[:-1]
        first = np.flatnonzero(np.append(True, rises))
        shrunk = len(first) < PASS_SHRINKS_TO * len(starts)
        starts, bonafide, spoof = starts[first], np.add.reduceat(bonafide, first), np.add.reduceat(spoof, first)
        if not shrunk:
            break
    blocks: list[tuple[float, float, int]] = []
    for b, s, start in zip(bonafide.tolist(), spoof.tolist(), starts.tolist(), strict=True):
        while blocks and blocks[-1][0] * s >= b * blocks[-1][1]:  # the share before is at least this one's
            before = blocks.pop()
            b, s, start = b + before[0], s + before[1], before[2]  # noqa: PLW2901
        blocks.append((b, s, start))
    found = np.array([start for *_, start in blocks], np.intp)
    found[0] = 0
    return found


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
