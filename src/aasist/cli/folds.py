"""``aasist corpus folds``: trainings from which one family of systems and some sources are held out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aasist.corpus.foldfiles import Report

FILE = click.Path(path_type=Path)
REASONS = {
    "family": "spoofs of the family beside sources that are trained on",
    "source": "other spoofs of sources held out",
    "speaker": "trials of speakers held out",
    "bonafide": "bona fide trials of sources held out, more than there are spoofs or twice the same",
}


@click.command()
@click.argument("manifests", nargs=-1, required=True, type=FILE, metavar="MANIFEST...")
@click.option("--families", type=FILE, required=True, help="TSV: system, family; a family unknown is never held out.")
@click.option("-o", "--out", type=FILE, required=True, help="Folder to write fold-1, fold-2, ... into.")
@click.option("--folds", "count", type=int, metavar="N", help="Folds; families share them.  [default: one a family]")
@click.option("--seed", type=int, default=1234, show_default=True, help="Of the draws.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a fold.")
def folds(manifests: tuple[Path, ...], families: Path, out: Path, count: int | None, seed: int, as_json: bool) -> None:
    """Leave one family out: for each family of systems a manifest to train on, and one of trials held out.

    aasist corpus folds pool/manifest.tsv copies/manifest.tsv --families families.tsv -o folds

    aasist train efficient --data folds/fold-1/train.tsv --dev folds/fold-1/held-out.tsv

    Held out are spoofs of the family, and bona fide of their sources. No source, speaker or recording (with its copies) is
    on both sides. aasist runs --mean gives the mean over folds.
    """
    from aasist.corpus.collection import collected
    from aasist.corpus.families import read_families
    from aasist.corpus.foldfiles import write_folds
    from aasist.corpus.folds import folded

    table = read_families(families)
    collection = collected(manifests)
    parts, where = folded(collection, table, count=count, seed=seed)
    reports = write_folds(out, collection, table, parts, where)
    if as_json:
        for report in reports:
            click.echo(json.dumps(dataclasses.asdict(report), ensure_ascii=False))
    else:
        say_folds(out, len(collection.groups), reports)


def say_folds(folder: Path, trials: int, reports: Sequence[Report]) -> None:
    """A few lines a fold."""
    click.echo(f"{folder}: {len(reports)} folds of {trials:,} trials")
    for report in reports:
        click.echo(f"{report.fold}: {', '.join(report.families)}")
        for what, count in (("train", report.train), ("held out", report.held_out)):
            click.echo(
                f"  {what}: {count.bonafide:,} bona fide, {count.spoofs:,} spoofs of {len(count.systems)} systems; "
                f"{count.sources:,} sources"
            )
        real, spoofs = report.held_out.compared
        click.echo(f"  held out of sources with both: {real:,} bona fide, {spoofs:,} spoofs")
        if report.unknown:
            click.echo(f"  train has {report.unknown:,} spoofs of no known family")
        for reason, number in report.left_out.items():
            if number:
                click.echo(f"  left out: {number:,} {REASONS[reason]}")
