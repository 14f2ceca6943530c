"""Fingerprints of what a corpus is made of, so that a build that is gone on with finds what has changed meanwhile."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Collection, Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from aasist.corpus.catalogue import OF_FILES
from aasist.corpus.engine import Engine, Speaker
from aasist.corpus.recordings import Recording, fingerprint
from aasist.corpus.texts import Texts

PIECES, PIECE_BYTES = 16, 2**14
"""Of a file larger than all of them together (256 kB), so many pieces are read, evenly spread from its first to its last."""

NAMED = 3
"""Things of a kind that a message names; the others are counted."""

Tree = Mapping[str, Any]


def sources_of(
    recordings: Iterable[Recording], taken: Iterable[Recording], engines: Mapping[str, Engine], texts: Texts
) -> dict[str, Any]:
    """What a corpus is made of: what is known of all recordings, the audio of those ``taken``, engines, voices, texts."""
    known = tuple(recordings)
    speakers = {name: engine.voices() for name, engine in engines.items() if isinstance(engine, Speaker)}
    return {
        "recordings": {"count": len(known), "sha256": fingerprint(known)},
        "voices": {name: sorted({voice.name for voice in voices}) for name, voices in speakers.items()},
        "texts": texts.sha256,
        "audio": {one.id: found for one in taken if (found := of_file(Path(one.path)))},
        "engines": {name: of_engine(engine) for name, engine in engines.items()},
    }


def of_file(path: Path) -> str:
    """Size in bytes and 16 hexadecimal digits of what is in a file, wherever it lies; empty where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            size = os.fstat(file.fileno()).st_size
            if size <= PIECES * PIECE_BYTES:
                digest.update(file.read(PIECES * PIECE_BYTES))
            else:
                for piece in range(PIECES):
                    file.seek((size - PIECE_BYTES) * piece // (PIECES - 1))
                    digest.update(file.read(PIECE_BYTES))
    except (OSError, ValueError):
        return ""
    return f"{size}-{digest.hexdigest()[:16]}"


def of_engine(engine: Engine) -> dict[str, str]:
    """The user's file it is of, the files it names, and the versions of its packages; what cannot be found is left out."""
    files = list(engine.files())
    package = type(engine).__module__.partition(".")[0]
    names = list(engine.packages)
    if package.startswith(OF_FILES):
        files.append(Path(inspect.getfile(type(engine))))
    elif package != "aasist":
        names += metadata.packages_distributions().get(package, ())
    found = {file.name: of_file(file) for file in files}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {name: value for name, value in sorted(found.items()) if value}


def changed(was: Tree, now: Tree, free: Collection[str] = ()) -> list[str]:
    """What is other now, in words; what is not known of either side is no difference, nor what engines ``free`` are."""
    out = []
    for name in now:
        if name not in was or was[name] == now[name]:
            continue
        if name == "audio":
            others = [one for one in sorted(now[name]) if was[name].get(one, now[name][one]) != now[name][one]]
            if others:
                more = f" and {len(others) - NAMED:,} more" if len(others) > NAMED else ""
                out.append(f"audio of {', '.join(others[:NAMED])}{more}")
        elif name == "engines":
            out += [_engine(one, was[name].get(one, {}), now[name][one]) for one in now[name] if one not in free]
        elif name == "voices" and _without(was[name], free) == _without(now[name], free):
            continue
        else:
            out.append(name)
    return list(filter(None, out))


def other_engines(was: Tree, now: Tree) -> list[str]:
    """Engines of which a file, a version or the voices are not what they were."""
    return [
        name
        for name in now["engines"]
        if any(name in was.get(part, {}) and was[part][name] != now[part].get(name) for part in ("engines", "voices"))
    ]


def joined(was: Tree, now: Tree) -> dict[str, Any]:
    """All that is known of either; of what both know, ``now``."""
    out = {**was, **now}
    for name in was.keys() & now.keys():
        if isinstance(was[name], dict) and isinstance(now[name], dict):
            out[name] = joined(was[name], now[name])
    return out


def _without(tree: Tree, names: Collection[str]) -> Tree:
    return {name: value for name, value in tree.items() if name not in names}


def _engine(name: str, was: Tree, now: Tree) -> str:
    """``engine hifigan (config.json)``, ``engine world (pyworld 0.3.4 there, 0.3.5 now)``, or nothing."""
    others = [part for part in now if was.get(part, now[part]) != now[part]]
    said = [part if "-" in now[part] else f"{part} {was[part]} there, {now[part]} now" for part in others]
    return f"engine {name} ({'; '.join(said)})" if said else ""


def _without_waiting(path: str, flags: int) -> int:
    """A pipe in the place of a recording keeps nobody waiting."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
