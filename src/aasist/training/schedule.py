"""The learning rate, step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass

from aasist.keys import key


@dataclass(frozen=True)
class Schedule:
    """From the highest learning rate to the lowest; the horizon is the recipe's ``epochs``, never where a run stops."""

    kind: str = key("cosine", "cosine, per step, or constant", choices=("cosine", "constant"))
    warm_up_steps: int = key(0, "linear rise to the highest rate at the start", unit="steps", low=0)
    lowest_learning_rate: float = key(5e-6, "where the cosine ends", low=0.0)
    patience: int | None = key(
        None, "epochs without a better dev EER after which training ends; none: never", unit="epochs", low=1
    )


def learning_rate(schedule: Schedule, highest: float, step: int, horizon: int) -> float:
    """Learning rate of step ``step`` (the first is 0) of ``horizon``.

    Without a warm-up: ``lowest + (highest - lowest) (1 + cos(pi step / horizon)) / 2``, as in the published code; with
    one, the cosine begins where the warm-up ends.
    """
    if step < schedule.warm_up_steps:
        return highest * (step + 1) / schedule.warm_up_steps
    if schedule.kind == "constant":
        return highest
    lowest = schedule.lowest_learning_rate
    share = min((step - schedule.warm_up_steps) / max(horizon - schedule.warm_up_steps, 1), 1.0)
    return lowest + (highest - lowest) * 0.5 * (1 + math.cos(math.pi * share))
