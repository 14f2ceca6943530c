"""Less of a verdict for those who need less: what cannot be read off cannot be climbed along.

``full``: everything. ``rounded``: llr to a whole number, score to two digits of that. ``label``: the label and where, no number.
"""

from __future__ import annotations

from typing import Any

from aasist.runtime.verdict import score_of
from aasist.service.settings import Detail


def coarsened(document: dict[str, Any], detail: Detail) -> dict[str, Any]:
    """The JSON object of a verdict -> what is answered of it."""
    if detail == "full":
        return document
    out = {**document, **_coarse(document, detail)}
    out["segments"] = [{**one, **_coarse(one, detail)} for one in document["segments"]]
    if "windows" in out:
        out["windows"] = [{**one, **_coarse(one, detail)} for one in document["windows"]] if detail == "rounded" else []
    return out


def _coarse(scored: dict[str, Any], detail: Detail) -> dict[str, float | None]:
    if detail == "label" or scored["llr"] is None:
        return {"llr": None, "score": None}
    llr = float(round(scored["llr"]))
    return {"llr": llr, "score": round(score_of(llr), 2)}


_LLRS = ("llr", "llr_before", "llr_after")


def coarsened_event(document: dict[str, Any], detail: Detail) -> dict[str, Any] | None:
    """The JSON object of a stream's event -> what is sent of it; None: nothing, since it is all numbers.

    Change points stay, without their numbers: that somebody else speaks is heard anyway.
    """
    if detail == "full":
        return document
    if document["type"] == "final":
        changes = [_coarse_event(change, detail) for change in document["changes"]]
        return {**coarsened(document, detail), "changes": changes}
    return None if detail == "label" and document["type"] == "window" else _coarse_event(document, detail)


def _coarse_event(document: dict[str, Any], detail: Detail) -> dict[str, Any]:
    coarse = {name: _rounded(document[name], detail) for name in _LLRS if name in document}
    if "score" in document:
        llr = coarse["llr"]
        coarse["score"] = None if llr is None else round(score_of(llr), 2)
    return {**document, **coarse}


def _rounded(llr: float | None, detail: Detail) -> float | None:
    return None if detail == "label" or llr is None else float(round(llr))
