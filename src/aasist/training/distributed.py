"""Ranks: processes that train one model together, started by torchrun; without it, one rank alone.

Data parallel, with two sums over the ranks a step: the weights of the trials, by which the loss is divided; then
gradients, running statistics of the batch norms and the loss. Not PyTorch's wrapper: a rank whose part of a batch could not be decoded adds nothing and waits for none, weights that the
published model never uses need no search, and at 300,000 weights there is nothing to gain from summing while the
backward pass still runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, distributed

from aasist.errors import AasistError


@dataclass(frozen=True)
class Ranks:
    """This process among ``world`` of them, and where its tensors live."""

    rank: int = 0
    world: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes and speaks."""
        return self.rank == 0

    def sum_(self, tensors: Sequence[Tensor]) -> None:
        """Each tensor becomes its sum over the ranks, in place; all in one message."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.detach().reshape(-1).to(torch.float32) for tensor in tensors])
        distributed.all_reduce(flat)
        for tensor, part in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.detach().copy_(part.view_as(tensor))

    def sum_exactly(self, values: Tensor) -> Tensor:
        """The sum of ``values`` (any shape) over the ranks, of the type they have."""
        if self.world > 1:
            values = values.to(self.device)
            distributed.all_reduce(values)
        return values.cpu()

    def shared(self, content: bytes | None) -> bytes | None:
        """What the first rank has, on every rank."""
        if self.world == 1:
            return content
        box: list[Any] = [content]
        distributed.broadcast_object_list(box, src=0, device=self.device)
        received: bytes | None = box[0]
        return received

    def collected(self, item: Any) -> list[Any]:
        """What every rank has, in their order."""
        if self.world == 1:
            return [item]
        items: list[Any] = [None] * self.world
        distributed.all_gather_object(items, item)
        return items


@contextmanager
def joined() -> Iterator[Ranks]:
    """The ranks that torchrun started (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``), or one alone.

    gloo between processors, NCCL between CUDA devices, of which each rank on a machine takes its own. Raises
    `AasistError` ``ranks`` where there are fewer devices than ranks on this machine.
    """
    cuda = torch.cuda.is_available()
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield Ranks(device=torch.device("cuda" if cuda else "cpu"))
        return
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cpu")
    if cuda:
        if local >= torch.cuda.device_count():
            raise AasistError(
                "ranks", f"rank {rank} wants the CUDA device {local}, there are {torch.cuda.device_count()}: "
                "start fewer processes on this machine (torchrun --nproc-per-node)",
            )  # fmt: skip
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if cuda else "gloo", rank=rank, world_size=world)
    try:
        yield Ranks(rank, world, device)
    finally:
        distributed.destroy_process_group()


def ranks_here() -> int:
    """Ranks on this machine, which share its processors, memory and disk."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def require_divisible(batch: int, unit: int, ranks: Ranks) -> None:
    """`AasistError` ``ranks`` unless a batch of ``batch`` trials has whole units (1, or pairs: 2) for every rank."""
    if batch % (unit * ranks.world):
        wanted = unit * ranks.world
        raise AasistError(
            "ranks", f"batch must be a multiple of {wanted} ({ranks.world} ranks"
            f"{', pairs' if unit == 2 else ''}), got {batch}",
        )  # fmt: skip
