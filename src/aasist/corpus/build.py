"""The build of a corpus: recordings and a recipe to takes, a manifest and protocols, taken up wherever it stopped."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from aasist.corpus import catalogue
from aasist.corpus.catalogue import BROKEN, Places, lacking, runnable
from aasist.corpus.crew import Alone, Outcome, Workers
from aasist.corpus.engine import Copier, Engine, Speaker
from aasist.corpus.faults import is_of_file
from aasist.corpus.fingerprints import sources_of
from aasist.corpus.folder import Done, Folder, as_begun
from aasist.corpus.layout import rows_of, write_layout
from aasist.corpus.plan import SUBSETS, Plan, Unit, planned
from aasist.corpus.recipe import Recipe
from aasist.corpus.recordings import RecordingsError, chosen, read_recordings
from aasist.corpus.takes import path_of
from aasist.corpus.texts import read_texts

FIRST = 10
"""An engine whose first so many takes all failed is stopped."""

FAIR_TRIAL, MOST_FAILED = 20, 0.2
"""One that failed on more than a fifth, of twenty or more, is stopped as well."""


class Listener(Protocol):
    """Hears how the build goes."""

    def say(self, text: str) -> None:
        """A sentence."""

    def went(self, done: int, total: int, takes: int) -> None:
        """So many of the recordings are done, and takes made since the start of this run; said once before the first."""


class Silent:
    """A `Listener` that says nothing."""

    def say(self, text: str) -> None:
        """Nothing."""

    def went(self, done: int, total: int, takes: int) -> None:
        """Nothing."""


@dataclass
class Summary:
    """What came of a build: takes by engine (``bonafide`` among them), what failed and why, and what was left out."""

    folder: Path
    made: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    """Engine -> its first failure, with the recording."""
    own: tuple[str, ...] = ()
    """Engines from files of the user's."""
    stopped: dict[str, str] = field(default_factory=dict)
    """Engine -> why it was stopped."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Recording -> why."""
    subsets: Counter[str] = field(default_factory=Counter)


def build(recipe: Recipe, place: Path, listener: Listener, *, jobs: int = 1) -> Summary:
    """Build the corpus of ``recipe`` in the folder ``place``, or the rest of it; ``jobs`` 0: in this process.

    What comes out is a function of recipe, recordings, engines and texts, however often it was stopped and whatever
    ``jobs`` is. Raises `AasistError` for what cannot be built, before anything is made; `Stop` for a full disk.
    """
    recordings = read_recordings(recipe.data)
    engines = _engines(recipe, listener)
    own = tuple(name for name, engine in engines.items() if is_of_file(engine))
    texts = read_texts(recipe.data.texts)
    recipe = as_begun(_resolved(recipe, engines), place)
    taken = chosen(recordings, recipe.choice, recipe.span.shortest_seconds, recipe.seed)
    if not taken:
        raise RecordingsError(
            "no_recordings",
            f"none of the {len(recordings):,} recordings is as long as span.shortest_seconds {recipe.span.shortest_seconds:g}",
        )
    plan = planned(recipe, taken, engines, texts)
    with Folder(place) as folder:
        begun = folder.begin(recipe, sources_of(recordings, taken, engines, texts), plan)
        for name, failures in begun.forgotten.items():
            listener.say(
                f"{name} has changed, and had made nothing here: it is tried again ({counted(failures, 'failure')} forgotten)"
            )
        work = _Work(folder, plan, Summary(place, own=own), listener)
        for done in begun.so_far:
            work.count(done)
        remaining = work.remaining()
        listener.say(_greeting(plan, engines, len(plan.units) - len(remaining)))
        listener.went(len(plan.units) - len(remaining), len(plan.units), 0)
        crew = Workers(recipe, place, jobs) if jobs else Alone(recipe, place)
        for outcome in crew.outcomes(remaining, work.wanted):
            work.accept(outcome)
        folder.settle(work.done[unit.recording.id] for unit in plan.units)
        if not work.summary.made["bonafide"]:
            raise RecordingsError(
                "no_recordings",
                f"every one of the {len(taken):,} recordings was left out; the first: {_first(work.summary)}",
            )
        rows = rows_of(plan, work.done)
        work.summary.subsets.update(row["subset"] for row in rows)
        write_layout(folder, plan, rows, engines)
    return work.summary


