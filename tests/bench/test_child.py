"""Work in a process of its own: what it returns, and each way in which it ends badly."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from aasist.bench.child import asked
from aasist.errors import AasistError

HERE = Path(__file__).parent


def ask(job: str, silence_seconds: float = 60.0, **arguments: Any) -> Any:
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    environment = {"PYTHONPATH": path, "SOME_THREADS": "3"}
    heard: list[dict[str, Any]] = []
    done = asked(f"jobs:{job}", arguments, silence_seconds=silence_seconds, environment=environment, heard=heard.append)
    return done, heard


def test_what_it_says_and_returns_arrives_whatever_libraries_print() -> None:
    done, heard = ask("echoes", text="zwölf")
    assert done == {"text": "zwölf", "threads": "3"}
    assert heard == [{"heard": "zwölf"}]


@pytest.mark.parametrize(
    ("job", "arguments", "reason"),
    [
        ("refuses", {}, "it cannot be"),
        ("exhausts", {}, "out of memory"),
        ("raises", {}, "its process failed: RuntimeError: unexpected"),
        ("leaves", {}, "its process failed: exit code 3"),
        ("dies", {"by": "SIGILL"}, "its process ended by SIGILL: the processor lacks an instruction"),
        ("dies", {"by": "SIGKILL"}, "its process ended by SIGKILL: out of memory, most likely"),
        ("missing", {}, "has no attribute 'missing'"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.isalpha() else "",
)
def test_however_it_ends_it_is_one_sentence(job: str, arguments: dict[str, str], reason: str) -> None:
    with pytest.raises(AasistError) as caught:
        ask(job, **arguments)
    assert reason in caught.value.message
    assert "\n" not in caught.value.message


def test_one_that_says_nothing_for_too_long_is_killed() -> None:
    start = time.monotonic()
    with pytest.raises(AasistError, match="nothing was heard of it for 5 s"):
        ask("hangs", silence_seconds=5.0)
    assert time.monotonic() - start < 50
