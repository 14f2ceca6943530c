"""A file of JSON lines that is there whole, or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import click

from aasist.files import Draft

STOPS = (KeyboardInterrupt, SystemExit, BrokenPipeError)
"""Ctrl-C, SIGTERM, and a reader of the table who has seen enough (``| head``): no fault of what is being done."""


class JsonLines:
    """Lines go to a draft beside ``path``, which takes its name when the work ended without an exception, and ``path``
    with ``.part`` behind it when it was stopped (`STOPS`)."""

    def __init__(self, path: Path) -> None:
        if path.exists() and any(is_stream(path, stream) for stream in (1, 2)):
            raise click.UsageError(f"cannot write {path}: the output already goes there; leave -o out and use --json")
        try:
            self._draft = Draft(path)
        except OSError as error:
            raise click.UsageError(f"cannot write {path}: {error.strerror or error}") from error
        self._lines = 0

    def __enter__(self) -> Self:
        return self

    def write(self, line: str) -> None:
        """Add one line."""
        self._draft.file.write(f"{line}\n".encode())
        self._lines += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            stack.push(self._draft)
            if kind is None:
                self._draft.take()
            elif issubclass(kind, STOPS) and self._lines > 0:
                # What is done is kept, under a name that says it is not all.
                path = self._draft.path.with_name(f"{self._draft.path.name}.part")
                self._draft.take(path)
                click.echo(f"aasist: stopped; the lines so far ({self._lines}) are in {path}", err=True)


def require_onnx(path: Path, otherwise: str = "") -> None:
    """``click.UsageError`` for a model file by another name: what reads it goes by the name."""
    if path.suffix != ".onnx":
        raise click.UsageError(f"-o writes ONNX: name a file that ends in .onnx, got {path}{otherwise}")


def require_files(*places: tuple[Path | None, str], inputs: Sequence[Path | None] = ()) -> None:
    """Raise ``click.UsageError``, before the minutes that the work takes, for results (each with its option; None: not
    wanted) that cannot be written, that share a file, or that would replace one of ``inputs``."""
    named = [(path, option) for path, option in places if path is not None]
    for number, (path, option) in enumerate(named):
        for other, before in named[:number]:
            if os.path.realpath(path) == os.path.realpath(other):
                raise click.UsageError(f"{before} and {option} both name {other}")
    for path, _ in named:
        if path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "a device"
            raise click.UsageError(f"cannot write {path}: it is {what}, a file was wanted")
        if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
            raise click.UsageError(f"cannot write {path}: no such folder, or no permission")
        if any(given is not None and _is_same(path, given) for given in inputs):
            raise click.UsageError(f"{path} is what was given: it would be replaced; name another file")


def require_output(output: Path, paths: tuple[str, ...], model: str) -> None:
    """Raise ``click.UsageError`` where writing to ``output`` would destroy a recording of ``paths`` or the model."""
    from aasist.audio.files import AUDIO_EXTENSIONS
    from aasist.cli.find import STANDARD_INPUT

    if output.suffix.lower() in AUDIO_EXTENSIONS:
        raise click.UsageError(f"{output} has the name of a recording: JSON lines go to a file such as verdicts.jsonl")
    if output == Path(STANDARD_INPUT):
        raise click.UsageError("-o wants the name of a file; --json writes to standard output")
    if _is_same(output, model):
        raise click.UsageError(f"{output} is the model: it would be replaced")
    if any(is_stream(output, 0) if path == STANDARD_INPUT else _is_same(output, path) for path in paths):
        raise click.UsageError(f"{output} is one of the recordings: it would be replaced")


def _is_same(output: Path, path: Path | str) -> bool:
    try:
        return output.samefile(path)
    except OSError:  # one of them is not there, or cannot be: a name too long, a folder that may not be entered
        return False


def is_stream(path: Path, stream: int) -> bool:
    """Whether a file is what standard input (0), output (1) or error (2) leads to."""
    try:
        return os.path.samestat(path.stat(), os.fstat(stream))
    except OSError:  # the stream is closed
        return False
