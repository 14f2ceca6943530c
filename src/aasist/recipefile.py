"""Recipe files: TOML that names only what differs from a base, read into a section of keys and written out in full."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from aasist.errors import AasistError
from aasist.keys import RecipeError, keys_of, with_values

BASE = "base"
"""The one key of a recipe's file that is no key of its section: the name or path of the recipe that it differs from."""

_NAMED = 5
"""Keys that a message names; the others are counted."""

Section = TypeVar("Section")


@dataclass(frozen=True)
class Shelf(Generic[Section]):
    """Recipes of one kind: ``section`` is what they are read into, ``folder`` holds the shipped ones, ``NAME.toml``."""

    section: type[Section]
    folder: Path

    def names(self) -> tuple[str, ...]:
        """Names of the recipes that come with the package."""
        return tuple(sorted(path.stem for path in self.folder.glob("*.toml")))

    def read(self, given: str | os.PathLike[str]) -> Section:
        """The recipe of a file, or the shipped one of that name, on top of its bases.

        Raises `RecipeError`, which names the file, for what cannot be read, an unknown key, a value that a key cannot
        take, and bases that lead back to themselves.
        """
        recipe = self.section()
        for path, values in reversed(self._chain(self._located(os.fspath(given), Path()))):
            try:
                recipe = with_values(recipe, values)
            except AasistError as error:
                raise RecipeError(f"{path}: {error.message}") from error
        return recipe

    def parsed(self, text: str) -> Section:
        """The recipe of a text without a base; ``ValueError`` for what is no TOML, `RecipeError` for the rest."""
        return with_values(self.section(), _flat(tomllib.loads(text)))

    def _located(self, given: str, folder: Path) -> Path:
        """The file of a name or path; a path is relative to ``folder``."""
        if given in self.names():
            return self.folder / f"{given}.toml"
        path = folder / given
        if not path.is_file():
            raise RecipeError(f"no recipe {given!r}: neither a file nor one of {', '.join(self.names())}")
        return path

    def _chain(self, path: Path) -> list[tuple[Path, dict[str, Any]]]:
        """A recipe's file and its bases, nearest first, each with its values by dotted name."""
        chain: list[tuple[Path, dict[str, Any]]] = []
        while True:
            if any(path.resolve() == known.resolve() for known, _ in chain):
                raise RecipeError(f"{path}: its bases lead back to it")
            try:
                table = tomllib.loads(path.read_text(encoding="utf-8"))
            except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
                raise RecipeError(f"{path}: not a recipe in TOML: {error}") from error
            base = table.pop(BASE, None)
            chain.append((path, _flat(table)))
            if base is None:
                return chain
            if not isinstance(base, str):
                raise RecipeError(f"{path}: base must be the name or path of a recipe, got {base!r}")
            try:
                path = self._located(base, path.parent)
            except RecipeError as error:
                raise RecipeError(f"{path}: {error.message}") from error


def with_changes(recipe: Section, changes: Mapping[str, Any]) -> Section:
    """The recipe with other values of some keys; where only one section has a key, its last word will do (``steps``)."""
    names = [known.name for known in keys_of(type(recipe))]
    whole = {}
    for given, value in changes.items():
        meant = [name for name in names if name.rpartition(".")[2] == given] if given not in names else [given]
        if len(meant) > 1:
            more = f", and {len(meant) - _NAMED} more" if len(meant) > _NAMED else ""
            listed = ", ".join(meant[:_NAMED]) if more else " or ".join(meant)
            raise RecipeError(f"{given!r} could be {listed}{more}: write it out")
        whole[meant[0] if meant else given] = value
    return with_values(recipe, whole)


def parsed_change(text: str) -> tuple[str, str]:
    """``steps=3`` -> ``("steps", "3")``; `RecipeError` for what has no equals sign or no name."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise RecipeError(f"expected KEY=VALUE, got {text!r}")
    return name.strip(), value.strip()


def in_toml(values: Mapping[str, Any]) -> str:
    """Values by dotted name as TOML that `Shelf.read` reads back, none as ``"none"``; those of a section stand together."""
    lines, last = [], ""
    for name, value in values.items():
        head, _, leaf = name.rpartition(".")
        if head != last:
            lines += ["", f"[{head}]"]
            last = head
        lines.append(f"{leaf} = {toml_of(value)}")
    return "\n".join(lines) + "\n"


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in table.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def toml_of(value: Any) -> str:
    """A value as it stands in a recipe's file."""
    if value is None:
        return '"none"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_of, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        # JSON's escapes are TOML's, but for what lies beyond 16 bits; and TOML wants DEL escaped.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
