"""What is made ready before the first batch: which recordings other speakers come from."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from aasist.errors import AudioError
from aasist.training import preparation as module
from aasist.training.preparation import Preparation
from aasist.training.recordings import DataError
from aasist.training.selection import TRAIN, select
from aasist.training.waveforms import Crop, Int16

from . import small


def prepared(mini: Path) -> Preparation:
    recipe = small.recipe(mini, augment__mix__probability=0.5)
    return Preparation(recipe, select(recipe.data).of(TRAIN), torch.device("cpu"))


def test_a_speaker_who_cannot_be_read_is_passed_over_and_one_whom_the_machine_fails_to_read_is_not(
    mini: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, errors = module.decoded, []

    def decoded(path: str, crop: Crop) -> Int16:
        if errors:
            raise errors.pop()
        return real(path, crop)

    monkeypatch.setattr(module, "decoded", decoded)
    whole = prepared(mini).noise_sha256
    errors.append(AudioError("unreadable", "damaged"))
    assert prepared(mini).noise_sha256 not in (None, whole)
    errors.append(DataError("reading", "Input/output error"))
    with pytest.raises(DataError, match="Input/output error"):
        prepared(mini)
