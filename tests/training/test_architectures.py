"""Architectures beside the published: each learns from made data, in every precision of a processor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aasist.training.distributed import Ranks
from aasist.training.precision import Precision
from aasist.training.recipe import read_recipe, with_changes
from aasist.training.step import Learner, Ready

from ..corpora import BONAFIDE
from .small import voice

CASES = {
    "small": {},
    "efficient-transformer": {},
    "small with all that is offered": {
        "model.context_blocks": 1,
        "model.context": "transformer",
        "model.squeeze": 8,
        "model.statistics": True,
        "model.compression": "power",
    },
}


def batch(number: int, rows: int = 8, samples: int = 6_000) -> Ready:
    """Noise, that of spoofs without its high frequencies."""
    made = [voice(100 * number + row, BONAFIDE if row % 2 else "A01")[:samples] for row in range(rows)]
    pairs = torch.tensor([[row + 1, row] for row in range(0, rows, 2)])
    return Ready(torch.from_numpy(np.stack(made)), torch.arange(rows) % 2, None, pairs, 0, number)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("case", CASES)
def test_it_learns_from_made_data_without_the_head_that_teaches_its_encoder(case: str, precision: str) -> None:
    torch.set_num_threads(1)
    changes = {"loss.head_weight": 0.0, "schedule.warm_up_steps": 4, **CASES[case]}
    recipe = with_changes(read_recipe(case.split(maxsplit=1)[0]), changes)
    learner = Learner(recipe, Ranks(), Precision(precision, torch.device("cpu")))
    losses = [learner.take([batch(number)], number, 1_000).loss for number in range(30)]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:5])
