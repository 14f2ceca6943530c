"""A service in a process of its own, as it is in use: started, asked, killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2 as httpx

START_SECONDS = 120.0


class Live:
    """``aasist serve`` with settings by the environment; a context manager. ``lines`` are what it has logged."""

    def __init__(self, state: Path, **settings: Any) -> None:
        words = {"state_dir": state, "port": 0, "decoders": 1, "threads": 1, "requests_per_minute": 0, **settings}
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AASIST_")}
        environment |= {f"AASIST_{name.upper()}": str(value) for name, value in words.items()}
        environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "aasist", "serve"],
            stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.url = ""

    def __enter__(self) -> Self:
        until = time.monotonic() + START_SECONDS
        while time.monotonic() < until and self.process.poll() is None:
            found = [match[0] for line in self.lines if (match := re.search(r"http://\S+:\d+", line))]
            if found:
                self.url = found[0]
                try:
                    if httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200:
                        return self
                except httpx.HTTPError:
                    pass
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"the service did not start: {self.lines[-20:]}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        """As an out-of-memory killer does."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(10)
        assert self.process.stderr is not None
        self.process.stderr.close()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def logged(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines if line.startswith("{")]

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip())


def decoders_of(pid: int) -> list[int]:
    """Children of a process, and of its children."""
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]
