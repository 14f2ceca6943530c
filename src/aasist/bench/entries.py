"""Models that enter, and every way in which each can be run here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product

from aasist.bench.contender import Contender
from aasist.errors import ModelError
from aasist.runtime import irfile
from aasist.runtime.runtimes import precision_in
from aasist.session import WINDOW_SAMPLES


@dataclass(frozen=True)
class Entry:
    """A model to be timed."""

    name: str
    file: str
    """ONNX of ours, or OpenVINO's format."""
    checkpoint: str | None = None
    """The same weights for PyTorch; None where there are none."""
    precision: str = "fp32"
    """Of the file: one in fp32 may be run in less, one in less only as it is."""
    window_samples: int = WINDOW_SAMPLES


@dataclass(frozen=True)
class Ways:
    """In what models are run."""

    runtimes: dict[str, tuple[str, ...]]
    """Runtime -> what it runs a file in fp32 in on this processor."""
    insisted: bool = False
    """Whether they were named: a model that cannot run in one is spoken of then."""
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


def entered(entries: Sequence[Entry], ways: Ways) -> Field:
    """Each entry in every runtime, precision, number of threads and batch that ``ways`` has for it.

    Where runtimes were not named, a precision that one lacks is refused only where all of them lack it.
    """
    found = Field()
    nowhere = {
        (entry, precision)
        for entry, precision in product(entries, ways.precisions)
        if not any(precision in _possible(entry, runtime, has)[0] for runtime, has in ways.runtimes.items())
    }
    for entry, runtime, threads, batch in product(entries, ways.runtimes, ways.threads, ways.batches):
        can, lack = _possible(entry, runtime, ways.runtimes[runtime])
        # What nobody asked for and cannot be is not spoken of.
        for precision in ways.precisions or can or ((entry.precision,) if ways.insisted else ()):
            path = entry.checkpoint if runtime == "torch" and entry.checkpoint is not None else entry.file
            contender = Contender(entry.name, path, runtime, precision, threads, batch, entry.window_samples)
            if precision not in can:
                if ways.insisted or (entry, precision) in nowhere:
                    found.refused[contender] = lack or _why(entry, runtime, precision)
            elif threads > ways.usable_threads:
                found.refused[contender] = f"this process may use {ways.usable_threads} of the processor's threads"
            else:
                found.contenders.append(contender)
    return found


def _possible(entry: Entry, runtime: str, has: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The precisions that an entry can be run in, and what to say where it is another that is wanted; nothing where that depends
    on which (`_why`)."""
    if runtime == "torch":
        if entry.checkpoint is None:
            return (), "there is no checkpoint of it, which PyTorch would run"
        return ("fp32",), "PyTorch runs checkpoints in fp32"
    if entry.file.endswith(irfile.SUFFIX) and runtime != "openvino":
        return (), f"a file in OpenVINO's format does not run in {runtime}"
    if entry.precision != "fp32":
        return (entry.precision,), f"its file is in {entry.precision}"
    return tuple(has), ""


def _why(entry: Entry, runtime: str, precision: str) -> str:
    """Why an entry does not run in a precision here, and what to do."""
    try:
        precision_in(runtime, entry.precision, precision)
    except ModelError as error:
        return error.message
    return f"{runtime} does not run it in {precision}"
