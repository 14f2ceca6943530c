"""The folder of a corpus while it is built: its recipe, what it is made of, and a journal of the recordings done."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aasist import files
from aasist.corpus.crew import Outcome
from aasist.corpus.fingerprints import changed as changed_sources
from aasist.corpus.fingerprints import joined, other_engines
from aasist.corpus.plan import Plan
from aasist.corpus.recipe import Recipe, differences, read_recipe, resolved_text
from aasist.corpus.takes import Heard, Made, unwritable
from aasist.errors import AasistError
from aasist.keys import shown

RECIPE, SOURCES, JOURNAL, LOCK = "recipe.toml", "sources.json", "journal.jsonl", ".lock"


class FolderError(AasistError):
    """A folder that cannot be built in: codes ``in_use``, ``other_recipe``, ``other_sources``, ``not_empty``, ``write``."""


def as_begun(recipe: Recipe, place: Path) -> Recipe:
    """The recipe, with what was held out as the folder ``place`` has it, where it was begun before generators could be."""
    try:
        known = (place / RECIPE).read_text(encoding="utf-8")
    except (OSError, ValueError):  # a new one; or it is found later
        return recipe
    if "held_out_by" in known:
        return recipe
    return dataclasses.replace(recipe, layout=dataclasses.replace(recipe.layout, held_out_by="attack"))


@dataclass(frozen=True)
class Done:
    """A recording that is done: what was heard of it, why it was left out, its takes by id."""

    recording: str
    heard: Heard
    left_out: str
    made: Mapping[str, Made]
    failed: Mapping[str, str]


@dataclass(frozen=True)
class Begun:
    """What a folder holds when a build begins in it, and of which engines how many failures were forgotten."""

    so_far: Sequence[Done]
    forgotten: Mapping[str, int]


def barren(engines: Iterable[str], plan: Plan, so_far: Iterable[Done]) -> frozenset[str]:
    """The engines that have made nothing so far; none where what was made is not what is planned by now.

    A take that is not planned may be of any of them, and a text that is not said any more means that what speaks the
    languages has changed: a plan that an engine's change turns over is another corpus.
    """
    planned = {take.id: take for unit in plan.units for take in unit.takes}
    fertile = set()
    for one in (one for done in so_far for one in done.made.values()):
        take = planned.get(one.take)
        if take is None or not one.text.startswith("".join(take.sentences[:1])):
            return frozenset()
        fertile.add(take.engine)
    return frozenset(engines) - fertile


class Folder:
    """A corpus's folder, open for one build; a context manager. Every file in it is whole at every moment."""

    def __init__(self, place: Path) -> None:
        """Opens ``place``, made where it is missing. Raises `FolderError` where it cannot be written to, holds something
        else, or is being built in."""
        self.place, self._is_new = place, not place.exists()
        try:
            place.mkdir(parents=True, exist_ok=True)
            others = [path.name for path in place.iterdir() if path.name != LOCK and not path.name.endswith(".part")]
            if others and not (place / RECIPE).exists():
                raise FolderError("not_empty", f"{place} holds other things ({others[0]}): name a new folder (-o)")
            self._lock = os.open(place / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise FolderError("write", f"cannot write into {place}: {error.strerror or error}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._lock)
            raise FolderError("in_use", f"{place}: another process builds in it; wait for it, or end it") from error
        except OSError:
            pass  # a file system without locks
        for draft in (*place.glob(".*.part"), *place.glob("ASVspoof2019_LA_*/*/.*.part")):  # of a build that was killed
            with suppress(OSError):
                draft.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)
        if not (self.place / RECIPE).exists():  # nothing came of it
            with suppress(OSError):
                (self.place / LOCK).unlink()
                if self._is_new:
                    self.place.rmdir()

    def begin(self, recipe: Recipe, sources: Mapping[str, Any], plan: Plan) -> Begun:
        """Write down what is to be built, or find that it is what was begun here: the recordings done so far, in order.

        An engine that has made nothing here may be another by now: its failures are forgotten. Raises `FolderError`:
        ``other_recipe`` naming the keys, ``other_sources`` naming what is not as it was.
        """
        path = self.place / RECIPE
        if not path.exists():
            self._write_sources(sources)
            self.write(RECIPE, resolved_text(recipe).encode())
            return Begun([], {})
        changed = differences(read_recipe(str(path)), recipe)
        if changed:
            named = "; ".join(
                f"{name}: {shown(was) or 'empty'} there, {shown(now) or 'empty'} now"
                for name, (was, now) in changed.items()
            )
            raise FolderError(
                "other_recipe", f"{self.place} was begun with another recipe ({named}): name another folder"
            )
        was = self._sources()
        so_far = self._journal()
        free = barren(sources["engines"], plan, so_far)
        others = changed_sources(was, sources, free)
        if others:
            raise FolderError(
                "other_sources",
                f"{self.place} was begun with other {' and other '.join(others)} (compare {SOURCES}), and holds what was made "
                "of it: bring that back; or, to make all of it anew, delete the folder or name another (-o)",
            )
        forgotten: dict[str, int] = {}
        again = free.intersection(other_engines(was, sources))
        if again:  # before the fingerprints: a kill in between, and it is found again
            so_far, forgotten = self._forget(again, plan, so_far)
        known = joined(was, sources)
        if known != was:  # begun before all of it was written down
            self._write_sources(known)
        self.write(RECIPE, resolved_text(recipe).encode())
        return Begun(so_far, forgotten)

    def note(self, outcome: Outcome) -> Done:
        """Add a recording to the journal; of two lines of one recording the later holds."""
        done = Done(
            outcome.unit.recording.id, outcome.heard, outcome.left_out, dict(outcome.made), dict(outcome.failed)
        )
        try:
            with open(self.place / JOURNAL, "ab") as file:
                file.write(_line(done))
        except OSError as error:
            raise unwritable(self.place / JOURNAL, error) from error
        return done

    def settle(self, done: Iterable[Done]) -> None:
        """The journal of a build that is over: a line a recording, in order."""
        content = b"".join(map(_line, done))
        if (self.place / JOURNAL).read_bytes() != content:
            self.write(JOURNAL, content)

    def write(self, name: str, content: bytes) -> None:
        """Write a file of the folder, whole or not at all; `Stop` where it cannot be written."""
        try:
            (self.place / name).parent.mkdir(parents=True, exist_ok=True)
            files.write(self.place / name, content)
        except OSError as error:
            raise unwritable(self.place / name, error) from error

    def remove(self, name: str) -> None:
        """Remove a file of the folder, if it is there."""
        with suppress(OSError):
            (self.place / name).unlink()

    def _write_sources(self, sources: Mapping[str, Any]) -> None:
        self.write(SOURCES, (json.dumps(sources, indent=1, sort_keys=True) + "\n").encode())

    def _sources(self) -> dict[str, Any]:
        try:
            known: dict[str, Any] = json.loads((self.place / SOURCES).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise FolderError("other_sources", f"{self.place / SOURCES} cannot be read: {error}") from error
        return known

    def _forget(
        self, engines: Collection[str], plan: Plan, so_far: Sequence[Done]
    ) -> tuple[list[Done], dict[str, int]]:
        """The recordings done without the failures of ``engines``, and how many each of these had.

        Files of which the journal knows nothing, made ahead of a kill, may be of such an engine as it was: they go.
        """
        engine_of = {take.id: take.engine for unit in plan.units for take in unit.takes}
        kept, forgotten = [], dict.fromkeys(sorted(engines), 0)
        for done in so_far:
            stays = {}
            for name, reason in done.failed.items():
                engine = engine_of.get(name)
                if engine in forgotten:
                    forgotten[engine] += 1
                elif engine is not None:
                    stays[name] = reason
            kept.append(dataclasses.replace(done, failed=stays))
        self.write(JOURNAL, b"".join(map(_line, kept)))
        made = {name for done in kept for name in done.made}
        for path in self.place.glob("ASVspoof2019_LA_*/flac/*.flac"):
            if path.stem not in made:
                self.remove(str(path.relative_to(self.place)))
        return kept, forgotten

    def _journal(self) -> list[Done]:
        """What is written down; a last line that a kill or a full disk broke off is cut off."""
        path = self.place / JOURNAL
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return []
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        try:
            done = [_done(json.loads(line.decode(errors="surrogateescape"))) for line in whole.splitlines()]
            return list({one.recording: one for one in done}.values())
        except (ValueError, KeyError, TypeError) as error:
            raise FolderError(
                "other_sources", f"{path} is damaged ({error}): delete it to make what it holds again"
            ) from error


def _line(done: Done) -> bytes:
    return (json.dumps(asdict(done), ensure_ascii=False, separators=(",", ":")) + "\n").encode(errors="surrogateescape")


def _done(line: Mapping[str, Any]) -> Done:
    made = {name: Made(**value) for name, value in line["made"].items()}
    return Done(line["recording"], Heard(**line["heard"]), line["left_out"], made, line["failed"])
