"""The probe's classifier: logistic regression over ranks of cues, bent and multiplied, fitted to the bit alike each time."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aasist.trial import Booleans, Strings

Float64 = NDArray[np.float64]

KNOTS = 7
"""Of the piecewise straight line that each cue is put through: it need not rise all the way."""

RIDGE = 1e-3
"""Penalty of one cue's weights, against a mean loss of the classes of about 0.7."""

JOINT_RIDGES = (1e-3, 1e-2, 1e-1)
"""Of all cues together: what serves the next fold best is taken."""

RAREST_VALUE = 0.01
"""Share of the trials that a value of a column needs to be told from the others."""

_MOST_STEPS = 50
_DONE = 1e-9


def ranks(values: Float64) -> Float64:
    """Values (N,) -> their ranks in [0, 1], equal values alike, NaN where they are; whatever their scale and tails."""
    out = np.full(len(values), np.nan)
    known = ~np.isnan(values)
    if known.any():
        _, number, count = np.unique(values[known], return_inverse=True, return_counts=True)
        middle = np.cumsum(count) - (count - 1) / 2 - 1
        out[known] = middle[number] / max(int(known.sum()) - 1, 1)
    return out


def bent(rank: Float64) -> Float64:
    """Ranks (N,) -> (N, `KNOTS`): how near each is to every knot but the first, and whether it is not known."""
    place = np.nan_to_num(rank, nan=0.0) * (KNOTS - 1)
    hats = np.maximum(0.0, 1 - np.abs(place[:, None] - np.arange(1, KNOTS)))
    unknown = np.isnan(rank)
    hats[unknown] = 0.0
    return np.column_stack([hats, unknown])


def products(rank: Sequence[Float64]) -> Float64:
    """Ranks (N,) of some cues -> (N, P): those of every two of them multiplied, each from -1 to 1."""
    centred = [np.nan_to_num(2 * one - 1, nan=0.0) for one in rank]
    pairs = [one * other for one, other in itertools.combinations(centred, 2)]
    return np.stack(pairs, 1) if pairs else np.empty((len(rank[0]) if rank else 0, 0))


def values_told_apart(column: Strings) -> Float64:
    """A column (N,) -> (N, V) of 0 and 1: which of its values that are not rare each is."""
    values, count = np.unique(column, return_counts=True)
    common = values[count >= RAREST_VALUE * len(column)]
    return np.stack([np.asarray(column == value, np.float64) for value in common.tolist()], 1)


def fitted(features: Float64, labels: Booleans, ridge: float) -> Float64:
    """Features (N, F) and labels (N,), of both classes -> weights (F + 1,), the last of which stands alone.

    The classes weigh the same, however many trials they have. Newton's method, halved where it would overshoot.
    """
    share = np.where(labels, 0.5 / max(int(labels.sum()), 1), 0.5 / max(int((~labels).sum()), 1))
    with_one = np.column_stack([features, np.ones(len(features))])
    penalty = np.append(np.full(features.shape[1], ridge), 1e-9)
    return _newton(with_one, np.where(labels, 1.0, -1.0), share, penalty)


def fitted_to_differences(differences: Float64, ridge: float) -> Float64:
    """Features of bona fide trials less those of their partners (P, F) -> weights (F,): conditional logistic regression,
    which ranks the members of a pair and knows nothing else (Breslow and Day, 1980, chapter 7)."""
    share = np.full(len(differences), 1 / len(differences))
    return _newton(differences, np.ones(len(differences)), share, np.full(differences.shape[1], ridge))


def scored(features: Float64, weights: Float64) -> Float64:
    """Features (N, F) and weights as `fitted` gives them -> scores (N,), higher = bona fide."""
    return np.asarray(features @ weights[:-1] + weights[-1])


def _newton(features: Float64, signs: Float64, share: Float64, penalty: Float64) -> Float64:
    """The weights of least mean log loss, ``share`` (N,) of it each, and penalty."""
    weights = np.zeros(features.shape[1])

    def loss(at: Float64) -> float:
        return float(share @ np.logaddexp(0.0, -signs * (features @ at)) + penalty @ at**2 / 2)

    now = loss(weights)
    for _ in range(_MOST_STEPS):
        wrong = 0.5 - 0.5 * np.tanh(0.5 * signs * (features @ weights))
        gradient = -features.T @ (share * signs * wrong) + penalty * weights
        curvature = (features * (share * wrong * (1 - wrong))[:, None]).T @ features + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        while (then := loss(weights - step)) > now and np.abs(step).max() > _DONE:
            step /= 2
        if then > now:
            break
        weights, gained, now = weights - step, now - then, then
        if gained < _DONE:
            break
    return weights
