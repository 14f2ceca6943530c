"""The log as TensorBoard's events, for those who ask for it and have it."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aasist.errors import MissingExtra

FOLDER = "tensorboard"
"""Within the run's folder."""


def require_tensorboard() -> None:
    """Raise `MissingExtra` where TensorBoard is not installed."""
    if find_spec("tensorboard") is None:
        raise MissingExtra("run.tensorboard", "tensorboard")


class Events:
    """Writes the numbers of each line of the log into ``folder``; does nothing without one."""

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._writer = folder, None

    _writer: Any

    def write(self, line: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl. What a killed start wrote behind it counts as purged."""
        if self._folder is None:
            return
        if self._writer is None:
            writer = import_module("torch.utils.tensorboard").SummaryWriter
            self._writer = writer(self._folder / FOLDER, purge_step=line["step"])
        numbers = {**line, **{f"machine/{name}": value for name, value in line.get("machine", {}).items()}}
        for name, value in numbers.items():
            if isinstance(value, int | float) and name not in ("step", "epoch"):
                tag = name if name.startswith("machine/") else f"{line['kind']}/{name}"
                self._writer.add_scalar(tag, float(value), line["step"])
        self._writer.flush()
