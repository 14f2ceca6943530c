"""Two speakers at once: another human recording below a row."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from aasist.keys import key
from aasist.training.augment.bank import NoiseBank
from aasist.training.augment.spectra import added
from aasist.training.draws import Draws


@dataclass(frozen=True)
class Mix:
    """A second bona fide speaker. Labels stay: who speaks first is what is judged."""

    probability: float = key(0.0, "Share of the rows that it happens to (needs speech in the bank)", low=0.0, high=1.0)
    level_db: tuple[float, float] = key((5.0, 20.0), "The second speaker lies below the first", unit="dB",
                                        low=-20.0, high=60.0)  # fmt: skip
    spoofs: bool = key(False, "Mix a human below spoofs too; without it, only two humans are mixed")


def mixed(waveforms: Tensor, draws: Draws, recipe: Mix, bank: NoiseBank) -> Tensor:
    """Rows (n, T) with speech of the bank below them.

    The partner comes from the bank and never from the batch: what a row becomes would depend on its neighbours, and so
    on how many machines share a batch.
    """
    other = bank.excerpts("speech", draws, waveforms.shape[1])
    return added(waveforms, other, draws.ratio("level", recipe.level_db))
