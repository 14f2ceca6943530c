"""``aasist corpus``: spoofed trials from anyone's recordings."""

from __future__ import annotations

import inspect
import json
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aasist.cli.audition import audition
from aasist.cli.folds import folds

if TYPE_CHECKING:
    from aasist.corpus.build import Summary
    from aasist.corpus.recipe import Recipe

FILE = click.Path(path_type=Path)
LISTED = 8
"""Languages of an engine that are listed; of more, these and how many there are."""
NAMED = 5
"""Recordings left out that are named; the others are counted."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def corpus() -> None:
    """Make spoofed trials from anyone's recordings: copies by vocoders and converters, and text-to-speech."""


corpus.add_command(folds)
corpus.add_command(audition)


@corpus.command()
@click.argument("recipe", required=False)
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("-o", "--out", type=FILE, help="Folder of the corpus; one that is begun is gone on with.")
@click.option(
    "--bonafide",
    multiple=True,
    metavar="[CORPUS:]PATH",
    help="A folder of recordings, a manifest, or a corpus below PATH. May be repeated.",
)
@click.option(
    "--texts", metavar="FILE", help="What is said: TSV, language and text.  [default: the recordings' texts, ours]"
)
@click.option("--engine", "engines", multiple=True, metavar="FILE.py", help="Engines of your own. May be repeated.")
@click.option(
    "--jobs", type=click.IntRange(min=0), help="Processes; 0: none but this one.  [default: one for each processor]"
)
@click.option("--show", is_flag=True, help="Print the recipe with every key, and stop.")
@click.option("--keys", "listing", is_flag=True, help="Print every key with type, unit, default and meaning, and stop.")
def build(
    recipe: str | None,
    changes: tuple[str, ...],
    out: Path | None,
    bonafide: tuple[str, ...],
    texts: str | None,
    engines: tuple[str, ...],
    jobs: int | None,
    show: bool,
    listing: bool,
) -> None:
    """Build a corpus by RECIPE, a shipped one (copies, speech) or a TOML file, with keys changed by KEY=VALUE.

    aasist corpus build copies --bonafide recordings/ -o corpora/copies

    The folder is laid out as ASVspoof 2019 LA is, with a manifest beside it: aasist train and aasist evaluate take either
    (--corpus asvspoof2019-la --root DIR, --data DIR/manifest.tsv). Stopped in any way, the same command goes on. Exit code
    1: some recordings or takes could not be used; all others were made. 130 or 143: stopped by Ctrl-C or SIGTERM.
    """
    if listing:
        from aasist.cli.recipekeys import say_keys
        from aasist.corpus.recipe import Recipe as Keys

        say_keys(Keys)
        return
    if recipe is not None and "=" in recipe:  # without a recipe, the first change stands in its place
        changes, recipe = (recipe, *changes), None
    chosen = recipe_of(recipe, changes, {"data.bonafide": bonafide, "data.texts": texts, "data.engines": engines}, out)
    if show:
        from aasist.corpus.recipe import resolved_text

        click.echo(resolved_text(chosen), nl=False)
        return
    if out is None:
        raise click.UsageError("into which folder? Name one (-o)")
    from aasist.cli.building import Progress
    from aasist.corpus.build import build as built
    from aasist.runtime.threads import available_threads

    progress = Progress()
    try:
        with progress:
            summary = built(chosen, out, progress, jobs=available_threads() if jobs is None else jobs)
    except (KeyboardInterrupt, SystemExit) as stop:  # Ctrl-C, SIGTERM
        if progress.reached is None:
            raise
        done, total = progress.reached
        click.echo(f"{out}: stopped after {done:,} of {total:,} recordings; go on with the same command", err=True)
        click.get_current_context().exit(
            128 + (signal.SIGINT if isinstance(stop, KeyboardInterrupt) else signal.SIGTERM)
        )
    say_summary(summary)
    if summary.left_out or summary.failed:
        click.get_current_context().exit(1)


