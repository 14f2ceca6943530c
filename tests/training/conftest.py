"""Fixtures of the training room."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def own_threads(same_threads: None) -> None:
    """A training sets torch's threads for the whole process."""
