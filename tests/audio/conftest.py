"""Where the audio tests find real speech; their shared signals become importable as ``signals`` and ``mutants``."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode leaves the folder of a test off the path

_PROJECT = Path(__file__).resolve().parents[2]


def _recordings() -> list[Path]:
    """Up to 40 recordings of the corpus when there is one, else the shipped examples."""
    corpus = Path(os.environ.get("AASIST_CORPUS", _PROJECT.parent / "shared" / "corpus"))
    found = sorted((corpus / "dev").rglob("*.flac"))
    return found[:: max(1, len(found) // 40)][:40] or sorted((_PROJECT / "examples").glob("*.flac"))


@pytest.fixture(scope="session")
def recordings() -> list[Path]:
    """Paths of real and synthetic speech; skips where neither corpus nor examples are there."""
    if not (found := _recordings()):
        pytest.skip("no recordings: set AASIST_CORPUS to the corpus folder")
    return found
