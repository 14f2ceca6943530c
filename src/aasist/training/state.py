"""The state of a run: all that a resume needs, tensors and numbers, in one safetensors file without any code in it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from aasist.errors import AasistError, one_line

FACTS = "aasist.state"
"""Key of the metadata that holds the `Progress` as JSON."""

MOST_HEAD_BYTES = 100_000_000
"""What safetensors itself reads as a head at the most."""


@dataclass
class Progress:
    """Where a run stands. ``batch`` is the next of ``epoch``; both count from 0."""

    step: int = 0
    epoch: int = 0
    batch: int = 0
    best_eer: float | None = None
    best_epoch: int | None = None
    worse_epochs: int = 0
    """Epochs since one was better than all before it."""
    averaged: int = 0
    """Models in the average."""
    skipped: int = 0
    skipped_in_a_row: int = 0
    line_loss: float = 0.0
    """Sum over the steps since the last line of the log, ``line_steps``."""
    line_steps: int = 0
    epoch_loss: float = 0.0
    epoch_steps: int = 0
    faults: list[dict[str, Any]] = field(default_factory=list)
    """Trials that could not be read so far, as `aasist.training.faults.Faults` has them."""
    metrics_bytes: int = 0
    """Length of metrics.jsonl; what is longer was written after this state and is written again."""
    seconds: float = 0.0
    """Of training so far, all starts together."""
    ended: str = ""
    """Why training is over, empty while it is not."""


def to_bytes(tensors: Mapping[str, Tensor], progress: Progress) -> bytes:
    """A state as the content of its file."""
    facts = json.dumps(dataclasses.asdict(progress))
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(whole, metadata={FACTS: facts})


def from_bytes(content: bytes, source: str) -> tuple[dict[str, Tensor], Progress]:
    """What `to_bytes` was given; ``AasistError`` ``state`` for a file that is none, naming ``source``."""
    try:
        return load(content), _progress(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _none(source, error) from error


def read_progress(path: Path) -> Progress | None:
    """Where a run stands, from the head of its state's file alone; None where there is no file yet. Raises
    ``AasistError`` ``state`` for a file that is none."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            return _progress(file.read(min(length, MOST_HEAD_BYTES)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _none(str(path), error) from error


def _progress(head: bytes) -> Progress:
    return Progress(**json.loads(json.loads(head)["__metadata__"][FACTS]))


def _none(source: str, error: Exception) -> AasistError:
    return AasistError("state", f"{source}: not the state of a run: {one_line(error)}")


def named(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors with ``prefix.`` before their names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those of the tensors that have ``prefix.`` before their names, without it."""
    return {
        name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")
    }


def optimiser_tensors(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """What an optimiser remembers of each parameter, by ``number.name``."""
    remembered: Mapping[int, Mapping[str, Any]] = optimiser.state_dict()["state"]
    return {
        f"{number}.{name}": torch.as_tensor(value)
        for number, values in remembered.items()
        for name, value in values.items()
    }


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser back what `optimiser_tensors` took."""
    remembered: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        remembered.setdefault(int(number), {})[name] = tensor.clone()
    optimiser.load_state_dict({**optimiser.state_dict(), "state": remembered})
