"""Folds: what the probe is fitted to, and what it is then asked about."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from aasist.training.draws import Integers
from aasist.training.probe.classifier import Float64, fitted, fitted_to_differences, scored
from aasist.trial import Booleans, Strings

FOLDS = 5


def even_folds(groups: Strings, seed: int | None = None) -> Integers:
    """Groups (N,) -> folds (N,) from 0, none of them parted: the largest first, each to the fold that has least.

    Groups of one size come in the order of their names, or with a ``seed`` in a random one.
    """
    names, number, count = np.unique(groups, return_inverse=True, return_counts=True)
    turn = np.arange(len(names)) if seed is None else np.random.default_rng(seed).permutation(len(names))
    fold_of = np.zeros(len(names), np.int64)
    held = np.zeros(min(FOLDS, len(names)), np.int64)
    for group in turn[np.argsort(-count[turn], kind="stable")].tolist():
        fold_of[group] = np.argmin(held)
        held[fold_of[group]] += count[group]
    return np.asarray(fold_of[number])


def cross_validated(features: Float64, labels: Booleans, folds: Integers, ridges: Sequence[float]) -> Float64:
    """Features (N, F), labels (N,) and folds (N,) -> scores (N,), each by a fit to all other folds.

    Of several ``ridges`` each fit takes the one that told the fold after its own apart best, fitted without both. Where
    the other folds lack a class, nothing was learnt, and all scores are 0.
    """
    scores = np.zeros(len(labels))
    for fold in range(int(folds.max()) + 1):
        mine = folds == fold
        others = ~mine
        if len(set(labels[others].tolist())) < 2:
            continue
        ridge = ridges[0]
        if len(ridges) > 1:
            then = folds == (fold + 1) % (int(folds.max()) + 1)
            ridge = _best(features, labels, others & ~then, others & then, ridges)
        scores[mine] = scored(features[mine], fitted(features[others], labels[others], ridge))
    return scores


def cross_validated_pairs(differences: Float64, folds: Integers, ridges: Sequence[float]) -> Float64:
    """Differences (P, F) of pairs and their folds (P,) -> scores (P,), above 0 where the bona fide member is picked."""
    scores = np.zeros(len(differences))
    for fold in range(int(folds.max(initial=0)) + 1):
        mine = folds == fold
        others = ~mine
        if not others.any():
            continue
        ridge = ridges[0]
        if len(ridges) > 1:
            then = folds == (fold + 1) % (int(folds.max()) + 1)
            ridge = _best_for_pairs(differences, others & ~then, others & then, ridges)
        scores[mine] = differences[mine] @ fitted_to_differences(differences[others], ridge)
    return scores


def _best(features: Float64, labels: Booleans, fit: Booleans, ask: Booleans, ridges: Sequence[float]) -> float:
    if len(set(labels[fit].tolist())) < 2 or len(set(labels[ask].tolist())) < 2:
        return ridges[len(ridges) // 2]
    signs = np.where(labels[ask], 1.0, -1.0)
    share = np.where(labels[ask], 1 / labels[ask].sum(), 1 / (~labels[ask]).sum())

    def loss(ridge: float) -> float:
        scores = scored(features[ask], fitted(features[fit], labels[fit], ridge))
        return float(share @ np.logaddexp(0.0, -signs * scores))

    return _least(loss, ridges)


def _best_for_pairs(differences: Float64, fit: Booleans, ask: Booleans, ridges: Sequence[float]) -> float:
    if not fit.any() or not ask.any():
        return ridges[len(ridges) // 2]
    return _least(
        lambda ridge: float(
            np.logaddexp(0.0, -differences[ask] @ fitted_to_differences(differences[fit], ridge)).mean()
        ),
        ridges,
    )


def _least(loss: Callable[[float], float], ridges: Sequence[float]) -> float:
    return min(ridges, key=loss)
