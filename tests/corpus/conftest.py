"""Recordings that the tests of a build share."""

from __future__ import annotations

from pathlib import Path

import pytest

from . import spoken


@pytest.fixture(scope="session")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve recordings of six sources; treat them as read-only."""
    return spoken.recordings(tmp_path_factory.mktemp("bonafide"))
