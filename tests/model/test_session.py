"""A checkpoint as a session: the same logits as the model, as NumPy arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from aasist.errors import ModelError
from aasist.model import checkpoint
from aasist.model.aasist import Aasist
from aasist.model.session import TorchSession
from aasist.runtime.models import open_model

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


def test_products_and_convolutions_are_not_rounded_to_tf32_while_it_runs_and_may_be_after(
    small_model: Aasist, tmp_path: Path
) -> None:
    path = tmp_path / "small.safetensors"
    checkpoint.save(small_model, path)
    session = TorchSession(path)
    kinds = (torch.backends.cuda.matmul, torch.backends.cudnn)
    seen: list[list[bool]] = []

    def model(windows: torch.Tensor) -> torch.Tensor:
        seen.append([kind.allow_tf32 for kind in kinds])
        if len(windows) > 1:
            raise RuntimeError("out of memory")
        return torch.zeros(len(windows), 2)

    before = [kind.allow_tf32 for kind in kinds]
    session.model = model  # type: ignore[assignment]
    try:
        for kind in kinds:
            kind.allow_tf32 = True
        session.run(np.zeros((1, 8_000), np.float32))
        with pytest.raises(ModelError, match="out of memory"):
            session.run(np.zeros((2, 8_000), np.float32))
        assert seen == [[False, False]] * 2
        assert [kind.allow_tf32 for kind in kinds] == [True, True]
    finally:
        for kind, allowed in zip(kinds, before, strict=True):
            kind.allow_tf32 = allowed


@pytest.mark.parametrize("threads", [1, 2])
def test_a_checkpoint_runs_on_the_threads_that_were_asked_for(
    threads: int, small_model: Aasist, tmp_path: Path
) -> None:
    path = tmp_path / "small.safetensors"
    checkpoint.save(small_model, path)
    torch.set_num_threads(3 - threads)
    open_model(path, threads=threads)
    assert torch.get_num_threads() == threads
