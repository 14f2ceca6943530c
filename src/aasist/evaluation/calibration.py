"""From scores to calibrated log-likelihood ratios by an affine, strictly increasing map."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

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


def cllr(bonafide_llr: ArrayLike, spoof_llr: ArrayLike) -> float:
    """Cost of log-likelihood ratios in bits (Brümmer and du Preez, 2006, eq. 12): 0 is perfect, 1 is a coin.

    Arguments are natural-logarithm llr (N,) and (M,), positive = bona fide.
    """
    misses = np.logaddexp(0.0, -np.asarray(bonafide_llr, dtype=np.float64))
    false_acceptances = np.logaddexp(0.0, np.asarray(spoof_llr, dtype=np.float64))
    return float((misses.mean() + false_acceptances.mean()) / 2 / np.log(2.0))
