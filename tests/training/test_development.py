"""Scores of the development trials are logit differences of the model, whoever computes them on however many threads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from aasist.errors import AasistError
from aasist.model.aasist import Aasist
from aasist.model.training_form import prepared
from aasist.session import BONAFIDE, SPOOF
from aasist.training.batches import Batch
from aasist.training.cache import CacheStatistics
from aasist.training.development import developed
from aasist.training.distributed import Ranks
from aasist.training.reader import Fault
from aasist.trial import Trials, strings

COUNT = 6
TRIALS = Trials(strings(f"t{n}" for n in range(COUNT)), np.arange(COUNT) % 2 == 0, {}, "made")
ROWS = np.arange(100, 100 + COUNT)
WAVEFORMS = 0.1 * torch.randn(COUNT, 8_000, generator=torch.Generator().manual_seed(1))


def batches(*places: list[int], faults: tuple[Fault, ...] = ()) -> Iterator[Batch]:
    for number, some in enumerate(places):
        nothing: Any = np.zeros(len(some), np.int64)
        labels = torch.from_numpy(TRIALS.bonafide[some].astype(np.int64))
        yield Batch(WAVEFORMS[some], labels, ROWS[some], nothing, nothing, -1, number, faults, CacheStatistics(), 0.0)


class Second(Ranks):
    """The first of two ranks; the other has ``others`` faults and scored nothing."""

    def __init__(self, others: list[Fault]) -> None:
        super().__init__(0, 2)
        object.__setattr__(self, "others", others)

    def sum_exactly(self, values: torch.Tensor) -> torch.Tensor:
        return values

    def collected(self, item: Any) -> list[Any]:
        return [item, self.others]


@pytest.mark.parametrize("threads", [1, 2])
def test_scores_are_logit_differences_of_the_model(small_model: Aasist, threads: int) -> None:
    torch.set_num_threads(threads)
    form = prepared(small_model.train(), "fp32", "cpu")
    result = developed(form, batches([0, 1, 2, 3], [4, 5]), TRIALS, ROWS, Ranks())
    with torch.no_grad():
        logits = small_model.eval()(WAVEFORMS)
    np.testing.assert_allclose(result.scores, (logits[:, BONAFIDE] - logits[:, SPOOF]).numpy(), atol=1e-5)


def test_the_faults_of_another_rank_are_told_and_named(small_model: Aasist) -> None:
    """Where no trial of a class could be read, a rank that has none itself knows of those of the other."""
    lost = [Fault(101, "t1", "t1.flac", "corrupt", "nothing in it")]
    form = prepared(small_model, "fp32", "cpu")
    assert developed(form, batches([0, 2, 3]), TRIALS, ROWS, Second(lost)).faults == tuple(lost)
    with pytest.raises(AasistError, match=r"the first, t1 \(t1\.flac\): nothing in it"):
        developed(form, batches([0, 2, 4]), TRIALS, ROWS, Second(lost))
