"""A crew of workers: processes that make units side by side, survive an engine that crashes or hangs, and answer in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from aasist.corpus.plan import Unit
from aasist.corpus.program import told
from aasist.corpus.recipe import Recipe
from aasist.corpus.takes import Began, Failed, Heard, LeftOut, Made, Maker, Stop
from aasist.errors import AasistError

AHEAD = 6
"""Units a worker that may be done before the first of them is answered: what a kill can cost."""

SINGLE_THREADED = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_READY_SECONDS = 120.0
"""A worker that has not come up by then never will."""

_READING_SECONDS = 120.0
"""What reading a recording may take besides ``run.item_seconds``, which is for an engine."""

_TICK_SECONDS = 0.5


@dataclass(frozen=True)
class _Ready:
    """A worker is up: what ends it from now on is an engine's fault or a recording's, not the worker's own."""


@dataclass(frozen=True)
class _Program:
    """The process group of the program that an engine has called; 0 when it is over."""

    group: int


@dataclass
class Outcome:
    """What became of a unit: of each take that was wanted, `Made` or `Failed`; or why the recording is left out."""

    unit: Unit
    heard: Heard = field(default_factory=lambda: Heard("", ""))
    left_out: str = ""
    made: dict[str, Made] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def take_in(self, event: object) -> None:
        """Note one event of a `Maker`."""
        match event:
            case Heard():
                self.heard = event
            case LeftOut(reason):
                self.left_out = reason
            case Made(take):
                self.made[take] = event
            case Failed(take, reason):
                self.failed[take] = reason


class Crew(Protocol):
    """Makes units and answers in their order."""

    def outcomes(self, units: Iterable[Unit], wanted: Callable[[Unit], frozenset[str]]) -> Iterator[Outcome]:
        """``wanted`` says, when a unit is begun, which of its takes are to be made."""
        ...


class Alone:
    """No other process: an engine can be stepped through with a debugger, and a crash of it ends everything."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self._maker = Maker(recipe, folder)

    def outcomes(self, units: Iterable[Unit], wanted: Callable[[Unit], frozenset[str]]) -> Iterator[Outcome]:
        """One after the other."""
        for unit in units:
            outcome = Outcome(unit)
            for event in self._maker.make(unit, wanted(unit)):
                outcome.take_in(event)
            yield outcome


class _Worker:
    """One process, what it is at, and since when."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self.end, other = context.Pipe()
        self.process = context.Process(target=_work, args=(other, recipe, folder), daemon=True)
        with _single_threaded():
            self.process.start()
        other.close()
        self.outcome: Outcome | None = None
        self.wanted: frozenset[str] = frozenset()
        self.take = ""
        self.program = 0
        self.has_spoken = False
        self.allow(_READY_SECONDS)

    def allow(self, seconds: float) -> None:
        """It has so long from now."""
        self.allowed = self.patience = seconds

    def begin(self, outcome: Outcome, wanted: frozenset[str], seconds: float) -> None:
        self.outcome, self.wanted, self.take = outcome, wanted, ""
        self.allow(seconds + _READING_SECONDS if self.has_spoken else _READY_SECONDS)
        with suppress(OSError):  # it is dead, and found so in a moment
            self.end.send((outcome.unit, wanted))

    def close(self) -> None:
        """End it, and the program that it has called with all that this has started."""
        self.process.kill()
        self.process.join()
        with suppress(EOFError, OSError):  # what it said last
            while self.end.poll():
                event = self.end.recv()
                if isinstance(event, _Program):
                    self.program = event.group
        if self.program:
            with suppress(OSError):
                os.killpg(self.program, signal.SIGKILL)
        self.end.close()


