"""Drives Chromium headless over its own DevTools protocol, by a pair of pipes: nothing has to be installed beside it.

https://chromedevtools.github.io/devtools-protocol; messages are JSON, each ended by a zero byte.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SWITCHES = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-default-browser-check",
    "--no-first-run",
    "--remote-debugging-pipe",
)
PATIENCE_SECONDS = 120.0
"""A busy machine is no failure."""


def program() -> str | None:
    """The browser that is installed, or None."""
    return next((found for name in PROGRAMS if (found := shutil.which(name))), None)


class Chromium:
    """One running browser with one page open; a context manager. ``events`` are those of the page, as they came."""

    def __init__(self, path: str) -> None:
        self.events: list[dict[str, Any]] = []
        self._replies: dict[int, dict[str, Any]] = {}
        self._unread = b""
        self._last = 0
        self._session: str | None = None
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        theirs_in, self._to = os.pipe()
        self._from, theirs_out = os.pipe()
        # Out of the way of 3 and 4, which Chromium reads from and writes to.
        high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (theirs_in, theirs_out)]
        # Chromium refuses to run as root within its sandbox.
        switches = (
            *SWITCHES,
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            f"--user-data-dir={self._profile.name}",
        )
        quiet = os.open(os.devnull, os.O_RDWR)
        self._pid = os.posix_spawn(
            path,
            [path, *switches],
            os.environ | {"LANG": "en_US.UTF-8"},
            file_actions=[
                *((os.POSIX_SPAWN_DUP2, quiet, standard) for standard in (0, 1, 2)),
                (os.POSIX_SPAWN_DUP2, high[0], 3),
                (os.POSIX_SPAWN_DUP2, high[1], 4),
            ],
            setpgroup=0,
        )
        for end in (theirs_in, theirs_out, quiet, *high):
            os.close(end)

    def __enter__(self) -> Self:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._pid, signal.SIGKILL)
        os.waitpid(self._pid, 0)
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and wait for its result; ``RuntimeError`` with what the browser says where it fails."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._last not in self._replies:
            if not self._read(deadline - time.monotonic()):
                raise TimeoutError(f"{method}: no answer")
        reply = self._replies.pop(self._last)
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']['message']}")
        result: dict[str, Any] = reply["result"]
        return result

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, awaited if it is a promise."""
        # As the page's own code would run: DevTools would lift the ban on eval from it.
        bound = {"awaitPromise": True, "returnByValue": True, "allowUnsafeEvalBlockedByCSP": False}
        result = self.call("Runtime.evaluate", expression=expression, **bound)
        if details := result.get("exceptionDetails"):
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return result["result"].get("value")

    def until(self, expression: str) -> Any:
        """Wait until a JavaScript expression is true -> its value."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if value := self.evaluate(expression):
                return value
            time.sleep(0.02)
        raise TimeoutError(f"never came true in the page: {expression}")

    def open(self, address: str) -> None:
        """Load a page; ``events`` begin anew."""
        self.events.clear()
        self.call("Page.navigate", url=address)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.seen("Page.loadEventFired"):
            if not self._read(deadline - time.monotonic()):
                raise TimeoutError(f"{address}: never loaded")

    def cpu_seconds(self) -> float:
        """Processor time that the browser and its processes have taken: what a busy machine does not change."""
        root = psutil.Process(self._pid)
        return float(sum(sum(process.cpu_times()[:2]) for process in (root, *root.children(recursive=True))))

    def seen(self, method: str) -> list[dict[str, Any]]:
        """The parameters of all events of that name since the page was opened."""
        return [event["params"] for event in self.events if event["method"] == method]

    def choose(self, selector: str, *files: Path) -> None:
        """Give files to an input element, as its dialogue would."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file.resolve()) for file in files])

    def drop(self, x: int, y: int, *files: Path) -> None:
        """Drag files from outside onto a point of the page, and let go."""
        data = {"items": [], "files": [str(file.resolve()) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def screen(self, width: int, height: int, *, dark: bool = False) -> None:
        """Give the page the size of a screen, in CSS pixels, and the reader's taste in colours."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2, mobile=False)
        self.call("Emulation.setScrollbarsHidden", hidden=True)  # as on a phone
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self) -> bytes:
        """A PNG of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def _read(self, seconds: float) -> bool:
        """Take what the browser says within ``seconds``; False where it says nothing. ``EOFError`` where it ended."""
        if seconds <= 0 or not select.select([self._from], [], [], seconds)[0]:
            return False
        data = os.read(self._from, 1 << 20)
        if not data:
            raise EOFError("Chromium ended")
        *whole, self._unread = (self._unread + data).split(b"\0")
        for message in map(json.loads, whole):
            if "id" in message:
                self._replies[message["id"]] = message
            elif message.get("sessionId") == self._session:
                self.events.append(message)
        return True