@corpus.command("engines")
@click.option("--engine", "files", multiple=True, metavar="FILE.py", help="Engines of your own. May be repeated.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def list_engines(files: tuple[str, ...], as_json: bool) -> None:
    """List the engines: kind, technology, voices and languages here, licence, and what installs those that lack something."""
    from aasist.corpus.build import counted
    from aasist.corpus.catalogue import Places, engines, lacking
    from aasist.corpus.engine import Speaker
    from aasist.corpus.faults import is_of_file

    for name, engine in engines(Places(files)).items():
        missing = lacking(engine)
        voices, unusable = (
            (engine.voices(), engine.unusable()) if isinstance(engine, Speaker) and not missing else ((), {})
        )
        languages = sorted({voice.language for voice in voices})
        if as_json:
            facts = {
                "name": name,
                "kind": engine.kind,
                "technology": engine.technology,
                "licence": engine.licence,
                "voices": len(voices) if isinstance(engine, Speaker) else None,
                "languages": languages if isinstance(engine, Speaker) else None,
                "missing": missing or None,
                "unusable": dict(unusable),
            }
            click.echo(json.dumps(facts, ensure_ascii=False))
            continue
        spoken = f", {counted(len(voices), 'voice')} in {_listed(languages)}" if voices else ""
        own = f" ({Path(inspect.getfile(type(engine))).name})" if is_of_file(engine) else ""
        technology = f", {engine.technology}" if engine.technology else ""
        click.echo(f"{name}{own}  {engine.kind}{technology}{spoken}; licence {engine.licence or 'not stated'}")
        if missing:
            click.echo(f"  missing: {missing}")
        for voice, reason in unusable.items():
            click.echo(f"  left out: {voice}: {reason}")


def _listed(languages: list[str]) -> str:
    """Languages by their codes; of many their number, and the first."""
    if len(languages) <= LISTED:
        return ", ".join(languages)
    return f"{len(languages)} languages: {', '.join(languages[:LISTED])}, ... (--json lists them)"


def recipe_of(
    recipe: str | None, changes: tuple[str, ...], named: dict[str, tuple[str, ...] | str | None], out: Path | None
) -> Recipe:
    """The recipe that is asked for; without one, that of the folder."""
    from aasist.cli.recipekeys import changed
    from aasist.corpus.folder import RECIPE
    from aasist.corpus.recipe import SHELF, read_recipe
    from aasist.recipefile import with_changes

    if recipe is None:
        if out is None or not (out / RECIPE).exists():
            raise click.UsageError(f"which recipe? {', '.join(SHELF.names())}, or a TOML file")
        recipe = str(out / RECIPE)
    options = {name: value for name, value in named.items() if value}
    return changed(read_recipe(recipe), options, changes, with_changes)


def say_summary(summary: Summary) -> None:
    """What was made, on stdout; what failed and was left out, on stderr."""
    from aasist.corpus.build import counted

    spoofs = sum(count for engine, count in summary.made.items() if engine != "bonafide")
    split = ", ".join(f"{subset} {count:,}" for subset, count in summary.subsets.items())
    click.echo(f"{summary.folder}: {summary.made['bonafide']:,} bona fide, {counted(spoofs, 'spoof')} ({split})")
    for engine, count in sorted(summary.made.items()):
        if engine != "bonafide":
            click.echo(f"  {engine}: {count:,}")
    for engine, count in sorted(summary.failed.items()):
        stopped = " and was stopped" if engine in summary.stopped else ""
        click.echo(f"aasist: {engine} failed on {count:,}{stopped}; first on {summary.reasons[engine]}", err=True)
    if own := sorted({*summary.own} & {*summary.failed}):
        click.echo(
            f"aasist: to look into it: aasist corpus try {own[0]} ... shows the traceback on one recording; "
            "aasist corpus build ... --jobs 0 runs it in this process, with a debugger",
            err=True,
        )
    if summary.left_out:
        were = "was" if len(summary.left_out) == 1 else "were"
        click.echo(f"aasist: {counted(len(summary.left_out), 'recording')} {were} left out", err=True)
        for name, reason in list(summary.left_out.items())[:NAMED]:
            click.echo(f"  {name}: {reason}", err=True)
        if len(summary.left_out) > NAMED:
            click.echo(f"  and {len(summary.left_out) - NAMED:,} more: journal.jsonl names them", err=True)