class Workers:
    """``jobs`` processes. One in which an engine crashes or takes too long is ended, its take has failed, and another
    process goes on with the rest of the unit."""

    def __init__(self, recipe: Recipe, folder: Path, jobs: int) -> None:
        self._recipe, self._folder, self._jobs = recipe, folder, jobs
        self._seconds = recipe.run.item_seconds
        self._waiting: deque[tuple[Outcome, frozenset[str]]] = deque()

    def outcomes(self, units: Iterable[Unit], wanted: Callable[[Unit], frozenset[str]]) -> Iterator[Outcome]:
        """Units are begun when a worker is free, at most `AHEAD` a worker before the first that is not answered."""
        remaining = iter(units)
        order: deque[Outcome] = deque()
        done: set[int] = set()
        workers: list[_Worker] = []
        exhausted = False
        try:
            while True:
                while order and id(order[0]) in done:
                    outcome = order.popleft()
                    done.discard(id(outcome))
                    yield outcome
                self._give_out(workers)
                while not exhausted and self._has_room(workers) and len(order) < AHEAD * self._jobs:
                    unit = next(remaining, None)
                    if unit is None:
                        exhausted = True
                    else:
                        order.append(Outcome(unit))
                        self._waiting.append((order[-1], wanted(unit)))
                        self._give_out(workers)
                if exhausted and not order:
                    return
                self._listen(workers, done)
        finally:
            for worker in workers:
                worker.close()
            self._waiting.clear()

    def _has_room(self, workers: list[_Worker]) -> bool:
        return not self._waiting and (len(workers) < self._jobs or any(worker.outcome is None for worker in workers))

    def _give_out(self, workers: list[_Worker]) -> None:
        """What waits goes to idle workers, and to new ones up to the number of jobs."""
        while self._waiting:
            idle = next((worker for worker in workers if worker.outcome is None), None)
            if idle is None:
                if len(workers) >= self._jobs:
                    return
                idle = _Worker(self._recipe, self._folder)
                workers.append(idle)
            outcome, wanted = self._waiting.popleft()
            idle.begin(outcome, wanted, self._seconds)

    def _listen(self, workers: list[_Worker], done: set[int]) -> None:
        """Hear what the workers say, until one of them is idle or lost."""
        busy = [worker for worker in workers if worker.outcome is not None]
        if not busy:
            return
        began = time.monotonic()
        ready = wait([worker.end for worker in busy], timeout=_TICK_SECONDS)
        # A longer time is one in which we were stopped, and the workers with us: it counts for nothing.
        waited = min(time.monotonic() - began, 2 * _TICK_SECONDS)
        for worker in busy:
            assert worker.outcome is not None
            worker.patience -= waited
            if worker.end in ready:
                try:
                    event = worker.end.recv()
                except (EOFError, OSError):
                    self._lost(worker, workers, done, self._death(worker))
                    continue
                self._hear(worker, event, done)
            elif worker.patience <= 0:
                key = " (run.item_seconds)" if worker.take else ""
                self._lost(worker, workers, done, f"it took longer than {worker.allowed:g} s{key}")

    def _hear(self, worker: _Worker, event: object, done: set[int]) -> None:
        assert worker.outcome is not None
        worker.has_spoken = True
        if isinstance(event, AasistError):
            raise event
        if isinstance(event, _Ready):
            worker.allow(self._seconds + _READING_SECONDS)
        elif isinstance(event, _Program):
            worker.program = event.group
        elif isinstance(event, Began):
            worker.take = event.take
            worker.allow(self._seconds)
        elif event is None:
            done.add(id(worker.outcome))
            worker.outcome = None
        else:
            worker.outcome.take_in(event)
            worker.take = ""
            worker.allow(self._seconds + _READING_SECONDS)

    def _death(self, worker: _Worker) -> str:
        worker.process.join()
        code = worker.process.exitcode or 0
        return (
            f"it ended the process by {signal.Signals(-code).name}"
            if code < 0
            else f"it ended the process (code {code})"
        )

    def _lost(self, worker: _Worker, workers: list[_Worker], done: set[int], reason: str) -> None:
        """A worker is gone or has to go: the take that it was at has failed, the rest of its unit is begun again."""
        outcome, take = worker.outcome, worker.take
        assert outcome is not None
        if not worker.has_spoken:
            raise Stop(f"a worker could not begin: {reason}; try with --jobs 0, which shows why")
        workers.remove(worker)
        worker.close()
        if take:
            outcome.failed[take] = reason
        elif not outcome.made:
            outcome.left_out = f"reading it: {reason}"
        rest = worker.wanted - outcome.made.keys() - outcome.failed.keys()
        if not rest or outcome.left_out:
            done.add(id(outcome))
        elif take:
            self._waiting.appendleft((outcome, rest))
        else:
            outcome.failed.update(dict.fromkeys(rest, reason))
            done.add(id(outcome))


def _work(end: Connection, recipe: Recipe, folder: Path) -> None:
    """A worker's life: units in, events out, None after each; ends when the pipe does."""
    # Ctrl-C goes to the whole group; who began ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def say(event: Any) -> None:
        try:
            end.send(event)
        except OSError:  # whoever began is gone
            os._exit(0)

    try:
        maker = Maker(recipe, folder)
        say(_Ready())
        with told(lambda group: say(_Program(group))):
            while True:
                unit, wanted = end.recv()
                for event in maker.make(unit, wanted):
                    say(event)
                say(None)
    except EOFError:
        return
    except AasistError as error:
        say(Stop(error.message))


@contextmanager
def _single_threaded() -> Iterator[None]:
    """A new process gets one thread for each of its libraries, which read the environment as they are loaded."""
    before = {name: os.environ.get(name) for name in SINGLE_THREADED}
    os.environ.update(dict.fromkeys(SINGLE_THREADED, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
