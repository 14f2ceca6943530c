"""Keys of a recipe as people read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import click

from aasist.keys import RecipeError, keys_of, shown
from aasist.recipefile import parsed_change

Recipe = TypeVar("Recipe")


def say_keys(section: type[Any]) -> None:
    """Every key of a recipe, section by section."""
    last = None
    for known in keys_of(section):
        head = known.name.rpartition(".")[0]
        if head != last:
            click.echo(f"\n[{head}]" if head else "", nl=bool(head))
            last = head
        unit = f" ({known.unit})" if known.unit else ""
        choices = f", one of {', '.join(filter(None, known.choices))}" if known.choices else ""
        click.echo(f"{known.name}: {known.kind}{unit}{choices}; default {shown(known.default) or 'empty'}")
        click.echo(f"    {known.meaning}")


def changed(
    recipe: Recipe,
    options: Mapping[str, Any],
    changes: Iterable[str],
    with_changes: Callable[[Recipe, Mapping[str, Any]], Recipe],
) -> Recipe:
    """The recipe with what options say, and KEY=VALUE on top; what is wrong with those is wrong usage, exit code 2."""
    try:
        return with_changes(with_changes(recipe, options), dict(map(parsed_change, changes)))
    except RecipeError as error:
        raise click.UsageError(error.message) from error
