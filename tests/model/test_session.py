"""A checkpoint as a session: the same logits as the model, as NumPy arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.model.session import TorchSession

pytestmark = pytest.mark.usefixtures("same_threads")


def test_a_torch_session_gives_the_logits_of_its_checkpoint(small_model: Aasist, tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    checkpoint.save(small_model, path)
    session = TorchSession(path)
    windows = np.random.default_rng(0).standard_normal((3, 8_000)).astype(np.float32)
    logits = session.run(windows)
    with torch.no_grad():
        expected = small_model(torch.from_numpy(windows)).numpy()
    assert (logits.shape, logits.dtype) == ((3, 2), np.float32)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
    assert (session.precision, session.architecture) == ("fp32", small_model.architecture)
