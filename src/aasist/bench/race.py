"""All contenders in one process, in turns, with the reference among them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from aasist.bench import energy
from aasist.bench.child import Say
from aasist.bench.contender import Contender
from aasist.bench.opening import noise, opened
from aasist.bench.turns import Entrant, Timed, in_turns
from aasist.errors import AasistError
from aasist.session import Float32, Session

SETTLE_SECONDS = 0.01
"""Threads of a run may wait for more by spinning; so long after it they sleep."""


def run(
    say: Say,
    *,
    contenders: list[dict[str, Any]],
    reference: dict[str, Any] | None,
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """``contenders`` and ``reference`` (a list by its ``threads``), of each the `Timed` as an object.

    It says which one it is at (``at``: its place in the line, the references first) and the rounds done (``round``), so
    that of a crash or a hang the one who caused it is known.
    """
    entrants = [Contender(**values) for values in contenders]
    counts = [] if reference is None else list(reference["threads"])
    settle = any(threads > 1 for threads in [*counts, *(entrant.threads for entrant in entrants)])
    line: list[Entrant] = []

    def add(session: Session, windows: Float32, threads: int) -> None:
        at = len(line)
        use_threads: Callable[[int], None] = getattr(session, "use_threads", lambda threads: None)

        def ready() -> None:
            say({"at": at})
            use_threads(threads)
            if settle:
                time.sleep(SETTLE_SECONDS)

        line.append(Entrant(lambda: session.run(windows), ready))

    if reference is not None:
        say({"at": 0})
        session = _reference(reference["weights"])
        for threads in counts:
            add(session, noise(1), threads)
    sessions: dict[tuple[str, str, str, int], Session | str] = {}
    for entrant in entrants:
        say({"at": len(line)})
        key = (entrant.path, entrant.runtime, entrant.precision, entrant.threads)
        if key not in sessions:
            sessions[key] = _opened(entrant)
        found = sessions[key]
        if isinstance(found, str):
            line.append(Entrant(_fails(found)))
        else:
            add(found, noise(entrant.batch, entrant.window_samples), entrant.threads)
    meter = energy.meter()
    timed = in_turns(
        line,
        rounds=rounds,
        seconds=seconds,
        joules=None if meter is None else meter.joules,
        moved=lambda done: say({"round": done}),
    )
    told = [_told(one) for one in timed]
    return {"reference": told[: len(counts)], "contenders": told[len(counts) :]}


def _reference(weights: str | None) -> Session:
    from aasist.model.reference import Reference

    return Reference(weights)


def _opened(entrant: Contender) -> Session | str:
    """The session, or why there is none."""
    try:
        return opened(entrant)
    except AasistError as error:
        return error.message


def _fails(reason: str) -> Callable[[], object]:
    def run() -> object:
        raise AasistError("bench", reason)

    return run


def _told(timed: Timed) -> dict[str, Any]:
    return {"seconds": timed.seconds, "joules": timed.joules, "failure": timed.failure}
