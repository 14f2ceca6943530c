"""The folder of a run: its recipe, what it ran on, its log, its weights, and the state that it goes on from."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from aasist import files
from aasist.errors import AasistError
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.recipefile import toml_of
from aasist.runtime.models import RUN_CHECKPOINTS
from aasist.training import state
from aasist.training.recipe import Recipe, differences, read_recipe, resolved_text
from aasist.training.state import Progress

RECIPE, ENVIRONMENT, METRICS, LOG = "recipe.toml", "environment.json", "metrics.jsonl", "log.txt"
AVERAGED, BEST = RUN_CHECKPOINTS
LAST, STATE = "last.safetensors", "state.safetensors"
DEV_SCORES = "dev-scores.tsv"
LOCK = ".lock"
WRITTEN = (RECIPE, ENVIRONMENT, METRICS, LOG, LAST, BEST, AVERAGED, STATE, DEV_SCORES)
"""All that a run leaves in its folder, the recipe first: where it stands, a run was begun."""

_held: set[Path] = set()
"""Folders that this process trains in."""

_PACKAGES = ("aasist", "torch", "numpy", "safetensors", "soundfile", "soxr", "av")


class RunError(AasistError):
    """A run folder cannot be used or written: codes ``run_exists``, ``no_run``, ``other_recipe``, ``other_data``,
    ``in_use``, ``write``, ``state``."""


class Run:
    """A run folder that is open for one training; a context manager. Every file in it is whole at every moment.

    Of several ranks the first alone has one: it is what writes.
    """

    def __init__(self, folder: Path) -> None:
        """Opens ``folder``, made where it is missing. Raises `RunError` ``write`` when it cannot be written to, and
        ``in_use`` when another process trains in it."""
        self.folder, self._is_new = folder, not folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._place = folder.resolve()
            if self._place in _held:  # a lock of this process is none against itself
                raise RunError("in_use", f"{folder}: this process trains in it already")
            self._lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunError(
                "write", f"cannot write into {folder}: {error.strerror or error}; name another folder (-o)"
            ) from error
        try:
            # Not flock, which workers would inherit and hold when this process is killed. It is lost as soon as this process
            # closes the file, by whatever descriptor: nothing else opens it.
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            os.close(self._lock)
            raise RunError("in_use", f"{folder}: another process trains in it; wait for it, or end it") from error
        except OSError:
            pass  # a file system without locks
        _held.add(self._place)
        for draft in folder.glob(".*.part"):  # of a process that was killed
            with suppress(OSError):
                draft.unlink()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._lock)
        _held.discard(self._place)
        if not (self.folder / RECIPE).exists():  # nothing came of it
            with suppress(OSError):
                (self.folder / LOCK).unlink()
                if self._is_new:
                    self.folder.rmdir()

    def begin(self, recipe: Recipe, environment: Mapping[str, Any]) -> None:
        """Write down what is about to be run; `RunError` ``run_exists`` where something was run here before."""
        require_no_run(self.folder)
        # The recipe first: a start that is killed here leaves a run to resume, not files of nobody.
        self.write(RECIPE, resolved_text(recipe).encode())
        self._environment([environment])
        self.write(METRICS, b"")

    def resume(self, recipe: Recipe, environment: Mapping[str, Any]) -> None:
        """Add a start to what is written down, with the recipe as it is now.

        Raises `RunError`: ``no_run`` where there is none, ``other_recipe`` naming the keys in which the run's recipe is
        another, ``other_data`` where its trials, its noise or its teachers were others.
        """
        kept = recipe_of(self.folder)
        changed = differences(kept, recipe)
        if changed:
            named = "; ".join(
                f"{name}: {toml_of(was)} in the run, {toml_of(now)} now" for name, (was, now) in changed.items()
            )
            raise RunError(
                "other_recipe",
                f"{self.folder} was begun with another recipe: {named}; give these as they were, or no recipe: it goes on "
                "with its own",
            )
        starts = self._starts()
        if starts:
            self._require_same_data(starts[0].get("data", {}), environment.get("data", {}))
        self._environment([*starts, environment])
        self.write(RECIPE, resolved_text(recipe).encode())

    def begun_on(self) -> dict[str, Any]:
        """What the run's first start recorded of its data, its teachers and its first weights."""
        return dict(next(iter(self._starts()), {}).get("data", {}))

    def state(self) -> bytes | None:
        """The file of the state, None where the run was stopped before its first."""
        try:
            return (self.folder / STATE).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise RunError("state", f"cannot read {self.folder / STATE}: {error.strerror or error}") from error

    def save(self, model: Aasist, tensors: Mapping[str, Tensor], progress: Progress) -> None:
        """The last weights, and the state that goes with them."""
        progress.metrics_bytes = self._settled_metrics()
        self.save_model(LAST, model)
        self.write(STATE, state.to_bytes(tensors, progress))

    def save_model(self, name: str, model: Aasist) -> None:
        """A checkpoint that ``aasist export`` and ``aasist evaluate`` take."""
        self.write(name, checkpoint.to_bytes(model))

    def write(self, name: str, content: bytes) -> None:
        """A file of the run, whole or as it was. Raises `RunError` ``write``."""
        try:
            files.write(self.folder / name, content)
        except OSError as error:
            raise self._unwritten(name, error) from error

    def line(self, values: Mapping[str, Any]) -> None:
        """One line more in metrics.jsonl."""
        self._append(METRICS, json.dumps(values, allow_nan=False))

    def say(self, text: str) -> None:
        """One line more in the log, with the time."""
        self._append(LOG, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}")

    def cut_metrics(self, size_bytes: int) -> int:
        """Drop what stands in metrics.jsonl behind ``size_bytes``: it was written after the state, and will be again.

        Bytes that are missing there: none, unless somebody else shortened it. Then it is cut behind its last whole line.
        """
        try:
            with open(self.folder / METRICS, "a+b") as file:
                held = file.tell()
                if held < size_bytes:
                    file.seek(0)
                    file.truncate(file.read().rfind(b"\n") + 1)
                elif held > size_bytes:
                    file.truncate(size_bytes)
        except OSError as error:
            raise self._unwritten(METRICS, error) from error
        return max(0, size_bytes - held)

    def _settled_metrics(self) -> int:
        """Length of metrics.jsonl, all of it on the disk: after a failure of power no state speaks of lines that are lost."""
        try:
            with open(self.folder / METRICS, "ab") as file:
                os.fsync(file.fileno())
                return file.tell()
        except OSError as error:
            raise self._unwritten(METRICS, error) from error

    def _append(self, name: str, line: str) -> None:
        try:
            with open(self.folder / name, "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{line}\n")
        except OSError as error:
            raise self._unwritten(name, error) from error

    def _unwritten(self, name: str, error: OSError) -> RunError:
        there = "what was saved last is whole, " if (self.folder / STATE).exists() else ""
        return RunError(
            "write",
            f"cannot write {self.folder / name}: {error.strerror or error}; {there}make room and go on with --resume",
        )

    def _require_same_data(self, was: Mapping[str, Any], now: Mapping[str, Any]) -> None:
        """`RunError` ``other_data`` where a role's fingerprint is another, or there is one on one side alone."""
        prints = {role: [side.get(role, {}).get("sha256", "none") for side in (was, now)] for role in {**was, **now}}
        others = [
            f"{role}: {one[:8]} in the run, {other[:8]} now" for role, (one, other) in prints.items() if one != other
        ]
        if others:
            raise RunError(
                "other_data",
                f"{self.folder} was begun on other data: {'; '.join(others)} (fingerprints of ids, labels, paths, sizes of "
                "files, and columns that sampling goes by; of noise; of a speech encoder; of teachers, of their files): give the "
                "same, or begin another run",
            )

    def _starts(self) -> list[dict[str, Any]]:
        """The starts so far; none where the run was stopped while it began."""
        if not (self.folder / ENVIRONMENT).exists() and not (self.folder / STATE).exists():
            return []
        try:
            starts = json.loads((self.folder / ENVIRONMENT).read_text(encoding="utf-8"))["starts"]
            return [dict(start) for start in starts]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError("state", f"{self.folder / ENVIRONMENT}: not the record of a run: {error}") from error

    def _environment(self, starts: list[Mapping[str, Any]]) -> None:
        self.write(ENVIRONMENT, (json.dumps({"starts": starts}, indent=2, sort_keys=True) + "\n").encode())


