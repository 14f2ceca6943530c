"""``aasist train``: a recipe and a corpus to a model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from aasist.cli.trainingdata import PATH, data_options, noise_option, sources
from aasist.errors import MissingExtra

if TYPE_CHECKING:
    from aasist.training.loop import End
    from aasist.training.recipe import Recipe


@click.command()
@click.argument("recipe", required=False)
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE]...")
@data_options("Train on the training part of this corpus, and choose by its dev part.", "train on")
@click.option(
    "--dev",
    multiple=True,
    metavar="[CORPUS:]PATH",
    help="Choose by these alone.  [default: the dev parts of what is trained on]",
)
@noise_option
@click.option(
    "--encoder", type=PATH, help="Folder of the speech encoder, for a recipe with one in front (ssl). Extra: ssl."
)
@click.option(
    "--teacher",
    multiple=True,
    metavar="MODEL",
    help="Model to distil from: a checkpoint, an ONNX file of ours or a shipped name. May be repeated.",
)
@click.option(
    "--teacher-scores",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="Score file to distil from: log-odds of bona fide of each trial of training, by whatever model. May be repeated.",
)
@click.option(
    "--from", "start", metavar="MODEL", help="Begin with the weights of this checkpoint or shipped model (fine-tuning)."
)
@click.option("-o", "--out", type=PATH, help="Folder of the run.  [default: runs/RECIPE]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, as if it had never been stopped.")
@click.option("--show", is_flag=True, help="Print the recipe with every key, and stop.")
@click.option("--keys", "listing", is_flag=True, help="Print every key with type, unit, default and meaning, and stop.")
def train(
    recipe: str | None,
    changes: tuple[str, ...],
    corpus: str | None,
    root: Path | None,
    data: tuple[str, ...],
    dev: tuple[str, ...],
    noise: tuple[str, ...],
    encoder: Path | None,
    teacher: tuple[str, ...],
    teacher_scores: tuple[Path, ...],
    start: str | None,
    out: Path | None,
    resume: bool,
    show: bool,
    listing: bool,
) -> None:
    """Train by RECIPE, a shipped one (aasist, aasist-l, efficient, ssl, ...) or a TOML file, with keys changed by KEY=VALUE.

    aasist train aasist --corpus asvspoof2019-la --root DIR -o runs/aasist

    steps=N stops after N steps; --resume goes on. The run's folder holds last, best and averaged.safetensors, which
    aasist evaluate and aasist export take, metrics.jsonl for aasist runs, and the state to go on from. On several
    processors or machines: torchrun ... -m aasist train ..., with the same arguments. Exit code 130 or 143: stopped by
    Ctrl-C or SIGTERM, all saved.
    """
    try:
        import aasist.training.start  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingExtra("training", "train") from error
    if listing:
        from aasist.cli.recipekeys import say_keys
        from aasist.training.recipe import Recipe as Keys

        say_keys(Keys)
        return
    if recipe is not None and "=" in recipe:  # without a recipe, the first change stands in its place
        changes, recipe = (recipe, *changes), None
    folder = Path("runs", Path(recipe).stem) if out is None and recipe is not None else out
    named: dict[str, Any] = dict(sources(corpus, root, data, dev, noise))
    if encoder is not None:
        named["data.encoder"] = str(encoder)
    if start is not None:
        named["data.start"] = start
    if teacher:
        named["teachers.models"] = teacher
    if teacher_scores:
        named["teachers.scores"] = tuple(map(str, teacher_scores))
    chosen = recipe_of(recipe, changes, named, folder, resume=resume)
    if show:
        from aasist.training.beginning import with_start
        from aasist.training.encoder import with_encoder
        from aasist.training.recipe import resolved_text

        chosen = with_start(chosen)
        if chosen.data.encoder is not None:
            chosen, _ = with_encoder(chosen)
        click.echo(resolved_text(chosen), nl=False)
        return
    assert folder is not None  # what names neither recipe nor folder is refused above
    run(chosen, folder, resume=resume)


def recipe_of(
    recipe: str | None,
    changes: tuple[str, ...],
    named: dict[str, Any],
    folder: Path | None,
    *,
    resume: bool,
) -> Recipe:
    """The recipe that is asked for; on a resume without one, that of the run in ``folder``, up to the end."""
    from aasist.cli.recipekeys import changed
    from aasist.training.recipe import read_recipe, shipped_recipes, with_changes
    from aasist.training.run import recipe_of as recipe_of_run

    if recipe is not None:
        base = read_recipe(recipe)
        if (
            resume
            and folder is not None
            and not base.data.train
            and not any(name.startswith("data.") and name not in ("data.encoder", "data.start") for name in named)
        ):
            # What the run was trained on, it goes on with; and below, what it was taught by.
            kept = {f"data.{name}": value for name, value in vars(recipe_of_run(folder).data).items() if value}
            named = kept | named
    elif not resume:
        raise click.UsageError(f"which recipe? {', '.join(shipped_recipes())}, or a TOML file")
    elif folder is None:
        raise click.UsageError("which run? Give its folder (-o)")
    else:
        base = with_changes(recipe_of_run(folder), {"run.steps": None})
    asked = changed(base, named, changes, with_changes)
    if resume and folder is not None and asked.teachers.wanted:
        was, now = recipe_of_run(folder).teachers, asked.teachers
        kept = {"teachers.models": now.models or was.models, "teachers.scores": now.scores or was.scores}
        asked = with_changes(asked, kept)
    return asked


def run(recipe: Recipe, folder: Path, *, resume: bool) -> None:
    """Train, with progress on stderr and what came of it on stdout."""
    from aasist.cli.training import Progress
    from aasist.training.start import start

    with Progress() as progress:
        end = start(recipe, folder, progress, resume=resume)
    say_end(end, folder)


def say_end(end: End, folder: Path) -> None:
    """What came of it, how to go on where it is not over, and the exit code of a signal where one stopped it."""
    state = end.progress
    if end.is_first_rank:
        best = (
            ""
            if state.best_eer is None
            else f", best dev EER {state.best_eer:.2%} (epoch {(state.best_epoch or 0) + 1})"
        )
        stopped = "" if end.over else f"interrupted at step {state.step:,} of {end.horizon:,}"
        click.echo(f"{folder}: {stopped or f'{state.step:,} steps'}{best}")
        if stopped:
            click.echo(f"aasist: all is saved; go on with: {shlex.join(resume_words(folder))}", err=True)
    if end.reason == "signal":
        click.get_current_context().exit(128 + end.signal)


def resume_words(folder: Path) -> list[str]:
    """The command that goes on with the run in ``folder``."""
    return ["aasist", "train", "-o", str(folder), "--resume"]
