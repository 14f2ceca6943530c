"""Models that enter, and every way in which each can be run here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from aasist.bench.contender import Contender
from aasist.session import WINDOW_SAMPLES


@dataclass(frozen=True)
class Entry:
    """A model to be timed."""

    name: str
    file: str
    """ONNX of ours."""
    checkpoint: str | None = None
    """The same weights for PyTorch; None where there are none."""
    precision: str = "fp32"
    """Of the file: one in fp32 may be run in less, one in less only as it is."""
    window_samples: int = WINDOW_SAMPLES


@dataclass(frozen=True)
class Ways:
    """In what models are run."""

    runtimes: dict[str, tuple[str, ...]]
    """Runtime -> the precisions that this processor has in it."""
    precisions: tuple[str, ...] = ()
    """Only these; without any, all."""
    threads: tuple[int, ...] = (1,)
    batches: tuple[int, ...] = (1,)
    usable_threads: int = 1
    """As many as the process may use."""


@dataclass
class Field:
    """Those who start, and why others do not."""

    contenders: list[Contender] = field(default_factory=list)
    refused: dict[Contender, str] = field(default_factory=dict)


def entered(entries: Iterable[Entry], ways: Ways) -> Field:
    """Each entry in every runtime, precision, number of threads and batch that ``ways`` has for it."""
    found = Field()
    for entry in entries:
        for runtime, has in ways.runtimes.items():
            path = entry.checkpoint if runtime == "torch" else entry.file
            for precision, lack in _precisions(entry, runtime, has, ways.precisions):
                for threads in ways.threads:
                    for batch in ways.batches:
                        contender = Contender(
                            entry.name, path or entry.file, runtime, precision, threads, batch, entry.window_samples
                        )
                        reason = lack or _too_many(threads, ways.usable_threads)
                        if reason:
                            found.refused[contender] = reason
                        else:
                            found.contenders.append(contender)
    return found


def _precisions(entry: Entry, runtime: str, has: Sequence[str], asked: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Precisions to run an entry in, and with each why it cannot be, empty where it can; without one asked for, all that
    can."""
    can: tuple[str, ...]
    if runtime == "torch":
        can = ("fp32",) if entry.checkpoint is not None else ()
        lack = "PyTorch runs checkpoints in fp32" if can else "there is no checkpoint of it for PyTorch to run"
    elif entry.precision != "fp32":
        can, lack = (entry.precision,), f"its file is in {entry.precision}"
    else:
        # int8 is made by 'aasist quantize': no runtime takes it from a file in fp32.
        can = tuple(one for one in has if one != "int8")
        lack = f"{runtime} runs it on this processor in {', '.join(can)}"
    for precision in asked or can:
        yield precision, "" if precision in can else lack


def _too_many(threads: int, usable: int) -> str:
    return f"this process may use {usable} threads" if threads > usable else ""