def recipe_of(folder: Path) -> Recipe:
    """The recipe that the folder's run was last started with; `RunError` ``no_run`` where there is none."""
    require_run(folder)
    return read_recipe(folder / RECIPE)


def require_run(folder: Path) -> None:
    """`RunError` ``no_run`` unless ``folder`` holds a run."""
    if not (folder / RECIPE).is_file():
        raise RunError("no_run", f"{folder} holds no run to resume: leave --resume out to begin one")


def require_no_run(folder: Path) -> None:
    """`RunError` ``run_exists`` where ``folder`` holds a run, or a file that one would write over."""
    there = [name for name in WRITTEN if os.path.lexists(folder / name)]
    if RECIPE in there:
        raise RunError("run_exists", f"{folder} holds a run: go on with it by --resume, or name another folder (-o)")
    if there:
        raise RunError(
            "run_exists",
            f"{folder} holds no run (there is no {RECIPE}) and files that one would write over, {', '.join(there)}: name "
            "another folder (-o)",
        )


def environment(
    recipe: Recipe, data: Mapping[str, Mapping[str, Any]], *, precision: str, device: str, world: int
) -> dict[str, Any]:
    """What a start runs on: versions, machine, threads, seed, data, and the state of the code where git knows it."""
    versions = {}
    for name in _PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": sys.argv,
        "versions": {"python": platform.python_version(), **versions},
        "machine": {"system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count()},
        "device": device,
        "precision": precision,
        "threads": torch.get_num_threads(),
        "ranks": world,
        "seed": recipe.seed,
        "data": {role: dict(facts) for role, facts in data.items()},
        "git": _git(Path(__file__).parent),
    }


def _git(folder: Path) -> dict[str, Any] | None:
    """Commit of the working tree that ``folder`` is in, and whether something is changed; None outside of one."""

    def said(*words: str) -> str:
        command = ["git", "-C", os.fspath(folder), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()  # noqa: S603

    with suppress(OSError, subprocess.SubprocessError):
        return {"commit": said("rev-parse", "HEAD"), "changed": bool(said("status", "--porcelain"))}
    return None