class _Work:
    """The state of a build: what is done, and which engines are stopped, recording by recording in the plan's order."""

    def __init__(self, folder: Folder, plan: Plan, summary: Summary, listener: Listener) -> None:
        self.folder, self.plan, self.summary = folder, plan, summary
        self.done: dict[str, Done] = {}
        self._listener = listener
        self._takes = {take.id: take for unit in plan.units for take in unit.takes}
        self._new_takes = self._gone_through = 0

    def remaining(self) -> Sequence[Unit]:
        """Units that are not done, or of which an engine's failures are forgotten."""
        remaining = [unit for unit in self.plan.units if self._lacks(unit)]
        self._gone_through = len(self.plan.units) - len(remaining)
        return remaining

    def wanted(self, unit: Unit) -> frozenset[str]:
        """Takes of a unit that there are not yet, and whose engines are not stopped by now."""
        done = self.done.get(unit.recording.id)
        known = {*done.made, *done.failed} if done is not None else set()
        return frozenset(
            take.id for take in unit.takes if take.engine not in self.summary.stopped and take.id not in known
        )

    def _lacks(self, unit: Unit) -> bool:
        """Whether something is to be made of it; a narrowed bona fide take alone is not: no spoof stands beside it."""
        done = self.done.get(unit.recording.id)
        return done is None or (
            not done.left_out and any(self._takes[name].attack is not None for name in self.wanted(unit))
        )

    def accept(self, outcome: Outcome) -> None:
        """Take in the next unit in order: what stopped engines made ahead of their end is dropped again.

        So is a narrowed bona fide take that no spoof stands beside.
        """
        unit, before = outcome.unit, self.done.get(outcome.unit.recording.id)
        if outcome.left_out:
            outcome.made.clear()
            outcome.failed.clear()
            if before is not None:  # it could be read once
                outcome.failed.update(dict.fromkeys(self.wanted(unit), outcome.left_out))
                outcome.left_out = ""
        for take in unit.takes:
            if take.engine in self.summary.stopped:
                outcome.made.pop(take.id, None)
                outcome.failed.pop(take.id, None)
        self._new_takes += len(outcome.made)
        if before is not None:
            outcome.heard = before.heard
            outcome.made.update(before.made)
            outcome.failed.update(before.failed)
            outcome.made = {take.id: outcome.made[take.id] for take in unit.takes if take.id in outcome.made}
            outcome.failed = {take.id: outcome.failed[take.id] for take in unit.takes if take.id in outcome.failed}
        spoofed = {take.pair for take in unit.takes if take.attack is not None and take.id in outcome.made}
        for take in unit.takes:
            if take.attack is None and take.pair != unit.recording.id and take.pair not in spoofed:
                outcome.made.pop(take.id, None)
                outcome.failed.pop(take.id, None)
        for take in unit.takes:
            if take.id not in outcome.made:  # a build that was killed may have left it, before its engine was stopped
                self.folder.remove(path_of(take, unit.subset))
        self.count(self.folder.note(outcome))
        self._gone_through += 1
        self._listener.went(self._gone_through, len(self.plan.units), self._new_takes)

    def count(self, done: Done) -> None:
        """Count a recording that is done, but for what was counted before, and stop engines that fail too often."""
        summary, before = self.summary, self.done.get(done.recording)
        counted = {*before.made, *before.failed} if before is not None else set()
        self.done[done.recording] = done
        if done.left_out:
            summary.left_out[done.recording] = done.left_out
        for name in (*done.made, *done.failed):
            take = self._takes.get(name)
            if take is None or name in counted:
                continue
            engine = take.engine
            if name in done.made:
                summary.made[engine] += 1
            else:
                summary.failed[engine] += 1
                summary.reasons.setdefault(engine, f"{done.recording}: {done.failed[name]}")
            if engine not in summary.stopped and take.attack is not None:
                self._judge(engine)

    def _judge(self, engine: str) -> None:
        failed, made = self.summary.failed[engine], self.summary.made[engine]
        often = failed + made >= FAIR_TRIAL and failed > MOST_FAILED * (failed + made)
        if often or (not made and failed >= FIRST):
            self.summary.stopped[engine] = f"{failed} of {failed + made} failed; {self.summary.reasons[engine]}"
            self._listener.say(f"{engine} is stopped for the rest: {self.summary.stopped[engine]}")


