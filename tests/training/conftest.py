"""Fixtures of the training room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from . import small


@pytest.fixture(scope="session")
def mini(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny corpus in ASVspoof 2019 LA's layout; treat it as read-only."""
    return small.corpus(tmp_path_factory.mktemp("la"))


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """A training sets torch's threads for the whole process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
