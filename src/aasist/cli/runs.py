"""``aasist runs``: trainings side by side."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aasist.errors import AasistError, MissingExtra

if TYPE_CHECKING:
    from aasist.training.history import History


@click.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path), metavar="[DIR]...")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw loss and dev EER along the steps into this PNG.")
@click.option("--mean", is_flag=True, help="Mean and standard deviation over runs of one recipe: seeds, or folds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def runs(folders: tuple[Path, ...], plot: Path | None, mean: bool, as_json: bool) -> None:
    """Compare trainings: run folders, or folders of them; without any, those in runs/.

    A row each, the best dev EER first: the keys in which the recipes differ, steps, dev EER of the best epoch, pooled and
    as mean within a source, which epoch that was, dev EER and loss of the last, time. With --mean a row for the runs
    in one folder that differ in seed and data alone; no epoch of the last was chosen by what it is measured on. Exit code
    1: some run could not be read; the others were shown.
    """
    try:
        from aasist.training.history import alike, differing, read_history, run_folders
    except ModuleNotFoundError as error:
        raise MissingExtra("runs", "train") from error
    histories: list[History] = []
    failed = False
    for folder in run_folders(folders or (Path("runs"),)):
        try:
            histories.append(read_history(folder))
        except AasistError as error:
            click.echo(f"aasist: {error.message}", err=True)
            failed = True
    histories.sort(key=lambda history: (history.best_eer is None, history.best_eer, str(history.folder)))
    changed = differing([history.recipe for history in histories])
    if plot is not None and histories:
        draw(histories, plot)
    if mean:
        from aasist.cli.means import say_means

        say_means(alike(histories), as_json=as_json)
    elif as_json:
        for history, keys in zip(histories, changed, strict=True):
            click.echo(json.dumps(facts(history, keys), allow_nan=False))
    elif histories:
        say_table(histories, changed)
    if failed:
        click.get_current_context().exit(1)


def facts(history: History, keys: dict[str, Any]) -> dict[str, Any]:
    """A run as one object."""
    return {
        "path": str(history.folder),
        "differs": keys,
        "steps": history.steps,
        "epochs": history.epochs,
        "best_dev_eer": history.best_eer,
        "best_within_source": history.best_within,
        "best_epoch": history.best_epoch,
        "last_dev_eer": history.last_eer,
        "last_within_source": history.last_within,
        "loss": history.loss,
        "seconds": history.seconds,
    }


def say_table(histories: list[History], changed: list[dict[str, Any]]) -> None:
    """A row for each run."""
    from rich.console import Console
    from rich.table import Table

    from aasist.cli.means import percent
    from aasist.cli.rows import clock, printable
    from aasist.keys import shown

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("run", "differs"):
        # As wide as its name at the least: a header that is broken into lines is none.
        table.add_column(name, overflow="fold", min_width=len(name))
    for name in ("steps", "epochs", "dev EER", "within", "epoch", "last", "loss", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for history, keys in zip(histories, changed, strict=True):
        table.add_row(
            printable(str(history.folder)),
            " ".join(f"{name}={shown(value)}" for name, value in keys.items()) or "-",
            f"{history.steps:,}",
            f"{history.epochs}/{history.recipe.epochs}",
            percent(history.best_eer),
            percent(history.best_within),
            "-" if history.best_epoch is None else str(history.best_epoch + 1),
            percent(history.last_eer),
            "-" if history.loss is None else f"{history.loss:.4f}",
            clock(history.seconds),
        )
    Console(soft_wrap=False, highlight=False, emoji=False, markup=False).print(table)


def draw(histories: list[History], path: Path) -> None:
    """Loss and dev EER of each run along the steps, as a PNG."""
    from aasist import files
    from aasist.cli.plot import require_matplotlib

    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    loss, rate = figure.subplots(2, 1, sharex=True)
    for number, history in enumerate(histories):
        style = {"color": COLOURS[number % len(COLOURS)], "linestyle": STYLES[number // len(COLOURS) % len(STYLES)]}
        loss.plot(*zip(*history.losses, strict=True), label=str(history.folder), **style) if history.losses else None
        if history.rates:
            steps, rates = zip(*history.rates, strict=True)
            rate.plot(
                steps, [100 * value for value in rates], marker="o", markersize=3, label=str(history.folder), **style
            )
    loss.set_ylabel("loss")
    rate.set_ylabel("dev EER, %")
    rate.set_xlabel("step")
    for axes in (loss, rate):
        axes.grid(alpha=0.2)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8, frameon=False)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    try:
        files.write(path, drawn.getbuffer())
    except OSError as error:
        raise AasistError("write", f"cannot write {path}: {error.strerror or error}") from error


COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
STYLES = ("-", "--", ":", "-.")
"""Colours of Okabe and Ito; when they run out, other strokes."""
