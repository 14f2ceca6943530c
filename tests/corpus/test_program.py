"""Programs: no shell, a time limit that their children keep too, and one line of what went wrong."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from aasist.corpus.engine import EngineError
from aasist.corpus.program import TEXT, WAVE, run, spoken, within

PYTHON = sys.executable


def test_a_text_reaches_a_program_as_it_is_whatever_a_shell_would_make_of_it(tmp_path: Path) -> None:
    text = 'it\'s $(touch /tmp/owned); `ls` "é" 日本'
    assert run((PYTHON, "-c", "print(input())"), given=text.encode()) == f"{text}\n"
    program = (
        f"import sys, wave; text = open({TEXT!r}, encoding='utf-8').read(); assert text == {text!r} + chr(10);"
        f"f = wave.open({WAVE!r}, 'wb'); f.setparams((2, 2, 8000, 0, 'NONE', '')); f.writeframes(bytes([0, 64, 0, 0]) * 10)"
    )
    samples, rate = spoken((PYTHON, "-c", program), text)
    assert (samples.tolist(), rate) == ([0.25] * 10, 8_000)


def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    beat = tmp_path / "beat"
    child = f"import pathlib, time; [(pathlib.Path({str(beat)!r}).write_text(str(n)), time.sleep(0.05)) for n in range(600)]"
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    began = time.monotonic()
    with pytest.raises(EngineError, match=r"took longer than 1\.5 s"):
        run((PYTHON, "-c", program), seconds=1.5)
    assert time.monotonic() - began < 20, "it was waited for until its child was done, after 30 s"
    before = beat.read_text()
    time.sleep(0.5)
    assert beat.read_text() == before


def test_a_program_has_no_longer_than_what_it_is_called_within() -> None:
    began = time.monotonic()
    with pytest.raises(EngineError, match=r"took longer than 0\.\d+ s"), within(0.5):
        run((PYTHON, "-c", "import time; time.sleep(30)"))
    assert time.monotonic() - began < 20
    assert run((PYTHON, "-c", "print('after it')")) == "after it\n"


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_a_program_dies_with_the_process_that_called_it(tmp_path: Path) -> None:
    program = f"import os, pathlib, time; pathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid())); time.sleep(60)"
    caller = f"import sys; from aasist.corpus.program import run; run((sys.executable, '-c', {program!r}))"
    process = subprocess.Popen((PYTHON, "-c", caller))
    pid = wait_for(lambda: int((tmp_path / "pid").read_text() or 0))
    process.kill()
    process.wait()
    wait_for(lambda: not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text())


def wait_for(found: Callable[[], int]) -> int:
    """What is ``found``, once it is true; half a minute at the most."""
    for _ in range(600):
        with suppress(OSError):
            if value := found():
                return value
        time.sleep(0.05)
    raise AssertionError("it never came")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("no-such-program",), "no-such-program cannot be started: No such file or directory"),
        ((PYTHON, "-c", "raise SystemExit('out of\\ntune')"), "ended with code 1: tune"),
        ((PYTHON, "-c", "raise SystemExit(3)"), "ended with code 3: nothing was said"),
        ((PYTHON, "-c", ""), "wrote no WAV"),
    ],
)
def test_what_went_wrong_is_one_line(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(EngineError) as error:
        spoken(words, "hello")
    assert said in error.value.message
    assert "\n" not in error.value.message
