"""The state file: everything comes back, and nothing in it is ever run."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from aasist.errors import AasistError
from aasist.training import state
from aasist.training.state import Progress


def test_tensors_and_progress_come_back() -> None:
    tensors = {"a.b": torch.arange(3), "a.c": torch.tensor(0.1, dtype=torch.float64), "d": torch.randn(2, 3).T}
    progress = Progress(step=7, best_eer=1 / 3, line_loss=0.1 + 0.2, faults=[{"row": 1, "id": "é"}], ended="epochs")
    kept, same = state.from_bytes(state.to_bytes(tensors, progress), "x")
    assert same == progress
    assert kept.keys() == tensors.keys()
    assert all(torch.equal(kept[name], tensor) and kept[name].dtype == tensor.dtype for name, tensor in tensors.items())


def test_the_same_state_is_the_same_file() -> None:
    tensors = {"b": torch.ones(2), "a": torch.zeros(3)}
    assert state.to_bytes(tensors, Progress()) == state.to_bytes(tensors, Progress())


@pytest.mark.parametrize(
    "content",
    [b"", b"x" * 100, pickle.dumps({"step": 1}), state.to_bytes({"a": torch.ones(9)}, Progress())[:-8]],
    ids=["empty", "noise", "pickle", "cut short"],
)
def test_a_file_that_is_no_state_is_named(content: bytes) -> None:
    with pytest.raises(AasistError, match=r"run/state\.safetensors: not the state of a run"):
        state.from_bytes(content, "run/state.safetensors")


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_an_optimiser_goes_on_as_if_it_had_never_stopped(kind: type[torch.optim.Adam]) -> None:
    def trained(steps: int, layer: nn.Linear, optimiser: torch.optim.Optimizer) -> None:
        for step in range(steps):
            optimiser.zero_grad()
            layer(torch.full((2, 3), float(step + 1))).square().sum().backward()
            optimiser.step()

    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    optimiser = kind(layer.parameters(), lr=0.1, fused=True)
    trained(3, layer, optimiser)
    other = nn.Linear(3, 2)
    other.load_state_dict(layer.state_dict())
    again = kind(other.parameters(), lr=0.1, fused=True)
    state.restore_optimiser(again, state.optimiser_tensors(optimiser))
    trained(2, layer, optimiser)
    trained(2, other, again)
    assert torch.equal(layer.weight, other.weight)


def test_names_are_put_below_a_prefix_and_taken_out_again() -> None:
    tensors = {"a": torch.ones(1), "b.c": torch.zeros(1)}
    assert state.under("x", state.named("x", tensors) | state.named("xy", tensors)) == tensors
