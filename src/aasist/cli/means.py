"""Means over runs of one recipe: of several seeds, or of folds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from aasist.cli.rows import printable
from aasist.keys import shown

if TYPE_CHECKING:
    from aasist.training.history import History


def say_means(groups: list[list[History]], *, as_json: bool) -> None:
    """A row for the runs of each recipe, the least mean dev EER first."""
    from rich.console import Console
    from rich.table import Table

    from aasist.training.history import differing, means

    found = [(group, means(group)) for group in groups]
    found.sort(key=lambda one: (one[1]["best_eer"] is None, one[1]["best_eer"].mean if one[1]["best_eer"] else 0.0))
    changed = [
        {name: value for name, value in keys.items() if name != "seed"}
        for keys in differing([group[0].recipe for group, _ in found])
    ]
    if as_json:
        for (group, figures), keys in zip(found, changed, strict=True):
            values = {NAMES[name]: None if of is None else vars(of) for name, of in figures.items()}
            runs = [str(history.folder) for history in group]
            click.echo(json.dumps({"runs": runs, "differs": keys, **values}, allow_nan=False))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("runs", "differs"):
        table.add_column(name, overflow="fold", min_width=len(name))
    for name in ("number", "dev EER", "within", "last", "within"):
        table.add_column(name, justify="right", no_wrap=True)
    for (group, figures), keys in zip(found, changed, strict=True):
        cells = []
        for of in figures.values():
            spread = "" if of is None or of.deviation is None else f" ± {100 * of.deviation:.2f}"
            fewer = "" if of is None or of.count == len(group) else f" ({of.count})"
            cells.append(f"{percent(None if of is None else of.mean)}{spread}{fewer}")
        table.add_row(
            printable(f"{group[0].folder.parent}: {', '.join(history.folder.name for history in group)}"),
            " ".join(f"{name}={shown(value)}" for name, value in keys.items()) or "-",
            str(len(group)),
            *cells,
        )
    Console(soft_wrap=False, highlight=False, emoji=False, markup=False).print(table)


NAMES = {
    "best_eer": "best_dev_eer",
    "best_within": "best_within_source",
    "last_eer": "last_dev_eer",
    "last_within": "last_within_source",
}
"""Figures as JSON calls them."""


def percent(rate: float | None) -> str:
    """0.1234 -> 12.34%."""
    return "-" if rate is None else f"{rate:.2%}"
