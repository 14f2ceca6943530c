"""Timing in turns: of everything one run, then of everything the next, so that a busy machine slows all alike."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aasist.errors import AasistError

WARM_UP_ROUNDS = 3
"""Rounds before any counts: the first allocates, compiles and fills caches."""


@dataclass
class Timed:
    """What one entrant took."""

    seconds: list[float] = field(default_factory=list)
    """Of each round that counts."""
    joules: list[float] = field(default_factory=list)
    """Of the same rounds; empty where they cannot be told."""
    failure: str = ""
    """Why it was left out from some round on; empty where it was not."""


@dataclass(frozen=True)
class Entrant:
    """What is run in its turn; ``ready`` is done before, and not timed."""

    run: Callable[[], object]
    ready: Callable[[], object] = lambda: None


def in_turns(
    entrants: Sequence[Entrant],
    *,
    rounds: int,
    seconds: float = math.inf,
    warm_up: int = WARM_UP_ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
    joules: Callable[[], float] | None = None,
    moved: Callable[[int], None] = lambda done: None,
) -> list[Timed]:
    """What each entrant took, in their order, over ``rounds`` rounds after ``warm_up``; 1 or more of them.

    After ``seconds`` no further round is begun, but one of them always counts. An entrant that raises an `AasistError` or
    runs out of memory is left out from then on. ``moved`` is called with the rounds done, warm-up included.
    """
    assert rounds >= 1
    found = [Timed() for _ in entrants]
    started = clock()
    turn = 0
    counted = 0
    while counted < rounds:
        late = clock() - started >= seconds
        if late and counted:
            break
        counts = turn >= warm_up or (late and turn > 0)  # late already while warming up: the next round counts
        for entrant, timed in zip(entrants, found, strict=True):
            if not timed.failure:
                _take(entrant, timed, counts, clock, joules)
        turn += 1
        counted += counts
        moved(turn)
    return found


def _take(
    entrant: Entrant, timed: Timed, counts: bool, clock: Callable[[], float], joules: Callable[[], float] | None
) -> None:
    """One run of one entrant."""
    try:
        entrant.ready()
        before = joules() if joules is not None else 0.0
        start = clock()
        entrant.run()
        elapsed = clock() - start
        after = joules() if joules is not None else 0.0
    except AasistError as error:
        timed.failure = error.message
    except MemoryError:
        timed.failure = "out of memory"
    else:
        if counts:
            timed.seconds.append(elapsed)
            if joules is not None:
                timed.joules.append(after - before)
