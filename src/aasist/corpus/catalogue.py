"""The catalogue of engines: those of the package, of other packages (entry points ``aasist.engines``), and of files."""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path

from aasist.corpus.engine import KINDS, Copier, Engine, EngineError, Speaker
from aasist.corpus.engines import ENGINES

GROUP = "aasist.engines"
OF_FILES = "aasist_engines_of_"
"""What the names of modules begin with that are files of the user's."""

BROKEN = "broken"
"""What `lacking` begins with where nothing can be installed to mend it."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")


@dataclass(frozen=True)
class Places:
    """Where engines are besides those of the package: files in Python, folders of generators."""

    files: tuple[str, ...] = ()
    vocoders: tuple[str, ...] = ()


class Unloadable(Engine):
    """An engine of another package that cannot even be loaded."""

    kind, technology = "vocoder", "-"

    def __init__(self, name: str, reason: str) -> None:
        self.name, self._reason = name, reason

    def missing(self) -> str:
        """Why."""
        return self._reason


def engines(places: Places = Places()) -> dict[str, Engine]:
    """Every engine by name, sorted, whether it can run here or not.

    Raises `EngineError` for a file or folder without one, for two of one name, and for one that is no engine.
    """
    found: dict[str, Engine] = {}
    for engine in (*_ours(), *_of_packages(), *_of_files(places.files), *_of_folders(places.vocoders)):
        _check(engine)
        if engine.name in found:
            raise EngineError(f"two engines are called {engine.name!r}; rename yours")
        found[engine.name] = engine
    return dict(sorted(found.items()))


def lacking(engine: Engine) -> str:
    """What an engine lacks (`Engine.missing`); where it cannot even be asked that, or for its voices, why not."""
    try:
        line = engine.missing()
        if not line and isinstance(engine, Speaker):
            tuple(engine.voices())
        if not line:
            tuple(engine.files())
    except Exception as error:  # of whoever wrote it
        return f"{BROKEN}: {' '.join(f'{type(error).__name__}: {error}'.split())}"
    return line


def runnable(engines: Mapping[str, Engine], kind: type[Engine], named: Iterable[str], what: str) -> dict[str, Engine]:
    """The engines of a ``kind`` (`Copier`, `Speaker`) that are ``named``, or, without names, all that can run here.

    Raises `EngineError`: a name that there is not, of another kind, or that cannot run here, with what installs it; and
    where none can run, with what installs each. ``what`` is the recipe's key.
    """
    names = tuple(named)
    for name in names:
        if name not in engines:
            near = difflib.get_close_matches(name, engines, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(engines)}"
            raise EngineError(f"{what}: no engine {name!r}; {hint}")
        if not isinstance(engines[name], kind):
            other, key = ("copies recordings", "copies") if kind is Speaker else ("is text-to-speech", "speech")
            raise EngineError(f"{what}: the engine {name!r} {other}: name it in {key}.engines")
        if line := lacking(engines[name]):
            raise EngineError(f"{what}: the engine {name!r} cannot run here: {line}")
    of_kind = {name: engine for name, engine in engines.items() if isinstance(engine, kind)}
    chosen = {name: of_kind[name] for name in sorted({*names})} if names else {
        name: engine for name, engine in of_kind.items() if not lacking(engine)
    }  # fmt: skip
    if not chosen:
        lines = "; ".join(f"{name}: {lacking(engine)}" for name, engine in of_kind.items())
        raise EngineError(f"{what}: no engine can run here; install one ({lines})")
    return chosen


def _check(engine: Engine) -> None:
    where = type(engine).__qualname__
    if not _NAME.fullmatch(engine.name):
        raise EngineError(
            f"the engine {where} needs a name of lower-case letters, digits and hyphens, got {engine.name!r}"
        )
    if engine.kind not in KINDS:
        raise EngineError(f"the engine {engine.name!r} must be of a kind {', '.join(KINDS)}, got {engine.kind!r}")
    if isinstance(engine, Speaker) != (engine.kind == "tts"):
        raise EngineError(f"the engine {engine.name!r} is of the kind {engine.kind!r}, which goes with another class")


def _ours() -> Iterator[Engine]:
    for place in ENGINES.values():
        module, _, name = place.partition(":")
        yield getattr(import_module(f"aasist.corpus.engines.{module}"), name)()


def _of_packages() -> Iterator[Engine]:
    for point in metadata.entry_points(group=GROUP):
        try:
            engine = point.load()()
            if not isinstance(engine, Engine):
                raise TypeError(f"{point.value} is no aasist.corpus.engine.Engine")
        except Exception as error:  # of whoever wrote it
            engine = Unloadable(point.name.lower(), f"{BROKEN}, cannot be loaded: {type(error).__name__}: {error}")
        yield engine


def _of_files(files: Iterable[str]) -> Iterator[Engine]:
    for given in files:
        path = Path(given)
        name = f"{OF_FILES}{re.sub('[^a-zA-Z0-9]', '_', path.stem)}"
        spec = importlib.util.spec_from_file_location(name, path)
        if not path.is_file() or spec is None or spec.loader is None:
            raise EngineError(f"{given}: expected a file in Python with an engine")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
            classes = [c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == name]
            made = [c() for c in classes if issubclass(c, Engine) and c.name]
        except Exception as error:  # of whoever wrote it
            raise EngineError(f"{given}: {type(error).__name__}: {error}") from error
        if not made:
            raise EngineError(f"{given}: no class in it is a Copier or a Speaker with a name")
        yield from made


def _of_folders(folders: Iterable[str]) -> Iterator[Engine]:
    if folders:
        from aasist.corpus.engines.hifigan import HifiGanFolder

        yield from (HifiGanFolder(Path(folder)) for folder in folders)


def kind_of(engine: Engine) -> type[Engine]:
    """`Copier` or `Speaker`."""
    return Speaker if isinstance(engine, Speaker) else Copier
