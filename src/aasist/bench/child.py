"""Work in a process of its own, which may crash or hang without taking this one with it.

A job is a function, named ``module:function``, that takes ``say`` and its arguments, all of them JSON, and returns JSON. The
processor may lack an instruction, a runtime may deadlock beside another: each is a sentence then, never an end.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import IO, Any

from aasist.errors import AasistError

Say = Callable[[dict[str, Any]], None]


def asked(
    job: str,
    arguments: Mapping[str, Any],
    *,
    silence_seconds: float,
    environment: Mapping[str, str] | None = None,
    heard: Callable[[dict[str, Any]], None] = lambda said: None,
) -> Any:
    """What ``job`` returns; ``heard`` gets what it says on its way.

    Raises `AasistError` ``bench`` where it fails, dies, or says nothing for ``silence_seconds``; then it is killed.
    """
    command = [sys.executable, "-P", "-m", "aasist.bench.child"]  # -P: a file here may be called numpy.py
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(  # noqa: S603 (our own module)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env={**os.environ, **(environment or {})},
        ) as process,
    ):
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps({"job": job, "arguments": dict(arguments)}).encode())
                process.stdin.close()
            except BrokenPipeError:  # it died before it had read: what it left behind says why
                pass
            for message in _messages(process.stdout, silence_seconds):
                if "done" in message:
                    return message["done"]
                if "failed" in message:
                    raise AasistError("bench", message["failed"])
                heard(message)
            process.wait()
            raise AasistError("bench", _end(process.returncode, complaints))
        finally:
            process.kill()


def _messages(stream: IO[bytes], silence_seconds: float) -> Iterator[dict[str, Any]]:
    """The lines that a process says, until it says no more; `AasistError` where it is silent for too long."""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        waiting = b""
        limit = time.monotonic() + silence_seconds
        while True:
            if not selector.select(max(0.0, limit - time.monotonic())):
                raise AasistError("bench", f"nothing was heard of it for {silence_seconds:g} s")
            read = os.read(stream.fileno(), 1 << 16)
            if not read:
                return
            *lines, waiting = (waiting + read).split(b"\n")
            for line in lines:
                limit = time.monotonic() + silence_seconds
                yield json.loads(line)


def _end(code: int, complaints: IO[bytes]) -> str:
    """One sentence about a process that ended without a result."""
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        hint = {"SIGILL": ": the processor lacks an instruction", "SIGKILL": ": out of memory, most likely"}
        return f"its process ended by {name}{hint.get(name, '')}"
    complaints.seek(0)
    lines = complaints.read().decode(errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), f"exit code {code}")
    return f"its process failed: {last[:300]}"


def main() -> None:
    """Take one job from standard input."""
    # Runtimes print on standard output what they please: messages have it for themselves, and prints go to stderr.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)

        def say(message: dict[str, Any]) -> None:
            out.write(json.dumps(message) + "\n")
            out.flush()

        request = json.load(sys.stdin)
        module, _, function = request["job"].partition(":")
        try:
            done = getattr(import_module(module), function)(say, **request["arguments"])
        except AasistError as error:
            say({"failed": error.message})
        except MemoryError:
            say({"failed": "out of memory"})
        else:
            say({"done": done})


if __name__ == "__main__":
    main()
