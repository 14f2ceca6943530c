"""Cautions: why figures that were computed correctly may still mislead."""

from __future__ import annotations

from aasist.evaluation.comparison import Comparison
from aasist.evaluation.summary import FEWEST_TRIALS, Summary


def summary_cautions(summary: Summary) -> list[str]:
    """Sentences, none where nothing is to be said."""
    pooled = summary.pooled
    said = few_trials(pooled.bonafide, pooled.spoof)
    if pooled.auc is not None:
        said += _reversed("the scores", pooled.auc)
    attacks = set(summary.by.get("attack", ()))
    if summary.asv is not None and summary.asv.by_attack and attacks and not attacks & set(summary.asv.by_attack):
        said.append(
            "the verification system's scores and these trials have no attack in common: the t-DCF is of two corpora"
        )
    return said


def comparison_cautions(found: Comparison) -> list[str]:
    """Sentences, none where nothing is to be said."""
    said = few_trials(int(found.labels.sum()), int((~found.labels).sum()))
    for name, auc in zip(found.names, (found.figures["auc"].a, found.figures["auc"].b), strict=True):
        said += _reversed(f"those of {name}", auc)
    return said


def few_trials(bonafide: int, spoof: int) -> list[str]:
    """A sentence where a class has fewer than `FEWEST_TRIALS`."""
    if min(bonafide, spoof) >= FEWEST_TRIALS:
        return []
    return [
        f"bona fide trials: {bonafide}, spoofs: {spoof}; with fewer than {FEWEST_TRIALS} of a class the figures say "
        "little, and their intervals look narrower than they are"
    ]


def few_to_fit(bonafide: int, spoof: int) -> list[str]:
    """`few_trials` of a calibration, which then is one itself: the map is the more sure the fewer trials contradict it."""
    return [
        f"{said}. A map that is fitted to so few is likely too sure of itself, and its thresholds are a coin's toss: rely on "
        f"neither before it is fitted to many times {FEWEST_TRIALS} of each class"
        for said in few_trials(bonafide, spoof)
    ]


def _reversed(which: str, auc: float) -> list[str]:
    if auc >= 0.5:
        return []
    return [
        f"AUC {auc:.3f}: {which} rank spoofs above bona fide trials; higher must be more bona fide: are they negated?"
    ]