def _engines(recipe: Recipe, listener: Listener) -> dict[str, Engine]:
    """The engines that take part; of those that would, but for what is broken, the listener hears."""
    known = catalogue.engines(Places(recipe.data.engines, recipe.data.vocoders))
    taking: dict[str, Engine] = {}
    copies, speech = recipe.copies, recipe.speech
    if copies.per_recording:
        wanted = {kind for kind in ("vocoder", "vc", "codec") if getattr(copies, kind)}
        of_kinds = known if copies.engines else {name: e for name, e in known.items() if e.kind in wanted}
        taking |= runnable(of_kinds, Copier, copies.engines, "copies.engines")
        _say_broken(() if copies.engines else of_kinds.values(), listener)
    if speech.per_recording:
        taking |= runnable(known, Speaker, speech.engines, "speech.engines")
        _say_broken(() if speech.engines else (e for e in known.values() if isinstance(e, Speaker)), listener)
    for name, engine in taking.items():
        for voice, reason in engine.unusable().items() if isinstance(engine, Speaker) else ():
            listener.say(f"the voice {voice!r} of {name!r} takes no part: {reason}")
    return taking


def _say_broken(engines: Iterable[Engine], listener: Listener) -> None:
    """Name each that takes no part for another reason than that it is not installed."""
    for engine in engines:
        if (line := lacking(engine)).startswith(BROKEN):
            listener.say(f"the engine {engine.name!r} takes no part: {line}")


def _resolved(recipe: Recipe, engines: Mapping[str, Engine]) -> Recipe:
    """The recipe with its engines by name: what is installed later changes nothing of it."""
    copiers = tuple(name for name, engine in engines.items() if isinstance(engine, Copier))
    speakers = tuple(name for name, engine in engines.items() if isinstance(engine, Speaker))
    return dataclasses.replace(
        recipe,
        copies=dataclasses.replace(recipe.copies, engines=copiers),
        speech=dataclasses.replace(recipe.speech, engines=speakers),
    )


def _greeting(plan: Plan, engines: Mapping[str, Engine], done: int) -> str:
    """What is about to happen, in a sentence."""
    takes = sum(len(unit.takes) for unit in plan.units)
    parts = Counter(unit.subset for unit in plan.units)
    split = ", ".join(f"{subset} {parts[subset]:,}" for subset in SUBSETS if parts[subset])
    held = ", ".join(f"{attack.name} {attack.key}" for attack in plan.attacks if attack.held_out)
    begun = f"; {counted(done, 'recording')} {'is' if done == 1 else 'are'} done" if done else ""
    return (
        f"{counted(len(plan.units), 'recording')} ({split}), {counted(takes, 'file')} by {counted(len(engines), 'engine')}, "
        f"{counted(len(plan.attacks), 'attack')}"
        f"{f', in eval alone: {held}' if held else ''}{begun}"
    )


def counted(number: int, what: str) -> str:
    """``1 engine``, ``2 engines``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _first(summary: Summary) -> str:
    name, reason = next(iter(summary.left_out.items()))
    return f"{name}: {reason}"
