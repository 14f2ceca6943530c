"""What score files say of the trials of training: teachers that were heard before, each recording once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aasist.errors import ProtocolError
from aasist.keys import RecipeError
from aasist.protocol.matching import match_scores
from aasist.protocol.scores import read_scores
from aasist.training.recordings import Integers
from aasist.trial import Trials

MOST_LOG_ODDS = 1e4
"""Beyond what anything could mean; larger scores are of another scale, or would not be finite in a loss."""


@dataclass(frozen=True, eq=False)
class Told:
    """A score file as a teacher: log-odds (N,) of bona fide, float32, in the order of the trials of training."""

    name: str
    sha256: str
    log_odds: Tensor


def read_told(paths: Sequence[str], trials: Trials, others: Trials | None = None) -> tuple[Told, ...]:
    """The score files at ``paths``, matched with ``trials`` as an evaluation does, all of which they must know; scores of
    ``others`` may stand in them.

    Raises `RecipeError`, which names the key and the file, where one cannot be read or does not fit.
    """
    return tuple(_read(path, trials, others) for path in paths)


def _read(path: str, trials: Trials, others: Trials | None) -> Told:
    try:
        content = Path(path).read_bytes()
        values = match_scores(read_scores(path), trials, others=others)
    except OSError as error:
        raise RecipeError(f"teachers.scores: cannot read {path}: {error.strerror or error}") from error
    except ProtocolError as error:
        raise RecipeError(f"teachers.scores: {error.message}") from error
    if (most := float(np.abs(values).max(initial=0.0))) > MOST_LOG_ODDS:
        raise RecipeError(
            f"teachers.scores: {path}: log-odds of {most:.3g} are none; are these scores of another kind?"
        )
    return Told(path, hashlib.sha256(content).hexdigest(), torch.from_numpy(values.astype(np.float32)))


def as_table(told: Sequence[Told], rows: Integers, count: int) -> Tensor:
    """(count, files) of all trials of a run, NaN for those that are not at ``rows``, the ones that were told of."""
    table = torch.full((count, len(told)), torch.nan)
    table[torch.from_numpy(rows)] = torch.stack([one.log_odds for one in told], 1)
    return table
