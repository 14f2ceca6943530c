"""Operating points of a model in words, as verbs print them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aasist.runtime.points import NamedPoint, Rates


def in_words(point: NamedPoint) -> str:
    """Its error rates with their 95 % intervals, in a line."""
    return (
        f"{_share(point.miss, point.miss_interval)} of bona fide rejected, "
        f"{_share(point.false_acceptance, point.false_acceptance_interval)} of spoofs accepted"
    )


def _share(rate: float, limits: Rates) -> str:
    return f"{100 * rate:.1f} % ({100 * limits[0]:.1f} to {100 * limits[1]:.1f})"
