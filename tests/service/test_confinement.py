"""A process that is confined: it keeps what it holds, and can open nothing of anybody's."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from aasist.service.decode import process
from aasist.service.decode.decoders import Decoders

from ..audio.signals import encoded, sine, written
from .test_decoders import MEMORY, hear, kill

RELEASE = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))


def confined(code: str, *arguments: str) -> dict[str, object]:
    """What ``code`` finds, as ``found``, in a process that confined itself first; skipped where the kernel has no Landlock."""
    program = textwrap.dedent(
        """
        import json, os, sys
        held = open(sys.argv[1], "rb")
        from aasist.service.decode.confinement import confine
        assert len(os.listdir("/proc/self/task")) == 1
        found = {}
        def tried(name, action):
            try:
                action()
                found[name] = "done"
            except OSError as error:
                found[name] = type(error).__name__
        if confine():
            found["held"] = held.read().decode()
        """
    )
    program += textwrap.indent(textwrap.dedent(code), "    ") + "\nprint(json.dumps(found))"
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"kept")
        file.flush()
        done = subprocess.run(
            [sys.executable, "-P", "-c", program, file.name, *arguments], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    if not found:
        pytest.skip("this kernel has no Landlock")
    return found


def test_it_reads_what_it_holds_and_no_file_of_others_and_writes_none(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of somebody")
    found = confined(
        """
        place = sys.argv[2]
        tried("read", lambda: open(place))
        tried("list", lambda: os.listdir(os.path.dirname(place)))
        tried("write", lambda: open(place + ".new", "w"))
        tried("truncate", lambda: os.truncate(place, 0))
        tried("remove", lambda: os.remove(place))
        tried("home", lambda: os.listdir(os.path.expanduser("~")))
        tried("passwords", lambda: open("/etc/passwd"))
        tried("others", lambda: open(f"/proc/{os.getppid()}/environ"))
        """,
        str(secret),
    )
    assert found.pop("held") == "kept"
    if RELEASE < (6, 2):
        del found["truncate"]  # let be by older kernels
    assert set(found.values()) == {"PermissionError"}, found
    assert secret.read_text() == "of somebody"


def test_it_connects_to_nobody_executes_nothing_and_signals_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = confined(
            """
            import signal, socket, subprocess
            tried("connect", lambda: socket.create_connection(("127.0.0.1", int(sys.argv[2])), 5))
            tried("listen", lambda: socket.create_server(("127.0.0.1", 0)))
            tried("execute", lambda: subprocess.run(["/bin/true"]))
            tried("signal", lambda: os.kill(os.getppid(), 0))
            """,
            str(server.getsockname()[1]),
        )
    del found["held"]
    # Older kernels let TCP (before 6.7) and signals (before 6.12) be.
    free = {name for name, since in (("connect", (6, 7)), ("listen", (6, 7)), ("signal", (6, 12))) if since > RELEASE}
    assert {name: what for name, what in found.items() if name not in free} == {
        name: "PermissionError" for name in ("connect", "listen", "execute", "signal") if name not in free
    }


def test_threads_and_processes_that_it_starts_are_confined_as_well(tmp_path: Path) -> None:
    found = confined(
        """
        import threading
        thread = threading.Thread(target=lambda: tried("thread", lambda: os.listdir(sys.argv[2])))
        thread.start(); thread.join()
        if (child := os.fork()) == 0:
            try:
                os.listdir(sys.argv[2])
            except PermissionError:
                os._exit(7)
            os._exit(0)
        found["child"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        """,
        str(tmp_path),
    )
    assert (found["thread"], found["child"]) == ("PermissionError", 7)


def test_its_libraries_can_still_be_loaded() -> None:
    found = confined(
        """
        import soundfile, soxr, onnxruntime, numpy
        from aasist.audio.container import ContainerDecoder
        found["loaded"] = numpy.ones(3).sum()
        """
    )
    assert found["loaded"] == 3.0


FORMATS = {
    "wav": lambda: written(sine(16_000, 2.0), 16_000, "WAV"),
    "flac": lambda: written(sine(16_000, 2.0), 16_000, "FLAC"),
    "ogg": lambda: written(sine(16_000, 2.0), 16_000, "OGG"),
    "mp3": lambda: encoded(sine(16_000, 2.0), 16_000, "mp3", "libmp3lame"),
    "mp4": lambda: encoded(sine(16_000, 2.0), 16_000, "mp4", "aac"),
    "webm": lambda: encoded(sine(48_000, 2.0), 48_000, "webm", "libopus"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_confined_decoder_hears_every_format(name: str) -> None:
    decoders = Decoders(1, memory_bytes=MEMORY)
    try:
        _, summary = hear(decoders, FORMATS[name]())
    finally:
        decoders.close()
    assert summary.duration_seconds == pytest.approx(2.0, abs=0.2)


def test_a_decoder_of_the_service_is_confined_in_all_its_threads() -> None:
    confined("pass")
    decoders = Decoders(1, memory_bytes=MEMORY)
    try:
        hear(decoders, FORMATS["mp4"]())
        (pid,) = decoders.pids()
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        assert {
            line for task in tasks for line in (task / "status").read_text().splitlines() if "NoNewPrivs" in line
        } == {"NoNewPrivs:\t1"}
    finally:
        decoders.close()


def test_where_it_cannot_be_confined_the_log_says_so_once(monkeypatch, caplog) -> None:
    logging.getLogger("aasist.service").propagate = True
    monkeypatch.setattr(process.DecodeProcess, "_said", False)
    monkeypatch.setattr(process.DecodeProcess, "_say_once", classmethod(said_not_confined))
    decoders = Decoders(1, memory_bytes=MEMORY)
    try:
        for _ in range(2):
            hear(decoders, FORMATS["wav"]())
            kill(decoders.pids()[0])
    finally:
        decoders.close()
    (line,) = [record for record in caplog.records if "not confined" in record.message]
    assert "Landlock" in line.reason


SAY_ONCE = process.DecodeProcess._say_once.__func__


def said_not_confined(cls, *, confined: bool) -> None:
    """As where the kernel has no Landlock."""
    SAY_ONCE(cls, confined=False)
