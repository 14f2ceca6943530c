"""Keys of a recipe as people read them."""

from __future__ import annotations

from typing import Any

import click

from aasist.keys import keys_of, shown


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
