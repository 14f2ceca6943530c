"""Keys of a recipe: each has a type, a default, a unit, a range and a meaning, all said where the key is defined."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from aasist.errors import AasistError

Section = TypeVar("Section")


class RecipeError(AasistError):
    """A recipe that cannot be used: an unknown key, a value of another type or out of range."""

    def __init__(self, message: str) -> None:
        super().__init__("recipe", message)


@dataclass(frozen=True)
class Key:
    """What is known of one key, by its dotted name."""

    name: str
    kind: str
    default: Any
    meaning: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]


def key(
    default: Any,
    meaning: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """A field of a section (a frozen dataclass): its default, what it means, its unit, and what it may be.

    ``low`` and ``high`` bound numbers, both included; of a list, each of its numbers.
    """
    metadata = {"meaning": meaning, "unit": unit, "low": low, "high": high, "choices": choices}
    return dataclasses.field(default=default, metadata=metadata)


def section(kind: type[Section]) -> Any:
    """A field that is a section within another, with the defaults of its keys."""
    return dataclasses.field(default_factory=kind)


def keys_of(section: type[Any], prefix: str = "") -> Iterator[Key]:
    """Every key of a section and of the sections within it, in order."""
    types_of = typing.get_type_hints(section)
    for field in dataclasses.fields(section):
        name, kind = f"{prefix}{field.name}", types_of[field.name]
        if dataclasses.is_dataclass(kind):
            assert isinstance(kind, type)
            yield from keys_of(kind, f"{name}.")
        else:
            known = field.metadata
            meaning = known["meaning"][:1].upper() + known["meaning"][1:]
            yield Key(name, _kind_name(kind), field.default, meaning, known["unit"], known["low"],
                      known["high"], known["choices"])  # fmt: skip


def values_of(section: Any, prefix: str = "") -> dict[str, Any]:
    """Every key of a section by its dotted name, with its value."""
    out: dict[str, Any] = {}
    for field in dataclasses.fields(section):
        value = getattr(section, field.name)
        if dataclasses.is_dataclass(value):
            out |= values_of(value, f"{prefix}{field.name}.")
        else:
            out[f"{prefix}{field.name}"] = value
    return out


def shown(value: Any) -> str:
    """A value as it stands on a command line, behind ``KEY=``."""
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return ",".join(map(shown, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def with_values(section: Section, values: Mapping[str, Any], prefix: str = "") -> Section:
    """The section with other values of some keys, by dotted names; text is read as what the key wants.

    Raises `RecipeError` for a key that there is not (naming the nearest) and for a value that the key cannot take.
    """
    assert dataclasses.is_dataclass(section)
    types_of = typing.get_type_hints(type(section))
    fields = {field.name: field for field in dataclasses.fields(section)}
    changes: dict[str, Any] = {}
    inner: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        head, _, rest = name.partition(".")
        if head not in fields or bool(rest) != dataclasses.is_dataclass(types_of[head]):
            raise RecipeError(_unknown(f"{prefix}{name}", type(section), prefix))
        if rest:
            inner.setdefault(head, {})[rest] = value
        else:
            changes[head] = checked(f"{prefix}{name}", value, types_of[head], fields[head].metadata)
    for head, part in inner.items():
        changes[head] = with_values(getattr(section, head), part, f"{prefix}{head}.")
    replaced: Section = dataclasses.replace(section, **changes)  # type: ignore[type-var]
    return replaced


def checked(name: str, value: Any, kind: Any, known: Mapping[str, Any]) -> Any:
    """``value`` (or the text of one) as the type ``kind`` within its bounds; `RecipeError` where it is not."""
    if isinstance(value, list):
        value = tuple(value)
    if isinstance(value, str):
        value = _read(value, kind)
    value = _with_floats(value, kind)
    wanted = _kind_name(kind) + (f" ({known['unit']})" if known["unit"] else "")
    if not _is(value, kind):
        raise RecipeError(f"{name} must be {wanted}, got {value!r}")
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, str) and not _is_unicode(item):
            raise RecipeError(f"{name} must be text in UTF-8, got {item!r}: give it another name, or a link to it")
    if known["choices"]:
        for item in value if isinstance(value, tuple) else (value,):
            if item not in known["choices"]:
                raise RecipeError(f"{name} must be one of {', '.join(known['choices'])}, got {item!r}")
    low, high = known["low"], known["high"]
    for item in value if isinstance(value, tuple) else (value,):
        if isinstance(item, int | float) and not isinstance(item, bool):
            if not math.isfinite(item):
                raise RecipeError(f"{name} must be finite, got {item}")
            if (low is not None and item < low) or (high is not None and item > high):
                bounds = f"{'' if low is None else f'at least {low:g}'}{' and ' if None not in (low, high) else ''}" + (
                    "" if high is None else f"at most {high:g}"
                )
                unit = f" ({known['unit']})" if known["unit"] not in ("", name.rpartition(".")[2]) else ""
                raise RecipeError(f"{name} must be {bounds}{unit}, got {item}")
    return value


def _read(text: str, kind: Any) -> Any:
    """The value that ``text`` (of a command line) stands for; the text itself where it is none."""
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if type(None) in options and text in ("none", ""):
        return None
    for option in options:
        value = _read_as(text, option)
        if value is not None:
            return value
    return text


def _read_as(text: str, kind: Any) -> Any:
    """``text`` as a value of one plain type; None where it is none."""
    if typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        return tuple(_read(part.strip(), inner) for part in text.strip("[]() ").split(",") if part.strip())
    if kind is bool:
        return {"true": True, "false": False}.get(text)
    if kind is str:
        return text
    try:
        return int(text.replace("_", "")) if kind is int else float(text) if kind is float else None
    except ValueError:
        return None


def _with_floats(value: Any, kind: Any) -> Any:
    """``value`` with whole numbers as floats where ``kind``, or its option beside none, wants those."""
    options = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    if type(value) is int and float in options:
        return float(value)
    if isinstance(value, tuple) and any(typing.get_args(option)[:1] == (float,) for option in options):
        return tuple(float(item) if type(item) is int else item for item in value)
    return value


def _is_unicode(text: str) -> bool:
    """Whether a file can hold ``text``: bytes of a path that are not UTF-8 stand in it as halves of characters."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _is(value: Any, kind: Any) -> bool:
    if isinstance(kind, types.UnionType):
        return any(_is(value, option) for option in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        arguments = typing.get_args(kind)
        inner, length = arguments[0], None if arguments[-1] is Ellipsis else len(arguments)
        return isinstance(value, tuple) and length in (None, len(value)) and all(_is(item, inner) for item in value)
    return type(value) is kind


def _kind_name(kind: Any) -> str:
    if isinstance(kind, types.UnionType):
        return " or ".join(_kind_name(option) for option in typing.get_args(kind))
    if typing.get_origin(kind) is tuple:
        arguments = typing.get_args(kind)
        inner = _PLURAL[arguments[0]]
        return f"a list of {inner}" if arguments[-1] is Ellipsis else f"{len(arguments)} {inner}"
    return _SINGULAR[kind]


_LISTED = 6
"""Keys that a message lists."""

_SINGULAR = {str: "text", int: "a whole number", float: "a number", bool: "true or false", type(None): "none"}
_PLURAL = {str: "words", int: "whole numbers", float: "numbers", bool: "truth values"}


def _unknown(name: str, section: type[Any], prefix: str) -> str:
    import difflib

    known = [k.name for k in keys_of(section, prefix)]
    near = difflib.get_close_matches(name, known, 1)
    if near:
        return f"no key {name!r}; did you mean {near[0]!r}?"
    if len(known) <= _LISTED:
        return f"no key {name!r}; there are: {', '.join(known)}"
    leaf = name.rpartition(".")[2]
    leaves = {key: max(_likeness(name, key), _likeness(leaf, key.rpartition(".")[2])) for key in known}
    nearest = sorted(known, key=lambda key: -leaves[key])[:_LISTED]
    return f"no key {name!r}; of {len(known)} the nearest are {', '.join(nearest)} (--keys lists all)"


def _likeness(one: str, other: str) -> float:
    """From 0 to 1, as `difflib` has it."""
    import difflib

    return difflib.SequenceMatcher(None, one, other).ratio()
