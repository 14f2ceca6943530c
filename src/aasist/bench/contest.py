"""Everything measured of the contenders: each alone for its memory, then all in turns for their time."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aasist.bench import memory
from aasist.bench.child import asked
from aasist.bench.contender import Contender, Row
from aasist.bench.turns import WARM_UP_ROUNDS
from aasist.errors import AasistError

ALONE, RACE = "aasist.bench.alone:measure", "aasist.bench.race:run"
ALONE_SECONDS = 180.0
"""To open a session, or for one run: a contender that takes longer is left out."""
MEMORY_SHARE = 0.8
"""Of the memory that is free, what all sessions together may take."""

Moved = Callable[[str, int, int, str], object]
"""Called with the stage, what of it is done, of how much, and with what is being done."""


@dataclass
class Contest:
    """What came of it."""

    rows: list[Row] = field(default_factory=list)
    """In the order of the contenders."""
    failures: dict[Contender, str] = field(default_factory=dict)
    """Why some have no row."""
    reference_ms: dict[int, float] = field(default_factory=dict)
    """Threads -> median of the published architecture in eager PyTorch; empty without torch."""
    without_reference: str = ""
    """Why there is no reference though it was wanted; else empty."""
    rounds: int = 0
    """That counted: fewer than asked for where time was up."""


@dataclass(frozen=True)
class Limits:
    """How long it may take."""

    rounds: int = 20
    seconds: float = 600.0
    """After so many no further round is begun."""


def contest(
    contenders: Sequence[Contender],
    limits: Limits,
    *,
    with_reference: bool,
    weights: str | None = None,
    moved: Moved = lambda stage, done, total, said: None,
) -> Contest:
    """Measure ``contenders``; ``weights`` is a checkpoint of the published architecture for the reference, None: seeded."""
    found = Contest()
    alone = _alone(contenders, found, moved)
    _leave_out_the_largest(alone, found)
    counts = sorted({contender.threads for contender in alone}) if with_reference else []
    timed = _timed(list(alone), found, limits, {"weights": weights, "threads": counts} if counts else None, moved)
    for threads, told in zip(counts, timed["reference"], strict=False):
        if told["seconds"]:
            found.reference_ms[threads] = 1000 * statistics.median(told["seconds"])
        else:
            found.without_reference = told["failure"]
    for contender, told in timed["contenders"]:
        found.rows.append(_row(contender, told, alone[contender], found.reference_ms.get(contender.threads)))
        found.rounds = max(found.rounds, len(told["seconds"]))
    return found


def _alone(contenders: Iterable[Contender], found: Contest, moved: Moved) -> dict[Contender, dict[str, float]]:
    """What each took in a process of its own; those that cannot run are among the failures."""
    every = list(contenders)
    facts = {}
    for done, contender in enumerate(every):
        moved("memory", done, len(every), str(contender))
        try:
            facts[contender] = asked(ALONE, {"contender": contender.to_json()}, silence_seconds=ALONE_SECONDS)
        except AasistError as error:
            found.failures[contender] = error.message
    return facts


def _leave_out_the_largest(alone: dict[Contender, dict[str, float]], found: Contest) -> None:
    """What does not fit into memory beside the others would push all of them out of it."""
    free = memory.available_bytes()
    if free is None:
        return
    allowed = MEMORY_SHARE * free / 1e6
    while alone and sum(facts["peak_memory_mb"] for facts in alone.values()) > allowed:
        largest = max(alone, key=lambda contender: alone[contender]["peak_memory_mb"])
        found.failures[largest] = (
            f"its {alone[largest]['peak_memory_mb']:,.0f} MB do not fit beside the others into {allowed:,.0f} MB of free "
            "memory: time it in a run of its own"
        )
        del alone[largest]


def _timed(
    contenders: list[Contender],
    found: Contest,
    limits: Limits,
    reference: dict[str, Any] | None,
    moved: Moved,
) -> dict[str, Any]:
    """``reference``, a list, and ``contenders``, pairs with what each took. One that brings the process down is left out,
    and the others begin anew."""
    references = 0 if reference is None else len(reference["threads"])
    total = limits.rounds + WARM_UP_ROUNDS
    while contenders:
        at = 0

        def heard(message: dict[str, Any]) -> None:
            nonlocal at
            at = message.get("at", at)
            if "round" in message:
                moved("time", message["round"], total, "rounds")

        arguments = {
            "contenders": [contender.to_json() for contender in contenders],
            "reference": reference,
            "rounds": limits.rounds,
            "seconds": limits.seconds,
        }
        moved("time", 0, total, "opening all")
        try:
            told = asked(RACE, arguments, silence_seconds=ALONE_SECONDS, heard=heard)
        except AasistError as error:
            if at < references:  # nothing to be compared with: the contenders are timed all the same
                reference, references, found.without_reference = None, 0, error.message
                continue
            guilty = contenders.pop(at - references)
            found.failures[guilty] = f"beside the others: {error.message}"
            continue
        kept = []
        for contender, one in zip(contenders, told["contenders"], strict=True):
            if one["failure"] or not one["seconds"]:
                found.failures[contender] = one["failure"] or "time was up before its first round"
            else:
                kept.append((contender, one))
        return {"reference": told["reference"], "contenders": kept}
    return {"reference": [], "contenders": []}


def _row(contender: Contender, told: dict[str, Any], alone: dict[str, float], reference_ms: float | None) -> Row:
    joules = [contender.of_window(value) for value in told["joules"]]
    return Row(
        contender,
        milliseconds=tuple(1000 * contender.of_window(seconds) for seconds in told["seconds"]),
        peak_memory_mb=alone["peak_memory_mb"],
        load_seconds=alone["load_seconds"],
        joules=statistics.mean(joules) if joules else None,
        reference_ms=reference_ms,
    )
