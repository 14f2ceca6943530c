"""``aasist probe``: can what is not the artefact tell the classes of a training set apart?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from aasist.cli.trainingdata import PATH, data_options, noise_option, sources
from aasist.errors import AasistError, MissingExtra

if TYPE_CHECKING:
    from aasist.training.probe.findings import Findings, Rate, Seen, Told
    from aasist.training.recipe import Recipe

FILE, PICTURE = "probe.json", "probe.png"
SAID = {"recordings": "the recordings as they are", "windows": "the windows that training sees"}
SHOWN = 8
"""Rows of the table of what gives the class away."""


@click.command()
@click.argument("recipe")
@click.argument("changes", nargs=-1, metavar="[KEY=VALUE]...")
@data_options("Look at the training part of this corpus.", "look at")
@noise_option
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    default=3000,
    show_default=True,
    help="Draws of training to look at, in whole batches.",
)
@click.option("--rounds", type=click.IntRange(min=10), default=500, show_default=True, help="Rounds of the bootstrap.")
@click.option("-o", "--out", type=PATH, help=f"Write {FILE} and {PICTURE} into this folder.  (extra: plots)")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables; rates are fractions.")
def probe(
    recipe: str,
    changes: tuple[str, ...],
    corpus: str | None,
    root: Path | None,
    data: tuple[str, ...],
    noise: tuple[str, ...],
    trials: int,
    rounds: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Ask whether loudness, bandwidth, duration, silence, noise and traces of codecs tell the classes of training apart.

    aasist probe efficient --data manifest.tsv --noise noise.tsv -o runs/probe

    Draws batches as aasist train would with the same recipe, keys and data, measures cues that are no artefact of
    synthesis, and cross-validates a small classifier on each cue and on all: on the recordings as they are, and on the
    windows after crop and augmentation. An EER of 50 % says that a cue tells nothing. Trains nothing, needs no trials for
    dev.
    """
    try:
        import aasist.training.probe.findings as room
        from aasist.training.probe.drawn import drawn
    except ModuleNotFoundError as error:
        raise MissingExtra("the probe", "train") from error
    from aasist.cli.progress import counting
    from aasist.cli.train import recipe_of

    chosen: Recipe = recipe_of(recipe, changes, sources(corpus, root, data, (), noise), None, resume=False)
    if out is not None:
        from aasist.cli.plot import require_matplotlib

        require_matplotlib()
    with counting("listening", trials) as heard:
        draws = drawn(chosen, trials, heard)
    for fault in draws.faults:
        click.echo(f"aasist: left out: {fault.id} ({fault.path}): {fault.message}", err=True)
    with counting("asking", room.STEPS) as asked:
        found = room.findings(
            draws,
            within=chosen.sampling.within,
            rounds=rounds,
            seed=chosen.seed,
            progress=asked,
        )
    text = json.dumps(found.to_dict(), allow_nan=False)
    if out is not None:
        write(found, text, out)
    if as_json:
        click.echo(text)
    else:
        say(found)


def write(found: Findings, text: str, out: Path) -> None:
    """The findings as JSON and as a picture in the folder ``out``."""
    from aasist import files
    from aasist.cli.plot_probe import picture

    try:
        files.write_folder(out, {FILE: f"{text}\n".encode(), PICTURE: picture(found)})
    except OSError as error:
        raise AasistError("write", f"cannot write {out}: {error.strerror or error}") from error
    click.echo(f"aasist: findings in {out / FILE} and {out / PICTURE}", err=True)


def say(found: Findings) -> None:
    """Tables for people on stdout, and the verdict in words."""
    from aasist.evaluation.tables import Table, percent

    pairs = f"; {found.pairs:,} pairs, {found.copies:,} of them copies" if found.pairs else ""
    click.echo(
        f"{found.draws:,} draws of {found.recordings:,} recordings, {found.bonafide:,} bona fide, of {found.sources:,} "
        f"sources{pairs}"
    )
    for name, seen in found.seen.items():
        headers = ["cue", "bona fide", "spoofs", "unit", "EER, sources held out", "EER, recordings held out"]
        headers += ["picked within pairs"] * (seen.joint.within_pairs is not None)
        rows = sorted(seen.cues, key=lambda told: told.eer.value)
        click.echo(f"\n{SAID[name].capitalize()}\n")
        click.echo(Table(tuple(headers), tuple(_row(told) for told in (*rows, seen.joint))).text())
        if seen.giveaways:
            click.echo("\nMost surely given away, by all cues\n")
            click.echo(
                Table(
                    ("column", "value", "bona fide", "spoofs", "EER", "most by"),
                    tuple(
                        (
                            away.column,
                            away.value,
                            f"{away.bonafide:,}",
                            f"{away.spoofs:,}",
                            percent(away.eer.value, away.eer.interval),
                            f"{away.cue}, {'higher' if away.higher else 'lower'} in spoofs",
                        )
                        for away in seen.giveaways[:SHOWN]
                    ),
                ).text()
            )
    click.echo()
    for name, seen in found.seen.items():
        click.echo(verdict(name, seen))


def _row(told: Told) -> tuple[str, ...]:
    from aasist.evaluation.tables import NOTHING

    medians = (NOTHING if value is None else f"{value:.4g}" for value in told.medians)
    within = () if told.within_pairs is None else (_rate(told.within_pairs),)
    return (told.cue.name, *medians, told.cue.unit, _rate(told.by_source), _rate(told.at_random), *within)


def _rate(rate: Rate | None) -> str:
    from aasist.evaluation.tables import percent

    return percent(None) if rate is None else percent(rate.value, rate.interval)


def verdict(name: str, seen: Seen) -> str:
    """In a sentence, whether all cues together are near chance on what ``name`` says."""
    joint = seen.joint
    where = "sources that are held out" if joint.by_source is not None else "recordings that are held out"
    said = f"EER {_rate(joint.eer)} on {where}"
    if joint.within_pairs is not None:
        said += f", {_rate(joint.within_pairs)} picked within pairs"
    return f"{SAID[name].capitalize()}: {seen.verdict}: {said}."
