"""Precision of training: which numbers the arithmetic is done in; weights and optimiser stay in float32."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from aasist.errors import AasistError

CPU_FACTS = Path("/proc/cpuinfo")

FAST_BF16 = {"avx512_bf16", "amx_bf16"}
"""Flags of processors that multiply bf16 faster than float32; elsewhere it is emulated, and slower."""


@dataclass(frozen=True)
class Precision:
    """``fp32``, ``bf16`` or ``fp16`` on a device."""

    name: str
    device: torch.device

    @property
    def scaled(self) -> bool:
        """Whether gradients are scaled up, because small ones would be zero in fp16."""
        return self.name == "fp16"


def resolved(asked: str, device: torch.device, cpu_facts: Path = CPU_FACTS) -> Precision:
    """The precision of ``auto``, ``fp32``, ``bf16`` or ``fp16`` on a device; ``auto`` is the fastest that is safe there.

    Raises `AasistError` ``recipe`` for fp16 without CUDA.
    """
    if asked == "fp16" and device.type != "cuda":
        raise AasistError("recipe", "precision fp16 needs CUDA: take auto, bf16 or fp32")
    if asked != "auto":
        return Precision(asked, device)
    if device.type == "cuda":
        return Precision("bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16", device)
    return Precision("bf16" if _flags(cpu_facts) & FAST_BF16 else "fp32", device)


def _flags(cpu_facts: Path) -> set[str]:
    try:
        lines = cpu_facts.read_text().splitlines()
    except OSError:
        return set()
    return next(({*line.split(":")[1].split()} for line in lines if line.startswith("flags")), set())
