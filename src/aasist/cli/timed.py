"""The models that ``aasist bench`` times: the exact architectures, shipped names, files, checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aasist.errors import MissingExtra
from aasist.recipe import AASIST, AASIST_L, Architecture

if TYPE_CHECKING:
    from aasist.bench.entries import Entry

EXACT = {architecture.name: architecture for architecture in (AASIST, AASIST_L)}
PUBLISHED_FILES = {"aasist": "AASIST.pth", "aasist-l": "AASIST-L.pth"}
"""What the published code calls its checkpoints; `AASIST_REFERENCE` may name the folder that holds them."""


@dataclass
class Chosen:
    """The models to time."""

    entries: list[Entry] = field(default_factory=list)
    weights: dict[str, Path] = field(default_factory=dict)
    """Exact architecture -> its checkpoint, of those that have one."""
    left_out: list[str] = field(default_factory=list)
    """Sentences about those that nobody named and that this install cannot make."""


def chosen(
    models: Sequence[str], weights: Sequence[Path], folder: Path, with_torch: bool, said: Callable[[str], object]
) -> Chosen:
    """``models``, or without any the exact architectures and all that are shipped; what has to be exported goes to ``folder``.

    ``said`` is called before what takes long. Raises `MissingExtra` or `ModelError` for a model that was named and cannot
    be used, ``click.UsageError`` for ``weights`` of another architecture.
    """
    from aasist.runtime.models import shipped

    found = Chosen()
    for name in models:  # before anything is loaded
        _require_known(name)
    if with_torch:
        found.weights = _weights(weights)
    elif weights:
        raise MissingExtra("--weights", "export")
    for name in dict.fromkeys(models or (*EXACT, *shipped())):
        try:
            found.entries.append(_entry(name, found.weights.get(name), folder, with_torch, said))
        except MissingExtra as error:
            if models:
                raise
            found.left_out.append(error.message)
    return found


def _entry(name: str, weights: Path | None, folder: Path, with_torch: bool, said: Callable[[str], object]) -> Entry:
    from aasist.bench.entries import Entry
    from aasist.runtime import irfile, modelfile
    from aasist.runtime.models import CHECKPOINT_SUFFIXES, shipped, shipped_folder

    if name in EXACT:
        return _exported(name, weights, EXACT[name], folder, said)
    if name in shipped():
        facts = shipped()[name]
        file, checkpoint = shipped_folder() / facts["file"], facts.get("checkpoint")
        of_torch = None if checkpoint is None or not with_torch else str(shipped_folder() / checkpoint)
    elif Path(name).suffix in CHECKPOINT_SUFFIXES:
        return _exported(name, Path(name), AASIST, folder, said)
    else:
        file, of_torch = Path(name), None
    notes = irfile.read(file)[2] if file.suffix == irfile.SUFFIX else modelfile.read(file)[1]
    return Entry(name, str(file), of_torch, notes.precision, notes.window_samples)


def _require_known(name: str) -> None:
    """``ModelError`` for what is neither a name nor a file."""
    from aasist.runtime.models import shipped, unknown

    if name not in (*EXACT, *shipped()) and not os.path.isfile(name):  # noqa: PTH113 (Path.is_file raises on a name that is too long)
        raise unknown(name, names=(*EXACT, *shipped()))


def _exported(
    name: str, weights: Path | None, architecture: Architecture, folder: Path, said: Callable[[str], object]
) -> Entry:
    from aasist.bench.entries import Entry

    try:
        from aasist.export.exact import written
    except ModuleNotFoundError as error:
        raise MissingExtra(f"timing {name}, which is exported first,", "export") from error
    said(f"exporting {name}; this takes half a minute")
    stem = f"{len(list(folder.iterdir()))}-{Path(name).stem}"
    made = written(folder, stem, weights=weights, architecture=architecture)
    return Entry(name, str(made.file), str(made.checkpoint), window_samples=made.architecture.window_samples)


def _weights(given: Sequence[Path]) -> dict[str, Path]:
    """Checkpoints of the exact architectures: those of ``--weights``, and published ones in `AASIST_REFERENCE`."""
    from aasist.model.checkpoint import load

    found: dict[str, Path] = {}
    reference = os.environ.get("AASIST_REFERENCE")
    for name, file in PUBLISHED_FILES.items() if reference else ():
        path = Path(reference or "") / file
        if path.is_file():
            found[name] = path
    named: dict[str, Path] = {}
    for path in given:
        architecture = load(path).architecture
        if EXACT.get(architecture.name) != architecture:
            raise click.UsageError(
                f"--weights wants a checkpoint of {' or '.join(EXACT)}, and {path} is of {architecture.name}: name it as MODEL"
            )
        if architecture.name in named:
            raise click.UsageError(
                f"--weights names two checkpoints of {architecture.name}: {named[architecture.name]} and {path}"
            )
        named[architecture.name] = path
    return found | named
