"""Options that name what a recipe trains on: of ``train``, and of ``probe``, which looks at it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

PATH = click.Path(path_type=Path)
Command = TypeVar("Command", bound=Callable[..., Any])


def data_options(corpus: str, purpose: str) -> Callable[[Command], Command]:
    """--corpus, which ``corpus`` explains, --root, and --data, given ``purpose``."""

    def added(command: Command) -> Command:
        options = (
            click.option("--corpus", metavar="NAME", help=corpus),
            click.option("--root", type=PATH, help="Where the corpus was unpacked to."),
            click.option(
                "--data",
                multiple=True,
                metavar="[CORPUS:]PATH",
                help=f"Another corpus below PATH, or without CORPUS a manifest, to {purpose} as well. May be repeated.",
            ),
        )
        for option in reversed(options):
            command = option(command)
        return command

    return added


noise_option = click.option(
    "--noise",
    multiple=True,
    metavar="PATH",
    help="Folder or manifest of noise, music and room responses for augmentation. May be repeated.",
)


def sources(
    corpus: str | None, root: Path | None, data: tuple[str, ...], dev: tuple[str, ...], noise: tuple[str, ...]
) -> dict[str, tuple[str, ...]]:
    """The options that name data, as changes of a recipe."""
    if (corpus is None) != (root is None):
        raise click.UsageError("--corpus and --root go together (aasist evaluate --list names the corpora)")
    train_on = (*([f"{corpus}:{root}"] if corpus is not None else []), *data)
    if corpus is not None:
        from aasist.protocol.corpora import CORPORA

        if corpus not in CORPORA:
            raise click.UsageError(f"no corpus {corpus!r}; there are {', '.join(CORPORA)}")
    named = {"data.train": train_on, "data.dev": dev, "data.noise": noise}
    return {name: value for name, value in named.items() if value}
